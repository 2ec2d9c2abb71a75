"""What stands in a file that `dataset_bundle` describes, checked before anybody relies on it."""

from __future__ import annotations

import json
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from orchestrator.errors import DigestMismatch, InvalidPath, InvalidRequest
from orchestrator.records.manifest import DIGEST_BYTES, NO_DIGEST, Block, Kind, Manifest, decode_block, named, order
from orchestrator.records.paths import check_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.records.manifest import Entry
    from orchestrator.sdk.bundles.file import BundleReader, Member
    from orchestrator.sdk.datasets.version_files import VersionFiles
    from orchestrator.sdk.ingest.known_blobs import KnownBlobs
    from orchestrator.sdk.meter import Meter

HEAD = "retrain-dataset.json"
FORMAT = 1
BLOBS = "blobs/"
_HEAD_BYTES = 512 << 20
_BLOCK_BYTES = 64 << 20
_ASKED_AT_ONCE = 50_000
_COUNTS = ("blocks", "lists", "blobs", "size_bytes")
_VERSION = {"id": str, "project": str, "name": str, "version": str, "manifest": str}
_SHAPE = {
    "dataset": _VERSION | {"description": str, "tags": [str]},
    "parents": [_VERSION],
    "metadata": [{"name": str, "kind": str, "filename": str, "digest": str, "size_bytes": int, "preview": str}],
    "reports": [{"title": str, "series": str, "iteration": int, "kind": str}],
} | dict.fromkeys(_COUNTS, int)
"""What the first member must have."""


