"""Blocks that are not stored yet, however many: memory holds the first of them, a temporary file the others."""

from __future__ import annotations

import errno
import tempfile
import weakref
from itertools import islice
from typing import TYPE_CHECKING

from orchestrator.errors import NoSpace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_HELD_BYTES = 32 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT}


class Spill:
    """Blocks by digest. What it keeps is gone with it. For one thread at a time.

    Args:
        held_bytes: how many bytes stay in memory.
    """

    def __init__(self, *, held_bytes: int = _HELD_BYTES) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=held_bytes, prefix="retrain-")  # noqa: SIM115  see below
        weakref.finalize(self, self._file.close)
        self._places: dict[bytes, tuple[int, int]] = {}
        self._end = 0

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._places

    def __getitem__(self, digest: bytes) -> bytes:
        offset, size_bytes = self._places[digest]
        self._file.seek(offset)
        return self._file.read(size_bytes)

    def __setitem__(self, digest: bytes, data: bytes) -> None:
        if digest in self._places:
            return
        try:
            self._file.seek(self._end)
            self._file.write(data)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise NoSpace(
                f"The disk that holds {tempfile.gettempdir()} is full.",
                hint="Manifests wait there: free some space, or set TMPDIR to another disk.",
            ) from error
        self._places[digest] = self._end, len(data)
        self._end += len(data)

    def batches(self, digests: Iterable[bytes], *, most: int) -> Iterator[dict[bytes, bytes]]:
        """Yield those of these blocks that are here, some at a time, in the order of their digests."""
        mine = iter(sorted({digest for digest in digests if digest in self}))
        while some := list(islice(mine, most)):
            yield {digest: self[digest] for digest in some}
