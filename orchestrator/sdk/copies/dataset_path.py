"""`DatasetPath`: a version's files as paths, fetched one by one when they are opened."""

from __future__ import annotations

import errno
import os
import re
import stat
from fnmatch import translate
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from orchestrator.records.manifest import Kind
from orchestrator.records.paths import check_path
from orchestrator.sdk.attempt import attempt_directory
from orchestrator.sdk.copies.block_cache import BlockCache
from orchestrator.sdk.session import cache_directory, session

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.records.manifest import Entry
    from orchestrator.sdk.client import Client

_ANY_FOLDERS = "**"
_WILD = re.compile(r"[*?\[]")
_OPEN_MODES = frozenset({"r", "rt", "tr", "rb", "br"})


class DatasetPath(os.PathLike[str]):
    """A path in a dataset version, which behaves like a `pathlib.Path` that can only be read.

    What it lists comes from the manifest. A file is fetched into the cache when it is opened, or given to something
    that opens files by itself: `PIL.Image.open(path)`, `pandas.read_csv(path)`. It stays there while this process
    lives.

    Made by `Dataset.open()`.
    """

    __slots__ = ("_path", "_version")

    def __init__(self, version: _Version, path: PurePosixPath) -> None:
        self._version = version
        self._path = path

    @classmethod
    def root(cls, client: Client, version_id: str) -> DatasetPath:
        """Return the root of a version's files.

        Args:
            client: speaks to the server.
            version_id: whose.
        """
        return cls(_Version(client, version_id), PurePosixPath())

    @property
    def name(self) -> str:
        """The last part; empty for the root."""
        return self._path.name

    @property
    def stem(self) -> str:
        """The last part without its suffix."""
        return self._path.stem

    @property
    def suffix(self) -> str:
        """What the last part ends with, from its last dot on."""
        return self._path.suffix

    @property
    def suffixes(self) -> list[str]:
        """All that the last part ends with, at its dots."""
        return self._path.suffixes

    @property
    def parts(self) -> tuple[str, ...]:
        """All parts."""
        return self._path.parts

    @property
    def parent(self) -> DatasetPath:
        """The directory around it; of the root itself."""
        return DatasetPath(self._version, self._path.parent)

    def __truediv__(self, other: str | PurePosixPath) -> DatasetPath:
        return self.joinpath(other)

    def joinpath(self, *others: str | PurePosixPath) -> DatasetPath:
        """Return the path of what lies below."""
        return DatasetPath(self._version, self._path.joinpath(*others))

    def with_name(self, name: str) -> DatasetPath:
        """Return the path of something beside it."""
        return DatasetPath(self._version, self._path.with_name(name))

    def with_suffix(self, suffix: str) -> DatasetPath:
        """Return the path of something beside it that ends otherwise."""
        return DatasetPath(self._version, self._path.with_suffix(suffix))

    def relative_to(self, other: DatasetPath) -> PurePosixPath:
        """Return how it is called seen from a directory above."""
        return self._path.relative_to(other._path)

    def match(self, pattern: str) -> bool:
        """Tell whether its last parts match a pattern."""
        return self._path.match(pattern)

    def exists(self) -> bool:
        """Tell whether there is such a file or directory."""
        return self.is_file() or self.is_dir()

    def is_file(self) -> bool:
        """Tell whether there is such a file."""
        return self._entry() is not None

    def is_dir(self) -> bool:
        """Tell whether there is such a directory."""
        return self._version.files.is_folder(self._key)

    def stat(self) -> os.stat_result:
        """Return size and mode; nothing is fetched.

        Raises:
            FileNotFoundError: there is no such file or directory.
        """
        entry = self._entry()
        if entry is None:
            if not self.is_dir():
                raise self._absent()
            return _status(stat.S_IFDIR | 0o555, 0)
        executable = entry.kind == Kind.EXECUTABLE
        return _status(stat.S_IFREG | (0o555 if executable else 0o444), entry.size_bytes)

    def iterdir(self) -> Iterator[DatasetPath]:
        """Yield what lies in a directory, in order.

        Raises:
            FileNotFoundError: there is no such directory.
            NotADirectoryError: it is a file.
        """
        if not self.is_dir():
            if self.is_file():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(self))
            raise self._absent()
        for name, _ in self._version.files.children(self._key):
            yield self / name

    def glob(self, pattern: str) -> Iterator[DatasetPath]:
        """Yield files and directories below that match a pattern, in order.

        Args:
            pattern: parts joined by `/`, with wildcards; `**` is any number of directories.

        Raises:
            ValueError: it is empty or absolute.
        """
        parts = PurePosixPath(pattern).parts
        if not parts or parts[0] == "/":
            raise ValueError(f"{pattern!r} is no pattern of what lies below.")
        fixed = 0
        while fixed < len(parts) - 1 and not _WILD.search(parts[fixed]):
            fixed += 1
        start = self.joinpath(*parts[:fixed])
        wanted = [None if part == _ANY_FOLDERS else re.compile(translate(part)) for part in parts[fixed:]]
        if not start.is_dir():
            return
        below = start.iterdir() if len(wanted) == 1 and wanted[0] is not None else start._walk()  # noqa: SLF001  one of our own
        for path in below:
            if _fits(path.parts[len(start.parts) :], wanted):
                yield path

    def rglob(self, pattern: str) -> Iterator[DatasetPath]:
        """Yield files and directories anywhere below that match a pattern; see `glob`."""
        return self.glob(f"{_ANY_FOLDERS}/{pattern}")

    def open(
        self,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[Any]:
        """Fetch the file and open it for reading; arguments are those of the built-in `open`.

        Raises:
            FileNotFoundError: there is no such file.
            OSError: it was to be written to.
            DigestMismatch: its bytes are not those that were added.
        """
        if mode not in _OPEN_MODES:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))
        return Path(self).open(mode, buffering, encoding, errors, newline)

    def read_bytes(self) -> bytes:
        """Fetch the file and return its bytes."""
        return Path(self).read_bytes()

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        """Fetch the file and return its text."""
        return Path(self).read_text(encoding, errors)

    def __fspath__(self) -> str:
        entry = self._entry()
        if entry is not None:
            return str(self._version.fetch(entry))
        if self.is_dir():
            raise IsADirectoryError(
                errno.EISDIR, "Only files are fetched one by one; get_local_copy(files=…) fetches folders", str(self)
            )
        raise self._absent()

    def __str__(self) -> str:
        return str(self._path)

    def as_posix(self) -> str:
        """Return the path in the version."""
        return str(self._path)

    def __repr__(self) -> str:
        return f"DatasetPath({self._version.id!r}, {str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DatasetPath) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def __lt__(self, other: DatasetPath) -> bool:
        return self._identity < other._identity

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self._version.id, str(self))

    @property
    def _identity(self) -> tuple[str, PurePosixPath]:
        return self._version.id, self._path

    @property
    def _key(self) -> str:
        """How the manifest calls it; empty for the root."""
        return check_path(str(self._path)) if self._path.parts else ""

    def _entry(self) -> Entry | None:
        return self._version.files.file(self._key) if self._path.parts else None

    def _walk(self) -> Iterator[DatasetPath]:
        """Yield everything below, directories before what lies in them."""
        above: tuple[str, ...] = self._path.parts
        yield self
        for entry in self._version.files.entries(below=self._key):
            path = PurePosixPath(entry.path)
            if path == self._path:
                continue
            parents = path.parts[:-1]
            for depth in range(len(self._path.parts), len(parents)):
                if above[: depth + 1] != parents[: depth + 1]:
                    yield DatasetPath(self._version, PurePosixPath(*parents[: depth + 1]))
            above = parents
            yield DatasetPath(self._version, path)

    def _absent(self) -> FileNotFoundError:
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))


