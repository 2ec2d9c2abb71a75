"""Bytes of many blobs, in the order asked, from whichever storages they lie in."""

from __future__ import annotations

from collections import deque
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.blobs import Span
from orchestrator.records.manifest import named

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from orchestrator.records.blob import BlobPlace
    from orchestrator.services.storage_access import Storages

_SMALL_BYTES = 4 << 20
"""Blobs up to this size are read whole, and with those that lie beside them."""


class Wanted(NamedTuple):
    """A blob to read."""

    digest: bytes
    place: BlobPlace


class Read(NamedTuple):
    """Some bytes of a blob."""

    wanted: Wanted
    data: bytes
    ended: bool
    """Whether these are its last, and it has proved to be what was stored."""


def span_of(place: BlobPlace) -> Span:
    """Return where a blob lies in its storage."""
    return Span(place.path, place.offset, place.size_bytes, place.part_bytes)


def read_blobs(storages: Storages, wanted: Iterable[Wanted]) -> Iterator[Read]:
    """Yield the bytes of blobs, one blob after the other; those that lie side by side are read together.

    An error is that of the first blob that has not ended.

    Raises:
        NotFound: an object is gone.
        DigestMismatch: stored bytes are not those that were once stored.
    """
    for (storage, small), run in groupby(wanted, key=_kind):
        blobs = storages.of(storage)
        if not small:
            for each in run:
                data = None
                for chunk in blobs.read(span_of(each.place), digest=named(each.digest)):
                    if data is not None:
                        yield Read(each, data, ended=False)
                    data = chunk
                yield Read(each, data or b"", ended=True)
            continue
        taken: deque[Wanted] = deque()
        for _, data in blobs.read_many(_noting(run, taken=taken)):
            yield Read(taken.popleft(), data, ended=True)


def _kind(each: Wanted) -> tuple[str, bool]:
    return each.place.storage, each.place.size_bytes <= _SMALL_BYTES


def _noting(run: Iterable[Wanted], *, taken: deque[Wanted]) -> Iterator[tuple[str, Span]]:
    for each in run:
        taken.append(each)
        yield named(each.digest), span_of(each.place)
