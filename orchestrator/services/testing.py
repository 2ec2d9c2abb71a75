"""A house for tests of triggers: a store with a clock that is moved by hand, an agent and a reference task."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from orchestrator.errors import NotFound
from orchestrator.records.agent import Slot
from orchestrator.records.event import EventType, NewEvent
from orchestrator.records.firing import FiringStatus
from orchestrator.records.principal import Principal, Role
from orchestrator.records.task import ExitReason, Parameter
from orchestrator.services.agents import register_agent
from orchestrator.services.authenticate import authenticate
from orchestrator.services.claim import claim_task
from orchestrator.services.create_task import create_task
from orchestrator.services.finish import finish_task
from orchestrator.services.finish_work import finish_work
from orchestrator.services.fire import post_firings
from orchestrator.services.queues import create_missing_queues
from orchestrator.services.register_trigger import register_trigger
from orchestrator.services.take_due import take_due
from orchestrator.services.tokens import create_first_token, create_token
from orchestrator.services.unit_of_work import write_as
from orchestrator.settings import Settings
from orchestrator.wire import (
    ClaimTask,
    CreateTask,
    CreateToken,
    FinishTask,
    FinishWork,
    NewFiring,
    PostFirings,
    RegisterAgent,
    RegisterTrigger,
    TakeDue,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.records.event import Event
    from orchestrator.records.firing import Firing
    from orchestrator.records.task import Task
    from orchestrator.records.trigger import Trigger
    from orchestrator.store.protocol import Store, Transaction
    from orchestrator.wire import Due, FiringResult

T = TypeVar("T")

SUBJECT = "a" * 32
DATA = "General/DATA"
EPOCHS = "Args/epochs"


class TriggerHouse:
    """A store with what triggers need, in project `shop`.

    Args:
        store: an empty one.
        home: where settings say that files lie; none is written.
    """

    def __init__(self, store: Store, home: Path) -> None:
        self.store = store
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)
        self.settings = Settings(home=home, firing_retry_seconds=10, firing_max_tries=3)
        token = self.write(partial(create_first_token, name="admin"))
        self.admin: Principal = self.write(partial(authenticate, token=token))
        self.write(create_missing_queues)
        slots = (Slot(name="s", queues=("default",)),)
        agent = RegisterAgent(name="a", hostname="h", version="1", executor="process", slots=slots)
        self.agent = self.do(register_agent, body=agent, settings=self.settings).id
        self.reference = self.new_task(
            Parameter(name=DATA, type="string", value=""), Parameter(name=EPOCHS, type="int", value="3")
        ).id

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run a unit of work at the present of this house."""
        return self.store.write(self._at_our_time(work))

    def read(self, work: Callable[[Transaction], T]) -> T:
        """Run a unit of work that only reads, at the present of this house."""
        return self.store.read(self._at_our_time(work))

    def do(self, service: Callable[..., T], *, by: Principal | None = None, **arguments: object) -> T:
        """Run a service, as the administrator where nobody is named."""
        actor = by or self.admin
        return write_as(self.store, actor, work=self._at_our_time(lambda tx: service(tx, actor, **arguments)))

    def passes(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    def somebody(self, role: Role = Role.EDITOR, *, project: str = "") -> Principal:
        """Return the bearer of a new token."""
        made = self.do(create_token, body=CreateToken(name=f"{role} of {project}", role=role, project=project))
        return self.write(partial(authenticate, token=made.token))

    def new_task(self, *parameters: Parameter, **fields: object) -> Task:
        """Make a task."""
        body = {"project": "shop", "name": "training", "parameters": parameters} | fields
        return self.do(create_task, body=CreateTask.model_validate(body))

    def spec(self, name: str = "nightly", **fields: object) -> dict[str, object]:
        """Return what to register: it waits for versions tagged `go`, and clones the reference."""
        return {
            "name": name,
            "condition": {"kind": "dataset", "project": "shop", "on_tags": ["go"]},
            "action": {"kind": "clone", "task": self.reference, "parameters": {DATA: "${datasets.ids}"}},
        } | fields

    def register(self, name: str = "nightly", *, by: Principal | None = None, **fields: object) -> Trigger:
        """Register a trigger."""
        return self.do(register_trigger, by=by, body=RegisterTrigger.model_validate(self.spec(name, **fields)))

    def trigger(self, trigger_id: str) -> Trigger:
        """Return a trigger as it is now."""
        return self.store.read(lambda tx: tx.triggers.get(trigger_id))

    def tagged(self, *tags: str, subject: str = SUBJECT, project: str = "shop") -> int:
        """Have a version tagged, by default with `go`, and return the event's id."""
        tags = tags or ("go",)
        facts: dict[str, object] = {
            "id": subject,
            "project": project,
            "name": "sales",
            "version": "1.0.0",
            "state": "final",
        }
        facts |= {"file_count": 1, "size_bytes": 2, "added_count": 1, "parents": []}
        return self.event(
            EventType.DATASET_TAGGED,
            subject=subject,
            project=project,
            data=facts | {"tags": list(tags), "added": list(tags), "removed": []},
        )

    def event(self, type: EventType, **fields: Any) -> int:  # noqa: A002, ANN401  the event's own word; its fields
        """Have something happen, and return the event's id."""
        event = NewEvent.model_validate({"type": type, "subject": SUBJECT, "actor": self.admin.id} | fields)
        self.write(lambda tx: tx.events.append(event))
        return self.store.read(lambda tx: tx.events.last_id())

    def told(self, type: EventType) -> list[Event]:  # noqa: A002  the event's own word
        """Return all events of a type, oldest first."""
        return self.store.read(lambda tx: tx.events.after(0, types=(type,)))

    def fire(
        self, trigger: Trigger, *events: int, ended: tuple[int, ...] = (), by: Principal | None = None
    ) -> list[FiringResult]:
        """Post matches, as a scheduler does."""
        firings = tuple(NewFiring(trigger_id=trigger.id, revision=trigger.revision, event=event) for event in events)
        return self.do(post_firings, by=by, body=PostFirings(firings=firings, ended=ended), settings=self.settings)

    def due(self, *, scheduler: str = "s1", functions: tuple[str, ...] = ()) -> Due:
        """Ask for what is due, as a scheduler does."""
        body = TakeDue(scheduler=scheduler, functions=functions)
        return self.do(take_due, body=body, settings=self.settings)

    def run(self, reason: ExitReason = ExitReason.COMPLETED) -> int:
        """Have an agent run the next task to its end, and return the id of the event that tells of it."""
        claim = self.do(claim_task, agent_id=self.agent, body=ClaimTask(slot="s"), settings=self.settings)
        if claim is None:
            raise NotFound("No task is queued.")
        attempt = self.write(partial(authenticate, token=claim.token))
        body = FinishTask(reason=reason)
        self.do(finish_task, by=attempt, task_id=claim.task.id, body=body, settings=self.settings)
        return self.store.read(lambda tx: tx.events.last_id())

    def firings(self, trigger: Trigger) -> list[Firing]:
        """Return the firings of a trigger, oldest first."""
        return self.store.read(lambda tx: tx.firings.find(trigger_id=trigger.id, oldest_first=True))

    def finish(self, firing_id: str, *, scheduler: str = "s1", **fields: object) -> Firing:
        """Report what came of a piece of work, as the scheduler that has it."""
        firing = self.store.read(lambda tx: tx.firings.get(firing_id))
        # As it was when it was handed out: the report that has ended it counted as a try.
        ended = firing.status is FiringStatus.LAUNCHED
        claim = {"kind": "gates" if "gate" in fields else "action", "tries": firing.tries - ended}
        body = FinishWork.model_validate({"scheduler": scheduler, "outcome": "done"} | claim | fields)
        return self.do(finish_work, firing_id=firing_id, body=body, settings=self.settings)

    def task_of(self, firing: Firing | FiringResult) -> Task:
        """Return the task that a firing made.

        Raises:
            NotFound: it made none.
        """
        return self.store.read(lambda tx: tx.tasks.get(firing.task_id or ""))

    def tasks(self) -> list[Task]:
        """Return all tasks but the first reference, oldest first."""
        return self.store.read(lambda tx: tx.tasks.find(limit=1000))[::-1][1:]

    def parameters(self, task_id: str) -> dict[str, str]:
        """Return the values of a task's parameters."""
        return {each.name: each.value for each in self.store.read(lambda tx: tx.tasks.parameters(task_id))}

    def _at_our_time(self, work: Callable[[Transaction], T]) -> Callable[[Transaction], T]:
        def at_our_time(tx: Transaction) -> T:
            cast("Any", tx)._unit._now = self.now  # noqa: SLF001  stores have a clock that nobody moves
            return work(tx)

        return at_our_time
