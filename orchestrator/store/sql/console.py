"""Console text, in chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update
from typing_extensions import override

from orchestrator.errors import Conflict
from orchestrator.store.protocol import Console
from orchestrator.store.sql.rows import clamped
from orchestrator.store.sql.tables import console_chunks
from orchestrator.store.sql.unit import Noun

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Select

_TINY = 4096
"""Up to here a chunk grows in place: a page of the database is written anyway."""

_LARGE = 1 << 18
"""No chunk is larger, so that a reader knows how far before an offset the chunk that holds it can begin."""


class SqlConsole(Noun, Console):
    """Console text by task, attempt and byte offset."""

    @override
    def append(self, task_id: str, attempt: int, offset: int, data: bytes) -> int:
        while True:
            chunk = self._newest(task_id, attempt)
            end = 0 if chunk is None else chunk[0] + chunk[1]
            if offset > end:
                raise Conflict(
                    f"The console of attempt {attempt} has {end} bytes; what begins at byte {offset} leaves a gap.",
                    hint=f"Send on from byte {end}.",
                )
            rest = data[end - offset :]
            if not rest:
                return end
            # Another may have appended here in the same moment: then look again. A large text goes round, too.
            if chunk is not None and chunk[1] + len(rest) <= _TINY:
                if self._grow(task_id, attempt, offset=chunk[0], rest=rest):
                    return end + len(rest)
            else:
                part = rest[:_LARGE]
                row = {"task_id": task_id, "attempt": attempt, "offset": end, "length": len(part), "data": part}
                self._unit.add_new(console_chunks, row)

    @override
    def read(self, task_id: str, attempt: int, *, after: int, limit: int = 1 << 20) -> bytes:
        after = clamped(after)
        column = console_chunks.c
        statement = (
            select(column.offset, column.data)
            .where(column.task_id == task_id, column.attempt == attempt)
            .where(column.offset > after - _LARGE, column.offset < clamped(after + limit))
            .where(column.offset + column.length > after)
            .order_by(column.offset)
        )
        chunks = self._unit.execute(statement).all()
        if not chunks:
            return b""
        text = b"".join(bytes(data) for _, data in chunks)
        start = after - chunks[0].offset
        return text[start : start + limit]

    @override
    def length(self, task_id: str, attempt: int) -> int:
        end = console_chunks.c.offset + console_chunks.c.length
        return int(self._unit.scalar(_last(task_id, attempt, end)) or 0)

    def _newest(self, task_id: str, attempt: int) -> tuple[int, int] | None:
        """Return offset and length of the last chunk, and lock it.

        Whoever appends holds this lock, but who waited for it may hold that of a chunk that is the last no more.
        """
        statement = _last(task_id, attempt, console_chunks.c.offset, console_chunks.c.length)
        row = self._unit.execute(statement.with_for_update()).first()
        return None if row is None else (row.offset, row.length)

    def _grow(self, task_id: str, attempt: int, *, offset: int, rest: bytes) -> bool:
        """Add to the last chunk, whose lock is held; return False where it is not the last."""
        column = console_chunks.c
        last = self._unit.execute(_last(task_id, attempt, column.offset, column.data)).one()
        if last.offset != offset:
            return False
        same = (column.task_id == task_id, column.attempt == attempt, column.offset == offset)
        data = bytes(last.data) + rest
        self._unit.execute(update(console_chunks).where(*same).values(data=data, length=len(data)))
        return True


def _last(task_id: str, attempt: int, *columns: ColumnElement[Any]) -> Select[*tuple[Any, ...]]:
    column = console_chunks.c
    chunks = select(*columns).where(column.task_id == task_id, column.attempt == attempt)
    return chunks.order_by(column.offset.desc()).limit(1)
