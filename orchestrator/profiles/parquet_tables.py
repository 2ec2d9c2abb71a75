"""Parquet files, batch by batch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from orchestrator.profiles.tables import TableState, flat, unique_names

if TYPE_CHECKING:
    from typing import BinaryIO

    import pyarrow as pa

    from orchestrator.records.profile import TableSketch

_BATCH_BYTES = 16 << 20
_MOST_ROWS = 65_536
_PAGE_BYTES = 1 << 20


def read_parquet(source: BinaryIO, *, limit_bytes: int, until: float = math.inf) -> tuple[TableSketch, bool]:
    """Profile a Parquet file.

    Args:
        source: seekable.
        limit_bytes: row groups beyond so many bytes of column data are not read.

        until: when to stop reading, by `time.monotonic`.

    Returns:
        What is kept, and whether rows were left out.
    """
    with pq.ParquetFile(source, buffer_size=_PAGE_BYTES, pre_buffer=False) as file:
        metadata = file.metadata
        state = TableState("parquet", expected=metadata.num_columns, until=until)
        groups: list[int] = []
        read = 0
        for index in range(metadata.num_row_groups):
            group = metadata.row_group(index)
            read += sum(group.column(place).total_compressed_size for place in range(group.num_columns))
            if groups and read > limit_bytes:
                break
            groups.append(index)
        size = sum(metadata.row_group(index).total_byte_size for index in groups)
        rows = sum(metadata.row_group(index).num_rows for index in groups)
        batch = max(64, min(_MOST_ROWS, _BATCH_BYTES * rows // max(1, size)))
        names = unique_names(file.schema_arrow.names)
        nothing = file.schema_arrow.empty_table()
        state.add(_columns(names, [column.combine_chunks() for column in nothing.columns]), rows=0)
        for part in file.iter_batches(batch_size=batch, row_groups=groups, use_threads=False):
            state.add(_columns(names, part.columns), rows=part.num_rows)
            if state.is_late():
                break
        return state.sketch(), state.stopped or len(groups) < metadata.num_row_groups


def _columns(names: list[str], arrays: list[pa.Array]) -> list[tuple[str, pa.Array]]:
    pairs = [pair for name, array in zip(names, arrays, strict=True) for pair in flat(name, array)]
    return list(zip(unique_names([name for name, _ in pairs]), (array for _, array in pairs), strict=True))


__all__ = ["read_parquet"]
