"""Files on their way from this machine's disk to where a version's bytes go, several at once.

Each file is read once: what is hashed is what is stored. Small files go in parcels, so that neither a thread's start
nor a request is paid for each; large ones go beside them, one by one.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.errors import InvalidPath
from orchestrator.records.manifest import Entry, Kind
from orchestrator.sdk.ingest.senders import PACK_BYTES
from orchestrator.sdk.ingest.steady import Steady, read_whole

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from typing import Self

    from orchestrator.sdk.ingest.patience import Patience
    from orchestrator.sdk.ingest.scan import Found
    from orchestrator.sdk.ingest.senders import Asking, Sender
    from orchestrator.sdk.meter import Meter

SMALL_BYTES = 4 << 20
"""What is smaller goes in packs."""
_PARCEL_FILES = 4096
_WORKERS = 2
"""Of each kind: reading, hashing and writing leave Python's lock alone, the rest does not."""
_WAITING = 2
"""Parcels that no worker has begun: each holds what is known of its files."""
_UNTAKEN = 8
"""Jobs whose results were not taken: one before them takes long."""


class Wanted(NamedTuple):
    """A file that is to be stored.

    Attributes:
        name: in the dataset.
        found: where it is.
        digest: of its bytes where that is remembered, else None.
        before: what the draft has under that name, or None.
    """

    name: str
    found: Found
    digest: bytes | None
    before: Entry | None

    @property
    def held(self) -> bytes | None:
        """The digest of what is surely stored already and may be the same."""
        before = self.before
        if before is None or before.kind > Kind.EXECUTABLE or before.size_bytes != self.found.status.st_size:
            return None
        return before.digest


class Done(NamedTuple):
    """What became of a file, or of a change that needs no bytes.

    Attributes:
        entry: what the draft is to have; its kind may be a removal's.
        wanted: the file, or None.
        status: of the file that was read, or None where it was not.
        read_at_ns: when reading began.
    """

    entry: Entry
    wanted: Wanted | None = None
    status: os.stat_result | None = None
    read_at_ns: int = 0


class Outcome(NamedTuple):
    """What one job brought about: in the order of the walk."""

    done: list[Done]
    errors: list[InvalidPath]


