"""Console text, in chunks."""

from __future__ import annotations

from sqlalchemy import select, update
from typing_extensions import override

from orchestrator.errors import Conflict
from orchestrator.store.protocol import Console
from orchestrator.store.sql.rows import clamped
from orchestrator.store.sql.tables import console_chunks
from orchestrator.store.sql.unit import Noun

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
            if chunk is not None and chunk[1] + len(rest) <= _TINY:
                self._grow(task_id, attempt, offset=chunk[0], rest=rest)
                return end + len(rest)
            row = {"task_id": task_id, "attempt": attempt, "offset": end, "data": rest[:_LARGE]}
            # Another may have appended here in the same moment: then look again. A large text goes round, too.
            self._unit.add_new(console_chunks, row | {"length": len(rest[:_LARGE])})

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
        column = console_chunks.c
        statement = (
            select(column.offset + column.length)
            .where(column.task_id == task_id, column.attempt == attempt)
            .order_by(column.offset.desc())
            .limit(1)
        )
        return int(self._unit.scalar(statement) or 0)

    def _newest(self, task_id: str, attempt: int) -> tuple[int, int] | None:
        """Return offset and length of the last chunk, locked against another that would grow it."""
        column = console_chunks.c
        statement = (
            select(column.offset, column.length)
            .where(column.task_id == task_id, column.attempt == attempt)
            .order_by(column.offset.desc())
            .limit(1)
            .with_for_update()
        )
        row = self._unit.execute(statement).first()
        return None if row is None else (row.offset, row.length)

    def _grow(self, task_id: str, attempt: int, *, offset: int, rest: bytes) -> None:
        column = console_chunks.c
        same = (column.task_id == task_id, column.attempt == attempt, column.offset == offset)
        data = bytes(self._unit.scalar(select(column.data).where(*same))) + rest
        self._unit.execute(update(console_chunks).where(*same).values(data=data, length=len(data)))
