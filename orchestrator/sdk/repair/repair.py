"""Damaged versions: which files they are, and their bytes found elsewhere and stored again."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.errors import DigestMismatch, ServerFailed
from orchestrator.records.manifest import raw
from orchestrator.sdk.client import segment
from orchestrator.sdk.datasets.version_files import VersionFiles
from orchestrator.sdk.ingest.known_blobs import KnownBlobs
from orchestrator.sdk.meter import Meter
from orchestrator.sdk.repair.sources import StoreSource, open_source
from orchestrator.sdk.session import cache_directory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from orchestrator.sdk.client import Client
    from orchestrator.sdk.meter import Progress
    from orchestrator.sdk.repair.sources import Source

_ASKED_AT_ONCE = 50_000


class Damaged(NamedTuple):
    """A file whose bytes are not those that were stored, or are gone."""

    path: str
    digest: str
    size_bytes: int
    reason: str


class Repaired(NamedTuple):
    """What became of the damaged files; both empty where there were none.

    Attributes:
        mended: paths of those that are whole again.
        still_damaged: those whose bytes no source has.
    """

    mended: tuple[str, ...]
    still_damaged: tuple[Damaged, ...]


def verify_lines(client: Client, version_id: str, *, sample: float = 1.0) -> Iterator[dict[str, Any]]:
    """Let the server read a version's bytes and yield what it tells meanwhile, as `wire.Verified` has it.

    Args:
        client: speaks to the server.
        version_id: whose bytes.
        sample: share of the files, chosen at random.

    Raises:
        NotFound, Forbidden: there is no such version that the client may read.
        ServerFailed, ServerUnreachable: the server stopped before the end.
    """
    line: dict[str, Any] = {}
    path = f"/datasets/{segment(version_id, what='version_id')}/verify"
    for line in client.post_for_lines(path, {"sample": sample}):
        yield line
    if not line.get("done"):
        raise ServerFailed(f"{client.url} stopped verifying before the end.", hint="Try again.")


def repair(
    client: Client,
    version_id: str,
    *,
    sources: Sequence[str | Path] = (),
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Repaired:
    """Verify a version, look for the bytes of what is damaged, and store them again.

    What was downloaded to this machine before is looked through first.

    Args:
        client: speaks to the server.
        version_id: the version.
        sources: where to look, in this order: a directory or URL that is a store of blobs, an exported version, or any
            folder of files.
        cache: this machine's own; None for the usual one.
        progress: called with bytes done, those in all, and files done; first of verifying, then of storing.

    Raises:
        InvalidPath: a source is not there.
        Forbidden, Unavailable: a source refuses or does not answer.
        NotFound: there is no such version that the client may read.
    """
    opened = [StoreSource(str(cache or cache_directory()))]
    searched: list[Source] = [*opened, *(each for one in sources for each in open_source(one))]
    damaged = _damaged(client, version_id, progress=progress)
    wanted = {raw(each.digest): each.size_bytes for each in damaged}
    if wanted:
        meter = Meter(progress, total_bytes=sum(wanted.values()))
        blobs = KnownBlobs(client, version_id=version_id, on_bytes=meter.count)
        for source in searched:
            _store_found(source, wanted, blobs=blobs, meter=meter)
            if not wanted:
                break
        blobs.flush()
    lost = _missing(client, {each.digest for each in damaged})
    return Repaired(
        mended=tuple(each.path for each in damaged if each.digest not in lost),
        still_damaged=tuple(each for each in damaged if each.digest in lost),
    )


def _damaged(client: Client, version_id: str, *, progress: Progress | None) -> list[Damaged]:
    """Return all files with damaged bytes, in order; the server tells of each blob once."""
    reasons: dict[bytes, str] = {}
    for line in verify_lines(client, version_id):
        reasons |= {raw(each["digest"]): each["reason"] for each in line["damaged"]}
        if progress is not None:
            progress(line["size_bytes"], line["total_bytes"], line["files"])
    if not reasons:
        return []
    return [
        Damaged(entry.path, f"blake3:{entry.digest.hex()}", entry.size_bytes, reasons[entry.digest])
        for entry in VersionFiles(client, version_id).entries()
        if entry.digest in reasons
    ]


def _store_found(source: Source, wanted: dict[bytes, int], *, blobs: KnownBlobs, meter: Meter) -> None:
    """Store what a source has of the wanted blobs, and strike it out."""
    for digest, read in source.find(wanted):
        if digest not in wanted:
            continue
        try:
            blobs.add(digest, size_bytes=wanted[digest], read=read)
        except DigestMismatch:
            continue  # damaged there, too: another source may have it
        del wanted[digest]
        meter.count(0, files=1)


def _missing(client: Client, digests: Iterable[str]) -> set[str]:
    lost: set[str] = set()
    left = iter(sorted(digests))
    while some := list(islice(left, _ASKED_AT_ONCE)):
        lost |= set(client.post("/blobs/missing", {"digests": some}, repeatable=True)["missing"])
    return lost
