"""Fills a database for `bench/triggers.py`: a reference task, triggers, and a log, past the API, in big transactions.

A trigger waits for a tag in a project, and for the tag `checked` besides. So an event can be made of which one trigger
wants to know more, however many others there are, and which then matches or does not.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal

from orchestrator.records.action import CloneAction
from orchestrator.records.condition import DatasetCondition
from orchestrator.records.event import EventType, NewEvent
from orchestrator.records.task import Parameter, Task
from orchestrator.records.trigger import Trigger
from orchestrator.services.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from triggers_servers import Running

    from orchestrator.store.protocol import Transaction

Layout = Literal["1,000 projects", "one project"]

_PROJECTS = 1000
_AT_ONCE = 10_000
_PARAMETERS = 10
"""Of the task that is cloned; two of them are overridden."""
_ASKED, _CHECKED = "asked", "checked"


@dataclass
class Filling:
    """What stands in a database.

    Args:
        server: whose database it is.
        layout: where the triggers lie.
    """

    server: Running
    layout: Layout
    triggers: list[Trigger] = field(default_factory=list)
    _reference: str = field(default_factory=new_id)

    def __post_init__(self) -> None:
        self.server.store.write(self._add_reference)

    def add_triggers(self, number: int) -> Sequence[Trigger]:
        """Register further triggers as of now, and return them."""
        before = len(self.triggers)
        self.server.store.write(lambda tx: self._add_triggers(tx, range(before, before + number)))
        return self.triggers[before:]

    def add_log(self, number: int) -> None:
        """Append events of every kind of project, tagged by a hand that no trigger waits for."""
        self._append(self._event(f"log/p{each % _PROJECTS:04}", tag=_ASKED, tags=(_ASKED,)) for each in range(number))

    def add_events(self, number: int, *, matching: bool, triggers: Sequence[Trigger] = ()) -> list[int]:
        """Append events, each of which one trigger asks for, in turn; return their ids.

        Args:
            number: how many.
            matching: whether that trigger then matches.
            triggers: which ones; all where none are given.
        """
        last = self.last_event()
        self._append(
            self.event_for(trigger, matching=matching)
            for trigger in itertools.islice(itertools.cycle(triggers or self.triggers), number)
        )
        found = self.server.store.read(lambda tx: tx.events.after(last, limit=2 * number))
        return [event.id for event in found if event.type is EventType.DATASET_TAGGED]

    def last_event(self) -> int:
        """Return the id of the newest event."""
        return self.server.store.read(lambda tx: tx.events.last_id())

    def event_for(self, trigger: Trigger, *, matching: bool) -> NewEvent:
        """Return an event that a trigger asks for."""
        condition = trigger.condition
        assert isinstance(condition, DatasetCondition)
        (tag,) = condition.on_tags
        return self._event(condition.project, tag=tag, tags=(tag, _CHECKED) if matching else (tag,))

    def spec(self, number: int) -> dict[str, object]:
        """Return the body that registers the trigger of this number."""
        condition, action = self._condition(number), self._action()
        return {
            "name": f"retrain {number}",
            "condition": condition.model_dump(mode="json", exclude_unset=True) | {"kind": "dataset"},
            "action": action.model_dump(mode="json", exclude_unset=True) | {"kind": "clone"},
        }

    def _append(self, events: Iterable[NewEvent]) -> None:
        remaining = iter(events)
        while some := list(itertools.islice(remaining, _AT_ONCE)):
            self.server.store.write(partial(_append_all, events=some))

    def _add_reference(self, transaction: Transaction) -> None:
        now = transaction.now()
        task = Task(
            id=self._reference,
            project="bench",
            name="training",
            created_at=now,
            created_by=self.server.registrar,
            changed_at=now,
        )
        parameters = [Parameter(name=f"Args/p{each}", type="string", value="0") for each in range(_PARAMETERS)]
        transaction.tasks.add(task, parameters=parameters)

    def _add_triggers(self, transaction: Transaction, numbers: Iterable[int]) -> None:
        now, last = transaction.now(), transaction.events.last_id()
        for number in numbers:
            trigger = Trigger(
                id=new_id(),
                name=f"retrain {number}",
                condition=self._condition(number),
                action=self._action(),
                starts_after=last,
                created_at=now,
                created_by=self.server.registrar,
                changed_at=now,
            )
            transaction.triggers.add(trigger)
            self.triggers.append(trigger)

    def _condition(self, number: int) -> DatasetCondition:
        if self.layout == "one project":
            project, tag = "shared", f"tag-{number}"
        else:
            project, tag = f"team/p{number % _PROJECTS:04}", f"tag-{number // _PROJECTS}"
        return DatasetCondition(project=project, on_tags=(tag,), required_tags=(_CHECKED,))

    def _action(self) -> CloneAction:
        parameters = {"Args/p0": "${dataset.id}", "Args/p1": "s3://bucket/${dataset.version}/x"}
        return CloneAction(task=self._reference, parameters=parameters, queue="default", name="run ${dataset.version}")

    def _event(self, project: str, *, tag: str, tags: tuple[str, ...]) -> NewEvent:
        version = new_id()
        data = {
            "id": version,
            "project": project,
            "name": "sensors",
            "version": "1.0.0",
            "state": "final",
            "tags": list(tags),
            "added": [tag],
            "removed": [],
            "parents": [],
            "file_count": 1,
            "size_bytes": 6,
            "added_count": 1,
        }
        return NewEvent(
            type=EventType.DATASET_TAGGED, subject=version, project=project, actor=self.server.registrar, data=data
        )


def _append_all(transaction: Transaction, *, events: Sequence[NewEvent]) -> None:
    for event in events:
        transaction.events.append(event)
