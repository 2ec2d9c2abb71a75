"""What a function is given: the events that its firing stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from orchestrator.records.event import Event


@dataclass(frozen=True, kw_only=True)
class EventBatch:
    """The events that led to one call, oldest first; several where the trigger collects them, none of a schedule.

    Attributes:
        trigger: name of the trigger.
        firing_id: the same when the call is made again, because the process died in it or it failed: the key by which
            to see that something was done already.
        events: all of them.
        occurrence_at: of a schedule: the time that the call stands for.
    """

    trigger: str
    firing_id: str
    events: tuple[Event, ...] = ()
    occurrence_at: datetime | None = None

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)

    @property
    def dataset_id(self) -> str | None:
        """The dataset version of the newest event that is about one."""
        return self._newest("dataset")

    @property
    def task_id(self) -> str | None:
        """The task of the newest event that is about one."""
        return self._newest("task")

    @property
    def model_id(self) -> str | None:
        """The model version of the newest event that is about one."""
        return self._newest("model")

    def _newest(self, noun: str) -> str | None:
        about = (event.subject for event in reversed(self.events) if event.type.partition(".")[0] == noun)
        return next(about, None)
