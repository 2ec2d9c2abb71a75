"""The container of exported dataset versions: a plain tar of which nothing but what we write is accepted.

Every member is a regular file with a header of one block, in GNU format: sizes of 8 GiB and more are binary there. So
members are found without a list of them in memory, at offsets that can be read again.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tarfile
from typing import IO, TYPE_CHECKING, NamedTuple, cast

from orchestrator.errors import DigestMismatch, InvalidPath, InvalidRequest, NoSpace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Self

_BLOCK = tarfile.BLOCKSIZE
_CHUNK_BYTES = 1 << 20
_HOLE_BYTES = 64 << 10
_FEW_ZEROS = bytes(64)
_BINARY_FROM = 8 << 30
"""Sizes from here on do not fit into eleven octal digits."""
_NAME_BYTES = 100
_SIZE, _SUM = slice(124, 136), slice(148, 156)
_EIGHT_OR_NINE = frozenset(b"89")


class Member(NamedTuple):
    """A file in the container.

    Attributes:
        name: with `/` between folders.
        offset: of its first byte.
        size_bytes: of all of it.
    """

    name: str
    offset: int
    size_bytes: int


class BundleWriter:
    """Writes members one after the other. Zeros in large ones become holes where the file system has them."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    @property
    def size_bytes(self) -> int:
        """How long the file is so far."""
        return self._file.tell()

    def add(self, name: str, data: bytes) -> None:
        """Write a member from memory."""
        self._file.write(_header(name.encode(), len(data)))
        self._file.write(data)
        self._pad(len(data))

    def add_large(self, name: str, size_bytes: int, write: Callable[[IO[bytes]], object]) -> None:
        """Write a member of any size.

        Args:
            name: of the member.
            size_bytes: of all of it.
            write: is called with a file and writes all bytes to it; where it fails, the member is not there.

        Raises:
            DigestMismatch: it wrote another number of bytes.
        """
        start = self._file.tell()
        try:
            self._file.write(_header(name.encode(), size_bytes))
            target = _WithHoles(self._file)
            write(cast("IO[bytes]", target))  # nothing of a file but `write` is used
            target.check(name, size_bytes=size_bytes)
            self._pad(size_bytes)
        except BaseException:
            self._file.seek(start)
            self._file.truncate()
            raise

    def end(self) -> None:
        """Write what a tar ends with."""
        self._file.write(bytes(2 * _BLOCK))
        self._file.truncate()
        self._file.flush()

    def _pad(self, size_bytes: int) -> None:
        self._file.write(bytes(-size_bytes % _BLOCK))