class Bundle:
    """What stands before the blobs, checked; then the blobs.

    Attributes:
        dataset: the record of the version.
        head: all that the first member says.
        since: the version that an incremental file builds on.
        manifest: the version's.
    """

    def __init__(self, reader: BundleReader) -> None:
        self._reader = reader
        self._members = reader.members()
        first = next(self._members, None)
        if first is None or first.name != HEAD or first.size_bytes > _HEAD_BYTES:
            raise reader.foreign()
        self.head = self._head(first)
        self.dataset: dict[str, Any] = self.head["dataset"]
        self.since: dict[str, Any] | None = self.head.get("since")
        self._places: dict[bytes, Member] = {}
        self._last = ""
        self.manifest = Manifest(self._block(number) for number in range(self.head["blocks"]))
        if named(digest_of_bytes(self.manifest.encode())) != self.dataset["manifest"]:
            raise reader.damaged("its list of files is not the version's")
        if (self.head["lists"] > 0 or self.since is not None) and not _has(self.since, _VERSION):
            raise reader.damaged(f"{HEAD} does not say what it builds on")
        self._lists = [self._next(f"left-out/{number:06}") for number in range(self.head["lists"])]

    def load(self, digests: Sequence[bytes], *, files: VersionFiles) -> Iterator[bytes]:
        """Yield blocks by their digests: ours, and those of a draft on the server."""
        asked = [digest for digest in digests if digest not in self._places]
        others = files.load(asked) if asked else iter(())
        for digest in digests:
            place = self._places.get(digest)
            yield next(others) if place is None else self._reader.read(place)

    def left_out(self) -> Iterator[list[bytes]]:
        """Yield digests of what the other version has."""
        for place in self._lists:
            data = self._reader.read(place)
            yield [data[at : at + DIGEST_BYTES] for at in range(0, len(data), DIGEST_BYTES)]

    def store(self, blobs: KnownBlobs, *, meter: Meter) -> None:
        """Store what is missing of the blobs.

        Raises:
            DigestMismatch: one is damaged, missing or too many; the message names the file.
        """
        for number in range(self.head["blobs"]):
            member = next(self._members, None)
            if member is None:
                raise self._reader.damaged(f"{self.head['blobs'] - number} blobs are missing at its end")
            digest = self._blob_digest(member)
            read = partial(self._reader.chunks, member)
            try:
                blobs.add(digest, size_bytes=member.size_bytes, read=read)
            except DigestMismatch as error:
                raise self._reader.damaged(f"the bytes of {self._path_of(digest)} were changed") from error
            meter.count(0, files=1)
        if next(self._members, None) is not None:
            raise self._reader.damaged("there is more in it than was put into it")
        blobs.flush()

    def check_all_there(self, blobs: KnownBlobs) -> None:
        """Check that no file's bytes are missing on the server now."""
        entries = (
            entry
            for block in self.manifest.blocks
            for entry in decode_block(self._reader.read(self._places[block.digest]))
        )
        digests = (entry.digest for entry in entries if entry.digest != NO_DIGEST)
        while some := list(islice(digests, _ASKED_AT_ONCE)):
            missing = blobs.missing(some)
            if missing:
                raise self._reader.damaged(f"the bytes of {self._path_of(missing.pop())} are not in it")

    def _path_of(self, digest: bytes) -> str:
        for block in self.manifest.blocks:
            for entry in decode_block(self._reader.read(self._places[block.digest])):
                if entry.digest == digest:
                    return entry.path
        return named(digest)

    def _head(self, member: Member) -> dict[str, Any]:
        try:
            head = json.loads(self._reader.read(member))
            form = head["format"]
        except (ValueError, KeyError, TypeError) as error:
            raise self._reader.foreign() from error
        if form != FORMAT:
            raise InvalidRequest(
                f"{self._reader.path} was written by another release, in format {form}.",
                hint="Upgrade: pip install -U retrain-orchestrator",
            )
        if not _has(head, _SHAPE) or min(head[count] for count in _COUNTS) < 0:
            raise self._reader.damaged(f"{HEAD} lacks what belongs into it")
        found: dict[str, Any] = head
        return found

    def _next(self, name: str) -> Member:
        member = next(self._members, None)
        if member is None or member.name != name:
            raise self._reader.damaged(f"{name} is missing")
        if member.size_bytes > _BLOCK_BYTES:
            raise self._reader.damaged(f"{name} is too large")
        return member

    def _block(self, number: int) -> Block:
        member = self._next(f"manifest/{number:06}")
        data = self._reader.read(member)
        try:
            entries = decode_block(data)
        except (DigestMismatch, ValueError) as error:
            raise self._reader.damaged(f"{member.name} cannot be read") from error
        if not entries:
            raise self._reader.damaged(f"{member.name} is empty")
        for entry in entries:
            self._check(entry)
        digest = digest_of_bytes(data)
        self._places[digest] = member
        files = sum(entry.kind != Kind.DIRECTORY for entry in entries)
        return Block(entries[0].path, digest, files, sum(entry.size_bytes for entry in entries))

    def _check(self, entry: Entry) -> None:
        try:
            key = order(check_path(entry.path))
        except InvalidPath as error:
            raise InvalidPath(
                f"{self._reader.path} is not imported: {error.message}", hint="Whoever made it meant harm, or erred."
            ) from error
        if key <= self._last or entry.kind not in set(Kind):
            raise self._reader.damaged(f"its list of files is in disorder at {entry.path!r}")
        self._last = key

    def _blob_digest(self, member: Member) -> bytes:
        try:
            digest = bytes.fromhex(member.name.removeprefix(BLOBS))
        except ValueError:
            digest = b""
        if not member.name.startswith(BLOBS) or len(digest) != DIGEST_BYTES:
            raise self._reader.damaged(f"it holds {member.name!r}, which does not belong there")
        return digest


def _has(value: object, shape: object) -> bool:
    """Tell whether JSON has all that a shape names: a type, a list of a shape, or an object with fields."""
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(name in value and _has(value[name], shape[name]) for name in shape)
    if isinstance(shape, list):
        return isinstance(value, list) and all(_has(each, shape[0]) for each in value)
    return isinstance(shape, type) and isinstance(value, shape)


def digest_of_bytes(data: bytes) -> bytes:
    """Return the digest of bytes in memory."""
    from blake3 import blake3  # noqa: PLC0415  inside an attempt it may be missing, and nothing there needs this

    return bytes(blake3(data).digest())
