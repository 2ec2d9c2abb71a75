"""Every read and write of a principal goes through here, so that the fence is checked in one place.

An attempt's token is good for as long as its attempt is the live one of its task. That is checked in the very
transaction that reads or writes, with the task's row locked: a write of an attempt that was superseded cannot come
after a write of its successor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from orchestrator.errors import NotFound, StaleAttempt
from orchestrator.records.lifecycle import Status
from orchestrator.records.principal import Role

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Store, Transaction

T = TypeVar("T")


def write_as(store: Store, actor: Principal, *, work: Callable[[Transaction], T]) -> T:
    """Run a unit of work that writes.

    Raises:
        StaleAttempt: the actor is an attempt that no longer owns its task.
    """

    def fenced(transaction: Transaction) -> T:
        check_fence(transaction, actor, lock=True)
        return work(transaction)

    return store.write(fenced)


def read_as(store: Store, actor: Principal, *, work: Callable[[Transaction], T]) -> T:
    """Run a unit of work that only reads.

    Raises:
        StaleAttempt: the actor is an attempt that no longer owns its task.
    """

    def fenced(transaction: Transaction) -> T:
        check_fence(transaction, actor)
        return work(transaction)

    return store.read(fenced)


def check_fence(transaction: Transaction, actor: Principal, *, lock: bool = False) -> None:
    """Check that an actor that is an attempt still owns its task; others pass.

    Raises:
        StaleAttempt: it does not.
    """
    if actor.role is not Role.ATTEMPT:
        return
    try:
        task = transaction.tasks.get(actor.task_id or "", lock=lock)
    except NotFound:
        raise StaleAttempt("The task of this attempt is gone.", hint="End this run.") from None
    if task.status is not Status.IN_PROGRESS or task.attempt != actor.attempt:
        raise StaleAttempt(
            f"Attempt {actor.attempt} no longer owns task {task.id}: it is {task.status}, attempt {task.attempt}.",
            hint="End this run; its results are not accepted.",
        )