class _WithHoles:
    """Skips what is zero; the padding and the end that follow are written, so that the length is right."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.size_bytes = 0

    def write(self, data: bytes) -> int:
        self.size_bytes += len(data)
        if len(data) >= _HOLE_BYTES and data.startswith(_FEW_ZEROS) and data.count(0) == len(data):
            self._file.seek(len(data), os.SEEK_CUR)
        else:
            self._file.write(data)
        return len(data)

    def check(self, name: str, *, size_bytes: int) -> None:
        if self.size_bytes != size_bytes:
            raise DigestMismatch(f"{name} has {self.size_bytes} bytes where {size_bytes} were announced.")


class BundleReader:
    """Reads members in order, and again by their offsets.

    Args:
        path: of the file.

    Raises:
        InvalidPath: it is not there or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = path.open("rb", buffering=0)
            self._size_bytes = os.fstat(self._file.fileno()).st_size
        except OSError as error:
            raise InvalidPath(f"{path} cannot be read: {error.strerror}.", hint="Check the path.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def members(self) -> Iterator[Member]:
        """Yield the members in order, without reading what is in them.

        Raises:
            DigestMismatch: the file was cut or changed.
            InvalidRequest: it is no tar at all, or not one of ours.
        """
        offset = 0
        while True:
            header = self._at(offset, _BLOCK)
            if header == bytes(_BLOCK):
                return
            name, size_bytes = _parsed(header) or self._unusual(header, offset=offset)
            offset += _BLOCK
            if offset + size_bytes > self._size_bytes:
                raise self.damaged(f"{name} is not there to its end")
            yield Member(name, offset, size_bytes)
            offset += size_bytes + -size_bytes % _BLOCK

    def read(self, member: Member) -> bytes:
        """Return all bytes of a small member."""
        return self._at(member.offset, member.size_bytes)

    def chunks(self, member: Member, start: int = 0) -> Iterator[bytes]:
        """Yield the bytes of a member from one on."""
        place, end = member.offset + start, member.offset + member.size_bytes
        while place < end:
            data = self._at(place, min(_CHUNK_BYTES, end - place))
            yield data
            place += len(data)

    def damaged(self, reason: str) -> DigestMismatch:
        """Return what is raised where the file is ours and not whole."""
        return DigestMismatch(f"{self.path} is damaged: {reason}.", hint="Copy it again, or export the version again.")

    def foreign(self) -> InvalidRequest:
        """Return what is raised where the file is something else."""
        return InvalidRequest(
            f"{self.path} is no exported dataset version.", hint="Make one with: retrain dataset export ID FILE"
        )

    def _unusual(self, header: bytes, *, offset: int) -> tuple[str, int]:
        try:
            info = tarfile.TarInfo.frombuf(header, tarfile.ENCODING, "surrogateescape")
        except tarfile.HeaderError as error:
            if not offset:
                raise self.foreign() from error
            raise self.damaged(f"it has no readable header at byte {offset}") from error
        if info.type != tarfile.REGTYPE:
            raise self.foreign()
        return info.name, info.size

    def _at(self, offset: int, size_bytes: int) -> bytes:
        parts = []
        while size_bytes:
            try:
                data = os.pread(self._file.fileno(), size_bytes, offset)
            except OSError as error:
                raise InvalidPath(f"{self.path} cannot be read: {error.strerror}.") from error
            if not data:
                if not offset:
                    raise self.foreign()
                raise self.damaged("it was cut")
            parts.append(data)
            offset += len(data)
            size_bytes -= len(data)
        return b"".join(parts)


@contextlib.contextmanager
def written_beside(target: Path) -> Iterator[IO[bytes]]:
    """Yield a file that takes its place, whole and durable, when the context ends without an exception.

    Raises:
        NoSpace: the disk is full.
        InvalidPath: nothing can be written there.
    """
    draft = target.with_name(f".{target.name[:200]}.{os.urandom(4).hex()}")
    try:
        with draft.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise NoSpace(
                f"The disk that holds {target} is full.", hint="Free space there, or export to another disk."
            ) from error
        if error.filename is None:
            raise
        raise InvalidPath(f"{target} cannot be written: {error.strerror}.") from error
    finally:
        draft.unlink(missing_ok=True)


def _header(name: bytes, size_bytes: int) -> bytes:
    """Return the header of a member; there are millions, so the usual one is filled into a form."""
    if size_bytes >= _BINARY_FROM or len(name) > _NAME_BYTES:
        return _long_header(name.decode(), size_bytes)
    header = bytearray(_FORM)
    header[: len(name)] = name
    header[_SIZE] = b"%011o\0" % size_bytes
    header[_SUM] = b"%06o\0 " % sum(header)
    return bytes(header)


def _parsed(header: bytes) -> tuple[str, int] | None:
    """Return name and size in bytes of a member with the usual header; None where it is another one."""
    name = header[:_NAME_BYTES].rstrip(b"\0")
    digits = header[_SIZE][:-1]
    if not name.isascii() or not digits.isdigit() or _EIGHT_OR_NINE & set(digits):
        return None
    size_bytes = int(digits, 8)
    return (name.decode(), size_bytes) if _header(name, size_bytes) == header else None


def _long_header(name: str, size_bytes: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size_bytes
    return info.tobuf(tarfile.GNU_FORMAT)


def _form() -> bytes:
    form = bytearray(_long_header("", 0))
    form[_SUM] = b" " * 8  # what counts as the sum while it is made
    return bytes(form)


_FORM = _form()