class _Version:
    """Where the files of one version are to be had."""

    def __init__(self, client: Client, version_id: str) -> None:
        self.id = version_id
        self.files = BlockCache(client, version_id)
        self._client = client

    def fetch(self, entry: Entry) -> Path:
        """Return a file of this machine with the bytes of an entry."""
        if attempt_directory() is not None:
            from orchestrator.sdk.copies.node_copies import node_file  # noqa: PLC0415  only inside attempts

            return node_file(self.id, entry.path)
        from orchestrator.sdk.copies.cache import Cache  # noqa: PLC0415  by hand only
        from orchestrator.sdk.copies.single_files import local_file  # noqa: PLC0415  likewise

        return local_file(self._client, self.id, entry, cache=Cache(cache_directory()))


@lru_cache(maxsize=16)
def _root(version_id: str) -> DatasetPath:
    return DatasetPath.root(session.client(), version_id)


def _restored(version_id: str, path: str) -> DatasetPath:
    """Return a path that another process has sent; it speaks to whatever this process speaks to."""
    return _root(version_id) / path


def _status(mode: int, size_bytes: int) -> os.stat_result:
    return os.stat_result((mode, 0, 0, 1, 0, 0, size_bytes, 0, 0, 0))


def _fits(names: Sequence[str], wanted: Sequence[re.Pattern[str] | None]) -> bool:
    """Tell whether the parts of a path fit those of a pattern, of which None is any number of directories."""
    if not wanted:
        return not names
    if wanted[0] is None:
        return len(wanted) == 1 or any(_fits(names[skipped:], wanted[1:]) for skipped in range(len(names)))
    return bool(names) and wanted[0].match(names[0]) is not None and _fits(names[1:], wanted[1:])
