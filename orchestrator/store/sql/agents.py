"""Agents."""

from __future__ import annotations

from sqlalchemy import select
from typing_extensions import override

from orchestrator.errors import NotFound
from orchestrator.records.agent import Agent
from orchestrator.store.protocol import Agents
from orchestrator.store.sql.rows import columns_of, to_row
from orchestrator.store.sql.tables import agents
from orchestrator.store.sql.unit import Noun

_AGENTS = select(*columns_of(Agent, agents))


class SqlAgents(Noun, Agents):
    """Agents by id and name."""

    @override
    def put(self, agent: Agent) -> None:
        self._unit.put(agents, [to_row(agent, agents)])

    @override
    def get(self, agent_id: str) -> Agent:
        agent = self._unit.record(Agent, _AGENTS.where(agents.c.id == agent_id))
        if agent is None:
            raise NotFound(f"There is no agent {agent_id}.", hint="It registers again when it is started again.")
        return agent

    @override
    def by_name(self, name: str) -> Agent | None:
        return self._unit.record(Agent, _AGENTS.where(agents.c.name == name))

    @override
    def all(self) -> list[Agent]:
        return self._unit.records(Agent, _AGENTS.order_by(agents.c.name))
