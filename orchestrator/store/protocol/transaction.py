"""Units of work and the store that runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from orchestrator.records.event import Event
    from orchestrator.store.protocol.blobs import BlobPlaces
    from orchestrator.store.protocol.datasets import Datasets
    from orchestrator.store.protocol.events import Events, Firings, Triggers
    from orchestrator.store.protocol.models import Models
    from orchestrator.store.protocol.system import Agents, Answers, Principals, Queues
    from orchestrator.store.protocol.tasks import Console, Reports, SeriesStore, Tasks

T = TypeVar("T")


class Transaction(Protocol):
    """One unit of work."""

    tasks: Tasks
    series: SeriesStore
    console: Console
    datasets: Datasets
    reports: Reports
    events: Events
    triggers: Triggers
    firings: Firings
    models: Models
    queues: Queues
    agents: Agents
    principals: Principals
    blobs: BlobPlaces
    answers: Answers

    def now(self) -> datetime:
        """Return the database's time, the same throughout the transaction, aware, in UTC."""

    def savepoint(self, work: Callable[[], T]) -> T:
        """Run a part; when it raises, only what it wrote and appended is undone and the error goes on."""

    def claim_duty(self, name: str) -> bool:
        """Take a duty that one API process at a time does, until the transaction ends; False when another has it."""

    def projects(self, *, projects_below: str = "") -> Mapping[str, tuple[int, int]]:
        """Return every project path in use with its number of tasks and of dataset versions."""

    def setting(self, name: str) -> Any:  # noqa: ANN401  JSON is any
        """Return a JSON value that the system keeps for itself, or None."""

    def put_setting(self, name: str, value: Any) -> None:  # noqa: ANN401  JSON is any
        """Keep a JSON value."""


class Store(Protocol):
    """The database. Safe to use from many threads."""

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run a unit of work; when it returns, what it wrote is durable. When it raises, nothing was written."""

    def read(self, work: Callable[[Transaction], T]) -> T:
        """Run a unit of work that only reads, on one consistent view."""

    def subscribe(self, listener: Callable[[Sequence[Event]], None]) -> Callable[[], None]:
        """Call `listener` soon after each commit that appended events; return a function that ends it.

        Commits of this process bring their events; those of other processes an empty sequence. Listeners are quick and
        never raise.
        """

    def hold(self, name: str, *, wait: bool = True) -> AbstractContextManager[bool]:
        """Hold a lock for longer than a unit of work, alone among all who use this database.

        It yields whether the lock is held: always, but for False at once where another has it and `wait` is False. When
        the connection to the database breaks meanwhile the lock is lost without a word: what is done under it must
        stand being done twice, and what must not be is checked again within a unit of work.
        """

    def close(self) -> None:
        """Release every connection and thread."""