class Lane:
    """Jobs whose results are taken in the order in which they were given."""

    def __init__(self, *, name: str, take: Callable[[Outcome], object]) -> None:
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix=f"retrain-{name}")
        self._room = threading.Semaphore(_WORKERS + _WAITING)
        self._futures: deque[Future[Outcome]] = deque()
        self._take = take

    def give(self, job: Callable[[], Outcome]) -> None:
        """Start a job as soon as there is room, and take the results that are there.

        Raises:
            Exception: an earlier job failed.
        """
        while self._futures and (self._futures[0].done() or len(self._futures) >= _UNTAKEN):
            self._take(self._futures.popleft().result())
        self._room.acquire()
        future = self._pool.submit(job)
        future.add_done_callback(lambda _: self._room.release())
        self._futures.append(future)

    def finish(self) -> None:
        """Wait for all jobs and take their results.

        Raises:
            Exception: one failed.
        """
        while self._futures:
            self._take(self._futures.popleft().result())
        self._pool.shutdown()

    def cancel(self) -> None:
        """Begin no more jobs and wait for those that run."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class Storing:
    """Stores files and says what became of them.

    Args:
        sender: where to.
        asking: says which remembered digests are missing.
        patience: is ended where the work fails.
        meter: counts what is read.
        take: told of small files and changes without bytes in their order, and of large ones in theirs; the second
            argument says which.
    """

    def __init__(
        self,
        sender: Sender,
        *,
        asking: Asking,
        patience: Patience,
        meter: Meter,
        take: Callable[[Outcome, int], object],
    ) -> None:
        self._sender = sender
        self._asking = asking
        self._patience = patience
        self._meter = meter
        self._lanes = [
            Lane(name=name, take=lambda outcome, lane=lane: take(outcome, lane))  # type: ignore[misc]
            for lane, name in enumerate(("small", "large"))
        ]
        self._parcel: list[Wanted | Entry] = []
        self._parcel_bytes = 0
        self.total_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error is not None:
            self._patience.end()
            for lane in self._lanes:
                lane.cancel()

    def change(self, entry: Entry) -> None:
        """Pass on a change that needs no bytes, in its place among the others."""
        self._parcel.append(entry)
        if len(self._parcel) >= _PARCEL_FILES:
            self._close()

    def store(self, wanted: Wanted) -> None:
        """Store a file, sooner or later.

        Raises:
            Exception: an earlier one failed for a reason that is not its own.
        """
        size_bytes = wanted.found.status.st_size
        self.total_bytes += size_bytes
        if size_bytes >= SMALL_BYTES:
            self._lanes[1].give(lambda: self._large_job(wanted))
            return
        if self._parcel_bytes + size_bytes > PACK_BYTES or len(self._parcel) >= _PARCEL_FILES:
            self._close()
        self._parcel.append(wanted)
        self._parcel_bytes += size_bytes

    def finish(self) -> None:
        """Wait until all is stored.

        Raises:
            Exception: something could not be stored.
        """
        self._meter.expect(self.total_bytes)
        self._close()
        for lane in self._lanes:
            lane.finish()

    def _close(self) -> None:
        parcel, self._parcel, self._parcel_bytes = self._parcel, [], 0
        if parcel:
            self._lanes[0].give(lambda: _Parcel(self._sender, self._asking, self._meter).deliver(parcel))

    def _large_job(self, wanted: Wanted) -> Outcome:
        if wanted.digest is not None and (wanted.digest == wanted.held or not self._asking.missing([wanted.digest])):
            self._meter.count(wanted.found.status.st_size, files=1)
            return Outcome([_known(wanted, wanted.digest)], [])
        try:
            return Outcome([_store_large(self._sender, wanted, meter=self._meter)], [])
        except InvalidPath as error:
            return Outcome([], [error])


class _Parcel:
    """One lot of small files."""

    def __init__(self, sender: Sender, asking: Asking, meter: Meter) -> None:
        self._sender = sender
        self._asking = asking
        self._meter = meter
        self._done: dict[int, Done] = {}
        self._errors: list[InvalidPath] = []

    def deliver(self, items: list[Wanted | Entry]) -> Outcome:
        """Store what is missing of it."""
        missing = self._asking.missing(
            item.digest
            for item in items
            if isinstance(item, Wanted) and item.digest is not None and item.digest != item.held
        )
        reading: list[tuple[int, Wanted]] = []
        for place, item in enumerate(items):
            if isinstance(item, Entry):
                self._done[place] = Done(item)
            elif item.digest is not None and item.digest not in missing:
                self._done[place] = _known(item, item.digest)
                self._meter.count(item.found.status.st_size, files=1)
            else:
                reading.append((place, item))
        for lot in _lots(reading):
            self._read(lot)
        return Outcome([self._done[place] for place in sorted(self._done)], self._errors)

    def _read(self, lot: list[tuple[int, Wanted]]) -> None:
        read: list[tuple[int, Wanted, bytes, os.stat_result, int]] = []
        for place, wanted in lot:
            try:
                found = read_whole(wanted.found.file, most_bytes=SMALL_BYTES)
                if found is None:  # it has grown since it was found
                    self._done[place] = _store_large(self._sender, wanted, meter=self._meter)
                else:
                    read.append((place, wanted, *found))
            except InvalidPath as error:
                self._errors.append(error)
        blobs = [data for _, _, data, _, _ in read]
        digests = self._sender.store_small(blobs, held=[wanted.held for _, wanted, _, _, _ in read])
        for (place, wanted, data, status, read_at_ns), digest in zip(read, digests, strict=True):
            entry = Entry(wanted.name, _kind(status), len(data), digest)
            self._done[place] = Done(entry, wanted, status, read_at_ns)
        self._meter.count(sum(map(len, blobs)), files=len(blobs))


def _lots(reading: list[tuple[int, Wanted]]) -> Iterator[list[tuple[int, Wanted]]]:
    """Yield what to read at once: memory holds that."""
    lot: list[tuple[int, Wanted]] = []
    size_bytes = 0
    for place, wanted in reading:
        size_bytes += wanted.found.status.st_size
        if lot and size_bytes > PACK_BYTES:
            yield lot
            lot, size_bytes = [], wanted.found.status.st_size
        lot.append((place, wanted))
    if lot:
        yield lot


def _store_large(sender: Sender, wanted: Wanted, *, meter: Meter) -> Done:
    steady = Steady(wanted.found.file)
    digest = sender.store_large(steady, held=wanted.held, on_bytes=meter.count)
    steady.check()
    meter.count(0, files=1)
    entry = Entry(wanted.name, _kind(steady.status), steady.status.st_size, digest)
    return Done(entry, wanted, steady.status, steady.read_at_ns)


def _known(wanted: Wanted, digest: bytes) -> Done:
    status = wanted.found.status
    return Done(Entry(wanted.name, _kind(status), status.st_size, digest), wanted)


def _kind(status: os.stat_result) -> int:
    return int(Kind.EXECUTABLE if status.st_mode & 0o100 else Kind.FILE)
