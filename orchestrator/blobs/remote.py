"""A store of bytes that fsspec reaches: S3, Google Cloud Storage, Azure and others.

Nothing of fsspec's listings is kept: what others stored or removed since must be seen. What fails because the line or
the store is away is tried again here, each object by itself.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import random
import tempfile
import time
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from orchestrator.blobs.ahead import ahead
from orchestrator.blobs.directory import new_marker, read_marker
from orchestrator.blobs.failures import FULL, credentials_hint, is_short, remote_error
from orchestrator.blobs.objects import CHUNK_BYTES, MARKER, OWNER, Listed
from orchestrator.errors import Forbidden, InvalidRequest, NoSpace, NotFound, Unavailable
from orchestrator.records.paths import check_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    from orchestrator.blobs.objects import Bytes

    T = TypeVar("T")

_READ_BYTES = 8 << 20
_READS_AHEAD = 3
_STREAM_BYTES = 32 << 20
_MD5_LENGTH = 32
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure", "abfss": "azure"}


class FsspecObjects:
    """Objects below a prefix.

    Args:
        url: such as `s3://bucket/prefix`.

    Raises:
        InvalidRequest: fsspec does not know it, it holds credentials, or a package is missing.
        Forbidden: the environment has no credentials.
    """

    pauses_seconds = (0.5, 1.0, 2.0)
    """Between tries; a jitter of half comes on top."""

    def __init__(self, url: str) -> None:
        _refuse_secrets(url)
        self.url = url.rstrip("/")
        self._files, root = open_filesystem(self.url)
        self._root = str(root).strip("/")

    def read(self, path: str, *, offset: int = 0, size_bytes: int) -> Iterator[bytes]:
        """Yield bytes; a few requests are under way at a time."""
        end = offset + size_bytes
        calls = (
            partial(self._range, path, start=start, end=min(start + _READ_BYTES, end))
            for start in range(offset, end, _READ_BYTES)
        )
        for block in ahead(calls, depth=_READS_AHEAD) if size_bytes > _READ_BYTES else (call() for call in calls):
            yield from (block[start : start + CHUNK_BYTES] for start in range(0, len(block), CHUNK_BYTES))

    def size_of(self, path: str) -> int | None:
        """Ask for the size of an object."""
        found = self._info(path)
        return None if found is None else int(found["size"])

    def holds(self, path: str, data: bytes) -> bool:
        """Compare with the MD5 that the store made of an object when it arrived, where it tells one."""
        found = self._info(path)
        if found is None or int(found["size"]) != len(data):
            return False
        return _md5(found) == hashlib.md5(data, usedforsecurity=False).hexdigest()

    def put(self, path: str, data: Bytes) -> None:
        """Store an object with one request."""
        place = self._place(path)
        content = data if isinstance(data, bytes) else bytes(data)
        self._do(lambda: self._files.pipe_file(place, content), path=path)

    def put_first(self, path: str, data: bytes) -> bytes:
        """Store an object unless one is there, and return what is there then."""
        with contextlib.suppress(NotFound):
            return self._whole(path)
        with contextlib.suppress(FileExistsError):
            self._do(lambda: self._create(path, data), path=path)
        return self._whole(path)

    @contextlib.contextmanager
    def draft(self, *, held_bytes: int = 0) -> Iterator[RemoteDraft]:
        """Begin an object: its bytes wait here until their place is known."""
        draft = RemoteDraft(self, held_bytes=held_bytes)
        try:
            yield draft
        finally:
            draft.discard()

    @contextlib.contextmanager
    def write(self, path: str) -> Iterator[RemoteDraft]:
        """Begin an object whose place is known."""
        self._place(path)
        with self.draft(held_bytes=_STREAM_BYTES) as draft:
            yield draft
            draft.settle(path)

    def send(self, source: IO[bytes], *, path: str) -> None:
        """Store what a file holds as one object, however large; nobody sees it before it is whole."""
        place = self._place(path)

        def attempt() -> None:
            source.seek(0)
            target = self._files.open(place, "wb", block_size=_STREAM_BYTES)
            try:
                while chunk := source.read(CHUNK_BYTES):
                    target.write(chunk)
            except BaseException:
                target.discard()
                target.closed = True  # or it is finished as it is when it is collected
                raise
            target.close()

        self._do(attempt, path=path)

    def delete(self, path: str) -> int:
        """Remove an object."""
        found = self._info(path)
        if found is None:
            return 0
        with contextlib.suppress(NotFound):
            self._do(lambda: self._files.rm_file(self._place(path)), path=path)
        return int(found["size"])

    def listing(self, prefix: str) -> Iterator[Listed]:
        """Yield the objects below a folder; memory holds one folder of the third level at a time."""
        yield from self._below(self._place(prefix) if prefix else self._root, levels=2)

    def local_path(self, path: str) -> None:
        """Return None."""

    def identity(self, *, create: bool) -> str | None:
        """Return what the marker says."""
        if create:
            return read_marker(self.put_first(MARKER, new_marker()), url=self.url)
        try:
            return read_marker(self._whole(MARKER), url=self.url)
        except NotFound:
            return None

    def _whole(self, path: str) -> bytes:
        place = self._place(path)
        return bytes(self._do(lambda: self._files.cat_file(place), path=path))

    def _create(self, path: str, data: bytes) -> None:
        try:
            self._files.pipe_file(self._place(path), data, mode="create")
        except Exception as error:
            if "PreconditionFailed" in str(error) or "conditionNotMet" in str(error):
                raise FileExistsError(path) from error  # each library says it in its own way
            raise

    def _below(self, folder: str, *, levels: int) -> Iterator[Listed]:
        path = folder.removeprefix(self._root).strip("/")
        if levels:
            found = self._do(partial(self._ls, folder), path=path)
        else:
            found = list(self._do(partial(self._files.find, folder, detail=True), path=path).values())
        for each in found:
            name = str(each["name"]).strip("/")
            if name == folder:
                continue
            if each["type"] == "directory":
                yield from self._below(name, levels=levels - 1)
            elif (inner := name.removeprefix(self._root).strip("/")) not in {MARKER, OWNER}:
                yield Listed(inner, int(each["size"]), _changed_at(each))

    def _ls(self, folder: str) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = self._files.ls(folder, detail=True)
        except FileNotFoundError:
            return []
        return found

    def _range(self, path: str, *, start: int, end: int) -> bytes:
        place = self._place(path)

        def ask() -> bytes:
            try:
                return bytes(self._files.cat_file(place, start=start, end=end))
            except Exception as error:
                if is_short(error):
                    return b""
                raise

        return self._do(ask, path=path)

    def _info(self, path: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._do(partial(self._files.info, self._place(path)), path=path)
        except NotFound:
            return None
        return found if found["type"] == "file" else None

    def _place(self, path: str) -> str:
        return f"{self._root}/{check_path(path)}"

    def _do(self, action: Callable[[], T], *, path: str) -> T:
        """Do something that may be done twice; where the store is away, wait and try again."""
        pauses = iter(self.pauses_seconds)
        while True:
            try:
                return action()
            except FileExistsError:
                raise
            except Exception as error:
                failure = remote_error(error, url=self.url, path=path)
                if failure is None:
                    raise
                pause = next(pauses, None) if isinstance(failure, Unavailable) else None
                if pause is None:
                    raise failure from error
            time.sleep(pause * random.uniform(1, 1.5))  # noqa: S311  spreads clients, keeps no secret


class RemoteDraft:
    """Bytes that wait in memory, then in a temporary file, until they are sent."""

    def __init__(self, objects: FsspecObjects, *, held_bytes: int) -> None:
        self._objects = objects
        self._held_bytes = held_bytes
        self._held = bytearray()
        self._file: IO[bytes] | None = None

    def write(self, data: Bytes) -> None:
        """Append bytes."""
        try:
            if self._file is None and len(self._held) + len(data) > self._held_bytes:
                self._file = tempfile.TemporaryFile(prefix="retrain-")  # noqa: SIM115  `discard` closes it
                self._file.write(self._held)
                self._held = bytearray()
            if self._file is None:
                self._held += data
            else:
                self._file.write(data)
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise NoSpace(
                f"The disk that holds {tempfile.gettempdir()} is full.",
                hint="Uploads wait there: free some space, or set TMPDIR to another disk.",
            ) from error

    def settle(self, path: str) -> None:
        """Send the bytes."""
        if self._file is None:
            self._objects.put(path, self._held)
        elif self._file.tell() <= _STREAM_BYTES:
            self._file.seek(0)
            self._objects.put(path, self._file.read())
        else:
            self._objects.send(self._file, path=path)

    def discard(self) -> None:
        """Forget them."""
        self._held = bytearray()
        if self._file is not None:
            self._file.close()


def _refuse_secrets(url: str) -> None:
    scheme, _, rest = url.partition("://")
    parts = urlsplit(f"//{rest}")
    # abfs://CONTAINER@ACCOUNT… is how Azure writes it; everywhere else there is nothing to say before an @
    named = parts.username if _EXTRAS.get(scheme) != "azure" else None
    if named or parts.password is not None or parts.query:
        raise InvalidRequest(
            f"The URL of the {scheme}:// store holds credentials or options.",
            hint=f"Take them out of it. {credentials_hint(scheme)}",
        )
    if not parts.netloc and scheme != "memory":
        raise InvalidRequest(f"{url} names no bucket or container.", hint=f"Write {scheme}://BUCKET/PREFIX.")


def open_filesystem(url: str) -> tuple[Any, str]:
    """Return what fsspec opens at a URL, and the path there; see `FsspecObjects` for what it raises."""
    scheme = url.partition("://")[0]
    extra = _EXTRAS.get(scheme, "server")
    options: dict[str, Any] = {"use_listings_cache": False}
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    connection = os.environ.get("AZURE_STORAGE_CONNECTION_STRING")
    if extra == "s3" and endpoint:
        options["endpoint_url"] = endpoint
    if extra == "azure" and connection:
        options["connection_string"] = connection
    try:
        fsspec = import_module("fsspec")
        files, root = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        raise InvalidRequest(
            f"{scheme}:// needs a package that is not installed: {error}.",
            hint=f"pip install 'retrain-orchestrator[{extra}]'",
        ) from error
    except ValueError as error:
        if extra == "server":
            raise InvalidRequest(
                f"{url} names no store: {error}.",
                hint="A store is a directory, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX.",
            ) from error
        raise Forbidden(f"{url} cannot be opened: {error}.", hint=credentials_hint(scheme)) from error
    return files, root


def _md5(found: dict[str, Any]) -> str | None:
    """Return the MD5 of an object as 32 digits, where a store tells one.

    S3 calls it ETag where an object came in one piece and is not encrypted with a key of the customer's; any other ETag
    equals no MD5.
    """
    settings = found.get("content_settings")
    raw = settings.get("content_md5") if settings is not None else None
    if raw:
        return bytes(raw).hex()
    if found.get("md5Hash"):
        return base64.b64decode(found["md5Hash"]).hex()
    tag = str(found.get("ETag", "")).strip('"')
    return tag if len(tag) == _MD5_LENGTH else None


def _changed_at(found: dict[str, Any]) -> datetime:
    for name in ("LastModified", "last_modified", "mtime", "created", "updated"):
        value = found.get(name)
        if isinstance(value, datetime):
            return value if value.tzinfo else value.replace(tzinfo=UTC)
        if isinstance(value, str) and value:
            return datetime.fromisoformat(value)
        if isinstance(value, (int, float)):
            return datetime.fromtimestamp(value, tz=UTC)
    raise Unavailable(f"The store does not tell when {found['name']} was changed.", hint="Use another kind of store.")
