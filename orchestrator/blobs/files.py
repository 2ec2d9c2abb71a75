"""Files on their way into a store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import blake3

from orchestrator.blobs import parts
from orchestrator.blobs.copying import SourceError, copy_file
from orchestrator.blobs.failures import disk_error
from orchestrator.blobs.parts import Hashed, changed, hash_in_parts, send_parts
from orchestrator.blobs.spans import PREFIX, Span, object_path, parts_path
from orchestrator.errors import InvalidPath

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from orchestrator.blobs.copying import OnBytes
    from orchestrator.blobs.directory import DirectoryObjects
    from orchestrator.blobs.objects import Objects


def receive_file(
    objects: DirectoryObjects, file: Path, *, digest: str | None, on_bytes: OnBytes | None
) -> tuple[str, Span]:
    """Copy a file into a directory; where it has not the digest that it should have, leave nothing behind."""
    try:
        source = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(file, error) from error
    try:
        with objects.draft() as draft:
            wanted = os.fstat(source).st_size
            try:
                hexadecimal, size_bytes = copy_file(source, draft.fileno(), size_bytes=wanted, on_bytes=on_bytes)
            except SourceError as error:
                raise _unreadable(file, error) from error
            except OSError as error:
                raise disk_error(error, url=objects.url) from error
            found = PREFIX + hexadecimal
            if size_bytes != wanted or digest not in {None, found}:
                raise changed(file)
            # What is there already is replaced: it may be damaged, and storing it again is how it heals.
            draft.settle(object_path(found))
    finally:
        os.close(source)
    return found, Span(object_path(found), 0, size_bytes)


def send_file(  # noqa: PLR0913  what it is made of
    objects: Objects,
    file: Path,
    *,
    digest: str,
    size_bytes: int,
    prefixes: Sequence[bytes] | None,
    on_bytes: OnBytes | None,
) -> Span:
    """Send a file to a store elsewhere; a large one in parts."""
    try:
        if file.stat().st_size != size_bytes:
            raise changed(file)
        if size_bytes > parts.PART_BYTES:
            span = Span(parts_path(digest), 0, size_bytes, parts.PART_BYTES)
            send_parts(objects, file, span=span, digest=digest, prefixes=prefixes, on_bytes=on_bytes)
            return span
        data = file.read_bytes()
    except OSError as error:
        raise _unreadable(file, error) from error
    if PREFIX + blake3.blake3(data).hexdigest() != digest:
        raise changed(file)
    objects.put(object_path(digest), data)
    if on_bytes is not None:
        on_bytes(size_bytes)
    return Span(object_path(digest), 0, size_bytes)


def hash_file(file: Path, *, on_bytes: OnBytes | None = None) -> Hashed:
    """Read a file and return what `send_file` needs to know of it.

    Raises:
        InvalidPath: it cannot be read.
    """
    try:
        return hash_in_parts(file, on_bytes=on_bytes)
    except OSError as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: OSError) -> InvalidPath:
    return InvalidPath(
        f"{file} cannot be read: {error.strerror or error}.", hint="Look at its rights, and whether it is still there."
    )
