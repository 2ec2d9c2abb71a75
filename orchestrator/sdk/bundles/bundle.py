"""A dataset version as one file, for places without a network.

The file is a plain tar, so that its parts can be looked at with what every system has. Its members, in this order:

retrain-dataset.json   JSON: `format` (1), `dataset` (the version's record), `parents` and `since` (what these versions
                       are), `metadata`, `reports`, and how many `blocks`, `lists` and `blobs` follow, with the
                       `size_bytes` of the blobs
manifest/000000 …      the blocks of the version's manifest, as `records.manifest.encode_block` makes them
left-out/000000 …      of an incremental file: digests, 32 bytes each, of what the version `since` has and this lacks
blobs/<64 hex>         the bytes of metadata, images of reports and files, each once, in the order of the manifest

Whoever reads it holds the digests of some blocks in memory and nothing of the files, whatever their number or size.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.errors import AlreadyExists, Conflict, Forbidden, NotFound
from orchestrator.sdk.bundles.blobs import BlobList, fetch_blobs
from orchestrator.sdk.bundles.contents import FORMAT, HEAD
from orchestrator.sdk.bundles.file import BundleWriter, written_beside
from orchestrator.sdk.bundles.importing import import_version
from orchestrator.sdk.client import segment
from orchestrator.sdk.datasets.version_files import VersionFiles
from orchestrator.sdk.ingest.spool import Spool
from orchestrator.sdk.meter import Meter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from orchestrator.sdk.client import Client
    from orchestrator.sdk.meter import Progress

__all__ = ["Exported", "export_version", "import_version"]

_IN_LIST = 100_000
_BLOCKS_AT_ONCE = 32


class Exported(NamedTuple):
    """What was exported.

    Attributes:
        path: of the file.
        size_bytes: of the file.
        files: of the version.
        blobs: that are in the file.
        left_out: that are not, because the version `since` has them.
    """

    path: Path
    size_bytes: int
    files: int
    blobs: int
    left_out: int


def export_version(
    client: Client, version_id: str, target: Path, *, since: str | None = None, progress: Progress | None = None
) -> Exported:
    """Write a version into one file, which appears when it is whole.

    Args:
        client: speaks to the server.
        version_id: a version that is final.
        target: the file.
        since: id of a version that is at the other place already: what it has is left out.
        progress: called with the bytes that were written so far, those in all, and the files done.

    Raises:
        AlreadyExists: the file is there.
        Conflict: the version is a draft.
        DigestMismatch: stored bytes are damaged or gone; the message names the file.
        NoSpace: the disk is full; the message names it.
        InvalidPath: the file cannot be written.
        NotFound, Forbidden: there is no such version that the client may read.
    """
    if target.exists():
        raise AlreadyExists(f"{target} is there already.", hint="Name a new file, or remove that one.")
    path = f"/datasets/{segment(version_id, what='version_id')}"
    record = client.get(path)
    if record["state"] == "open":
        raise Conflict(
            f"{record['project']}/{record['name']} {record['version']} is a draft.",
            hint=f"Finalize it first: retrain dataset finalize {version_id}",
        )
    files = VersionFiles(client, version_id)
    metadata = list(client.pages(f"{path}/metadata"))
    reports = [_report(each) for each in client.pages(f"{path}/reports")]
    blocks = Spool()
    with contextlib.closing(BlobList()) as blobs:
        if since is not None:
            _note_known(client, since, blobs=blobs)
        blobs.add((bytes.fromhex(each["digest"][7:]), each["size_bytes"]) for each in metadata)
        blobs.add(_sizes(client, {each["data"]["digest"] for each in reports if each["kind"] == "image"}))
        for block in _blocks(files):
            blocks.add(block)
            blobs.add_block(block)
        count, left_out, size_bytes = blobs.totals()
        head = {
            "format": FORMAT,
            "dataset": record,
            "parents": [_told(client, parent) for parent in record["parents"]],
            "since": None if since is None else _told(client, since),
            "metadata": metadata,
            "reports": reports,
            "blocks": len(blocks),
            "lists": -(-left_out // _IN_LIST),
            "blobs": count,
            "size_bytes": size_bytes,
        }
        meter = Meter(progress, total_bytes=size_bytes)
        with written_beside(target) as file:
            writer = BundleWriter(file)
            writer.add(HEAD, json.dumps(head, indent=1).encode())
            for number, block in enumerate(blocks.chunks()):
                writer.add(f"manifest/{number:06}", block)
            for number, digests in enumerate(blobs.left_out(_IN_LIST)):
                writer.add(f"left-out/{number:06}", b"".join(digests))
            fetch_blobs(client, blobs, files=files, writer=writer, meter=meter)
            writer.end()
            written = writer.size_bytes
    return Exported(target, written, record["file_count"], count, left_out)


def _blocks(files: VersionFiles) -> Iterator[bytes]:
    digests = [block.digest for block in files.manifest.blocks]
    for start in range(0, len(digests), _BLOCKS_AT_ONCE):
        yield from files.load(digests[start : start + _BLOCKS_AT_ONCE])


def _note_known(client: Client, since: str, *, blobs: BlobList) -> None:
    for block in _blocks(VersionFiles(client, segment(since, what="since"))):
        blobs.note_known(block)


def _sizes(client: Client, digests: Iterable[str]) -> Iterator[tuple[bytes, int]]:
    """Yield digest and size in bytes of those blobs that are there: nothing else tells how large images are."""
    wanted = sorted(digests)
    if wanted:
        for found in client.post("/blobs/locations", {"digests": wanted}, repeatable=True)["locations"]:
            yield bytes.fromhex(found["digest"][7:]), found["size_bytes"]


def _report(found: dict[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in ("title", "series", "iteration", "kind", "data")}


def _told(client: Client, version_id: str) -> dict[str, Any]:
    """Return what the other side needs to know a version again; of one that we may not see that is its id."""
    try:
        found = client.get(f"/datasets/{version_id}")
    except (NotFound, Forbidden):
        found = {"id": version_id}
    return {name: found.get(name) or "" for name in ("id", "project", "name", "version", "manifest")}
