"""What the stores of all databases share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, TypeVar

from orchestrator.store.sql.listeners import Listeners

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from orchestrator.store.protocol import Transaction
    from orchestrator.store.sql.listeners import Listener

T = TypeVar("T")


class SqlStore(ABC):
    """A `Store` in an SQL database."""

    def __init__(self) -> None:
        self._listeners = Listeners()

    @abstractmethod
    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run a unit of work; when it returns, what it wrote is durable. When it raises, nothing was written."""

    @abstractmethod
    def read(self, work: Callable[[Transaction], T]) -> T:
        """Run a unit of work that only reads, on one consistent view."""

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` soon after each commit that appended events; return a function that ends it."""
        return self._listeners.add(listener)

    @abstractmethod
    def hold(self, name: str, *, wait: bool = True) -> AbstractContextManager[bool]:
        """Hold a lock for longer than a unit of work, alone among all who use this database; see `Store.hold`."""

    @abstractmethod
    def close(self) -> None:
        """Release every connection and thread."""
