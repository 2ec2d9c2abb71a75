"""Pages of what an actor may see, out of lists that the store cannot filter by project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable


class _Identified(Protocol):
    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=_Identified)


def gather(
    fetch: Callable[[str | None, int], list[R]], *, keep: Callable[[R], bool], after: str | None, limit: int
) -> list[R]:
    """Return the first records that are kept, fetching on where some are not.

    Args:
        fetch: returns at most so many records that come after an id.
        keep: whether the actor may see one.
        after: id at which the page before ended.
        limit: most records.
    """
    kept: list[R] = []
    while True:
        found = fetch(after, limit)
        kept += [record for record in found if keep(record)]
        if len(found) < limit or len(kept) >= limit:
            return kept[:limit]
        after = found[-1].id
