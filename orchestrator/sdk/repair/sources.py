"""Where bytes may be found again: stores of blobs, exported versions, any folder of files."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from orchestrator.errors import DigestMismatch, InvalidRequest, NotFound
from orchestrator.records.manifest import raw
from orchestrator.sdk.bundles.contents import BLOBS
from orchestrator.sdk.bundles.file import BundleReader
from orchestrator.sdk.notices import say

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from orchestrator.blobs import Objects
    from orchestrator.sdk.ingest.known_blobs import Read

_CHUNK_BYTES = 1 << 20
_WHOLE = ("blake3", "blobs", "cache/blobs", "")
"""Folders in which blobs lie by their digests: of a store, of a home directory's cache and of parts of these."""


_SUFFIXES = ("", ".x")
"""Caches have executable files under names of their own."""


class Source(Protocol):
    """Something that may have bytes."""

    def find(self, wanted: Mapping[bytes, int]) -> Iterator[tuple[bytes, Read]]:
        """Yield blobs that seem to be there; who takes them checks them, and strikes them out of `wanted`.

        Args:
            wanted: sizes in bytes by digest. May shrink meanwhile.
        """


def open_source(place: str | Path) -> list[Source]:
    """Return what looks through a place, in the order in which it is cheapest.

    Args:
        place: the URL of a store, a directory, an exported version or a file.

    Raises:
        InvalidPath: nothing is there, or it cannot be read.
        InvalidRequest: it is a URL that names no store.
    """
    text = str(place)
    if "://" in text and not text.startswith("file://"):
        return [StoreSource(text)]
    path = Path(text.removeprefix("file://"))
    if path.is_dir():
        return [StoreSource(str(path)), FolderSource(path)]
    with BundleReader(path) as reader:
        try:
            next(reader.members(), None)
        except InvalidRequest:
            return [FolderSource(path)]
    return [BundleSource(path)]


class StoreSource:
    """A store of blobs: those that are objects of their own, those in parts, and those in packs."""

    def __init__(self, url: str) -> None:
        from orchestrator.blobs import open_objects  # noqa: PLC0415  it needs BLAKE3

        self._objects: Objects = open_objects(url)
        near = self._objects.local_path("x") is not None
        self._places = [(folder, suffix) for folder in _WHOLE for suffix in _SUFFIXES] if near else [("blake3", "")]

    def find(self, wanted: Mapping[bytes, int]) -> Iterator[tuple[bytes, Read]]:
        """Look at each place where a blob may lie."""
        for digest, size_bytes in list(wanted.items()):
            name = f"{digest.hex()[:2]}/{digest.hex()[2:]}"
            for folder, suffix in self._places:
                path = f"{folder}/{name}{suffix}" if folder else name + suffix
                if self._objects.size_of(path) == size_bytes:
                    yield digest, partial(self._read, path, size_bytes)
            part_bytes = self._objects.size_of(f"parts/{name}/00000")
            if part_bytes:
                yield digest, partial(self._read_parts, f"parts/{name}", size_bytes, part_bytes)
        yield from self._in_packs(wanted)

    def _in_packs(self, wanted: Mapping[bytes, int]) -> Iterator[tuple[bytes, Read]]:
        from orchestrator.blobs import read_index  # noqa: PLC0415  it needs BLAKE3

        for listed in self._objects.listing("packs"):
            if not wanted:
                return
            try:
                index = read_index(self._objects, listed.path, size_bytes=listed.size_bytes)
            except DigestMismatch as error:
                say(error.message)
                continue
            for packed in index:
                digest = raw(packed.digest)
                if wanted.get(digest) == packed.size_bytes:
                    yield digest, partial(self._read_packed, listed.path, packed.offset, packed.size_bytes)

    def _read_packed(self, path: str, offset: int, size_bytes: int, start: int) -> Iterator[bytes]:
        return self._objects.read(path, offset=offset + start, size_bytes=size_bytes - start)

    def _read(self, path: str, size_bytes: int, start: int) -> Iterator[bytes]:
        return self._objects.read(path, offset=start, size_bytes=size_bytes - start)

    def _read_parts(self, path: str, size_bytes: int, part_bytes: int, start: int) -> Iterator[bytes]:
        from orchestrator.blobs import Span  # noqa: PLC0415  it needs BLAKE3

        span = Span(path, start, size_bytes - start, part_bytes)
        for piece, offset, length in span.pieces():
            try:
                yield from self._objects.read(piece, offset=offset, size_bytes=length)
            except NotFound:
                return  # a part is gone; that the bytes are too few is found out by who takes them


class BundleSource:
    """An exported version."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, wanted: Mapping[bytes, int]) -> Iterator[tuple[bytes, Read]]:
        """Go through the headers."""
        names = {f"{BLOBS}{digest.hex()}": digest for digest in wanted}
        with BundleReader(self._path) as reader:
            for member in reader.members():
                digest = names.get(member.name)
                if digest is not None and member.size_bytes == wanted.get(digest):
                    yield digest, partial(reader.chunks, member)


class FolderSource:
    """Files of any name: those of a wanted size are read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, wanted: Mapping[bytes, int]) -> Iterator[tuple[bytes, Read]]:
        """Walk through the folder; links are not followed."""
        from blake3 import blake3  # noqa: PLC0415  inside an attempt it may be missing, and nothing there needs this

        sizes = set(wanted.values())
        for file in _files(self._path):
            try:
                if file.lstat().st_size not in sizes:
                    continue
                hasher = blake3()
                for chunk in _chunks(file, 0):
                    hasher.update(chunk)
            except OSError:
                continue  # what cannot be read has nothing for us
            digest = bytes(hasher.digest())
            if digest in wanted:
                yield digest, partial(_chunks, file)


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            file = Path(folder, name)
            if file.is_file() and not file.is_symlink():
                yield file


def _chunks(file: Path, start: int) -> Iterator[bytes]:
    with file.open("rb") as source:
        source.seek(start)
        while chunk := source.read(_CHUNK_BYTES):
            yield chunk
