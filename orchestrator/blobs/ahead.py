"""Calls that wait for a network, made ahead of whoever takes what they return."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

T = TypeVar("T")


def ahead(calls: Iterable[Callable[[], T]], *, depth: int) -> Iterator[T]:
    """Yield what calls return, in their order, while the next ones run already.

    Args:
        calls: taken one by one as there is room; memory holds what `depth + 1` of them return.
        depth: how many run or wait to be taken.
    """
    with ThreadPoolExecutor(depth, thread_name_prefix="retrain-ahead") as pool:
        waiting: deque[Future[T]] = deque()
        try:
            for call in calls:
                waiting.append(pool.submit(call))
                if len(waiting) > depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
