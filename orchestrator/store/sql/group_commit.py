"""One thread that writes: units of work that arrive together share one commit, and one wait for the disk."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from sqlalchemy.exc import DBAPIError

from orchestrator.errors import Unavailable
from orchestrator.store.sql.failures import translated
from orchestrator.store.sql.transaction import SqlTransaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from orchestrator.records.event import Event
    from orchestrator.store.protocol import Transaction
    from orchestrator.store.sql.listeners import Listeners
    from orchestrator.store.sql.unit import Unit

T = TypeVar("T")

_GROUP = 64
"""Most units in one commit: what the last of them waits for the others stays small."""


class _Job(NamedTuple):
    work: Callable[[Transaction], Any]
    future: Future[Any]


class _Outcome(NamedTuple):
    result: Any = None
    events: tuple[Event, ...] = ()
    error: BaseException | None = None


class GroupCommit:
    """Runs units of work one after the other in a thread of its own.

    Each has a savepoint, so that one that raises leaves the others alone; none returns before the commit is on disk. A
    lone unit does not wait for company.

    Args:
        connection: the only one that writes; it is closed with this.
        unit: makes the transaction that a unit of work sees.
        listeners: are told of each commit that brought events.
    """

    def __init__(self, connection: Connection, *, unit: Callable[[Connection], Unit], listeners: Listeners) -> None:
        self._connection = connection
        self._unit = unit
        self._listeners = listeners
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="store-writer", daemon=True)
        self._thread.start()

    def run(self, work: Callable[[Transaction], T]) -> T:
        """Run a unit of work and return what it returns once it is on disk."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("a unit of work cannot wait for another one")
        future: Future[T] = Future()
        with self._closing:
            if self._closed:
                raise Unavailable("The database is closed.", hint="The server is shutting down; try again later.")
            self._jobs.put(_Job(work, future))
        return future.result()

    def close(self) -> None:
        """Finish what was handed in, then end the thread and the connection."""
        with self._closing:
            closed, self._closed = self._closed, True
        if not closed:
            self._jobs.put(None)
        self._thread.join()

    def _serve(self) -> None:
        ending = False
        while not ending:
            group: list[_Job] = []
            job = self._jobs.get()
            while job is not None:
                group.append(job)
                if len(group) == _GROUP or self._jobs.empty():
                    break
                job = self._jobs.get()
            ending = job is None
            if group:
                self._commit(group)
        self._connection.close()

    def _commit(self, group: list[_Job]) -> None:
        try:
            with self._connection.begin():
                outcomes = [self._attempt(job) for job in group]
        except Exception as error:  # noqa: BLE001  whoever waits gets it; the writer must live
            failure = translated(error) if isinstance(error, DBAPIError) else error
            outcomes = [_Outcome(error=failure)] * len(group)
        for job, outcome in zip(group, outcomes, strict=True):
            if outcome.error is None:
                job.future.set_result(outcome.result)
            else:
                job.future.set_exception(outcome.error)
        if events := [event for outcome in outcomes for event in outcome.events]:
            self._listeners.tell(events)

    def _attempt(self, job: _Job) -> _Outcome:
        unit = self._unit(self._connection)
        savepoint = self._connection.begin_nested()
        try:
            result = job.work(SqlTransaction(unit))
            events = unit.write_events()
        except BaseException as error:  # noqa: BLE001  whoever waits gets it; the writer must live
            try:
                savepoint.rollback()
            except DBAPIError:
                # SQLite undid the whole transaction by itself, as it does on a full disk: the group fails.
                raise error from None
            return _Outcome(error=error)
        savepoint.commit()
        return _Outcome(result, tuple(events))
