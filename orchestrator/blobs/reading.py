"""Blobs on their way out of a store: nothing is passed on to its end before it has proved to be what was stored."""

from __future__ import annotations

import logging
import os
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import blake3

from orchestrator.blobs.ahead import ahead
from orchestrator.blobs.copying import SourceError, copy_file
from orchestrator.blobs.directory import DirectoryObjects, write_all
from orchestrator.blobs.failures import disk_error
from orchestrator.blobs.objects import CHUNK_BYTES
from orchestrator.blobs.spans import PREFIX, Span
from orchestrator.errors import AlreadyExists, DigestMismatch, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from orchestrator.blobs.copying import OnBytes
    from orchestrator.blobs.objects import Objects

logger = logging.getLogger(__name__)

_GROUP_BYTES = 4 << 20
_GAP_BYTES = 64 << 10
"""What is read and thrown away between two blobs costs less than a request."""
_GROUPS_AHEAD = 4


def read_blob(objects: Objects, span: Span, *, digest: str) -> Iterator[bytes]:
    """Yield a blob's bytes; see `BlobStore.read`."""
    hasher = blake3.blake3()
    held = b""
    try:
        for path, offset, size_bytes in span.pieces():
            for chunk in objects.read(path, offset=offset, size_bytes=size_bytes):
                hasher.update(chunk)
                if held:
                    yield held
                held = chunk
    except NotFound:
        raise _gone(objects, digest) from None
    _check(hasher.hexdigest(), digest=digest)
    yield held


def read_blobs(objects: Objects, blobs: Iterable[tuple[str, Span]]) -> Iterator[tuple[str, bytes]]:
    """Yield small blobs; see `BlobStore.read_many`."""
    groups = _groups(blobs)
    if isinstance(objects, DirectoryObjects):
        read = _read_near(objects, groups)
    else:
        read = ahead((partial(_read_group, objects, group) for group in groups), depth=_GROUPS_AHEAD)
    for group, data in read:
        for digest, span in group.blobs:
            start = span.offset - group.span.offset
            found = bytes(data[start : start + span.size_bytes])
            _check(blake3.blake3(found).hexdigest(), digest=digest)
            yield digest, found


def copy_blob(objects: Objects, span: Span, target: Path, *, digest: str, on_bytes: OnBytes | None) -> None:
    """Copy a blob to a new file; see `BlobStore.copy_to`."""
    try:
        descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        raise AlreadyExists(f"{target} exists already.", hint="Remove it, or copy to another place.") from None
    except OSError as error:
        raise disk_error(error, url=str(target.parent)) from error
    try:
        try:
            _copy(objects, span, descriptor, digest=digest, on_bytes=on_bytes)
        except SourceError as error:
            raise disk_error(error, url=objects.url) from error
        except OSError as error:
            raise disk_error(error, url=str(target)) from error
        finally:
            os.close(descriptor)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _copy(objects: Objects, span: Span, target: int, *, digest: str, on_bytes: OnBytes | None) -> None:
    source = _open_whole(objects, span)
    if source is None:
        _copy_chunks(objects, span, target, digest=digest, on_bytes=on_bytes)
        return
    try:
        found, _ = copy_file(source, target, size_bytes=span.size_bytes, shared=True, on_bytes=on_bytes)
    finally:
        os.close(source)
    _check(found, digest=digest)


def _open_whole(objects: Objects, span: Span) -> int | None:
    """Return a descriptor where a blob is just a file of this machine."""
    place = objects.local_path(span.path)
    if place is None or span.part_bytes or span.offset:
        return None
    try:
        source = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None  # whoever reads it says so
    if os.fstat(source).st_size == span.size_bytes:
        return source
    os.close(source)
    return None


def _copy_chunks(objects: Objects, span: Span, target: int, *, digest: str, on_bytes: OnBytes | None) -> None:
    zeros = bytes(CHUNK_BYTES)
    for chunk in read_blob(objects, span, digest=digest):
        if chunk == zeros:
            os.lseek(target, CHUNK_BYTES, os.SEEK_CUR)  # a hole
        else:
            write_all(target, chunk)
        if on_bytes is not None:
            on_bytes(len(chunk))
    os.ftruncate(target, span.size_bytes)


class _Group(NamedTuple):
    """Blobs that are read at once."""

    span: Span
    blobs: list[tuple[str, Span]]


def _groups(blobs: Iterable[tuple[str, Span]]) -> Iterator[_Group]:
    group: _Group | None = None
    for digest, span in blobs:
        if group is not None and (joined := _joined(group.span, span)) is not None:
            group.blobs.append((digest, span))
            group = group._replace(span=joined)
            continue
        if group is not None:
            yield group
        group = _Group(span, [(digest, span)])
    if group is not None:
        yield group


def _joined(before: Span, after: Span) -> Span | None:
    """Return the span that covers both, or None where they are not worth one read."""
    end = before.offset + before.size_bytes
    after_end = after.offset + after.size_bytes
    beside = (before.path, before.part_bytes) == (after.path, after.part_bytes) and (
        before.offset <= after.offset <= end + _GAP_BYTES
    )
    if not beside or after_end - before.offset > _GROUP_BYTES:
        return None
    return before._replace(size_bytes=max(end, after_end) - before.offset)


def _read_near(objects: DirectoryObjects, groups: Iterator[_Group]) -> Iterator[tuple[_Group, memoryview]]:
    """Read groups into memory that is used again: to get new memory takes longer than to read what is cached."""
    buffer = memoryview(bytearray(_GROUP_BYTES))
    opened: tuple[str, int] | None = None
    try:
        for group in groups:
            path, offset, size_bytes, part_bytes = group.span
            if part_bytes or size_bytes > _GROUP_BYTES:
                yield group, _read_group(objects, group)[1]
                continue
            if opened is None or opened[0] != path:
                if opened is not None:
                    os.close(opened[1])
                opened = None
                opened = path, _open_near(objects, group)
            try:
                count = os.preadv(opened[1], [buffer[:size_bytes]], offset)
            except OSError as error:
                raise disk_error(error, url=objects.url) from error
            yield group, buffer[:count]
    finally:
        if opened is not None:
            os.close(opened[1])


def _open_near(objects: DirectoryObjects, group: _Group) -> int:
    try:
        return os.open(objects.place(group.span.path), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise _gone(objects, group.blobs[0][0]) from None
    except OSError as error:
        raise disk_error(error, url=objects.url) from error


def _read_group(objects: Objects, group: _Group) -> tuple[_Group, memoryview]:
    try:
        data = b"".join(
            chunk
            for path, offset, size_bytes in group.span.pieces()
            for chunk in objects.read(path, offset=offset, size_bytes=size_bytes)
        )
    except NotFound:
        raise _gone(objects, group.blobs[0][0]) from None
    return group, memoryview(data)


def _check(found: str, *, digest: str) -> None:
    if PREFIX + found != digest:
        logger.error("blob is corrupt", extra={"action": "blob_corrupt", "digest": digest, "found": PREFIX + found})
        raise DigestMismatch(
            f"The stored bytes of {digest} are corrupt.",
            hint="Store them again from where they are whole: retrain dataset repair DATASET --from FOLDER",
        )


def _gone(objects: Objects, digest: str) -> NotFound:
    return NotFound(f"The bytes of {digest} are gone from {objects.url}.", hint="Restore them from a backup.")
