"""Files of a dataset that stay where they are: links with size and etag, which are checked when they are fetched."""

from __future__ import annotations

import errno
import os
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from orchestrator.errors import DigestMismatch, InvalidRequest, NoSpace, NotFound
from orchestrator.records.links import LinkPolicy, check_link
from orchestrator.records.manifest import NO_DIGEST, Entry, Kind
from orchestrator.records.paths import check_path
from orchestrator.sdk.ingest.scan import matcher
from orchestrator.sdk.ingest.web_files import look_at, opened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from typing import TypeVar

    T = TypeVar("T")

_ANY = LinkPolicy()
_WEB = frozenset({"http", "https"})
_READ_BYTES = 8 << 20
_ETAGS = ("ETag", "etag")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def find_external(
    url: str, *, wildcards: Sequence[str] = (), prefix: str = "", recursive: bool = True
) -> Iterator[Entry]:
    """Yield links to what is at a URL.

    Args:
        url: of a file or, but for the web, of a folder: `s3://`, `gs://`, `az://`, `abfs://`, `https://`.
        wildcards: of a file's name or its path below the folder; empty for every file.
        prefix: folder in the dataset.
        recursive: with the folders inside.

    Raises:
        NotFound: nothing is there, or nothing that matches.
        InvalidRequest: it is no such URL, holds credentials, or a package is missing.
        Forbidden, Unavailable: the other side refuses or does not answer.
    """
    check_link(url)
    scheme = urlsplit(url).scheme
    found = _on_web(url) if scheme in _WEB else _in_store(url, recursive=recursive)
    matches = matcher(wildcards)
    count = 0
    for relative, entry in found:
        if matches is None or matches(relative.rpartition("/")[2]) or matches(relative):
            count += 1
            name = PurePosixPath(prefix, relative).as_posix() if prefix else relative
            yield entry._replace(path=check_path(name))
    if not count:
        raise NotFound(f"There is no file at {url} that could be added.", hint="Look at the address and the wildcard.")


def fetch_external(
    entry: Entry, target: Path, *, policy: LinkPolicy = _ANY, on_bytes: Callable[[int], object] | None = None
) -> None:
    """Fetch the bytes of a link into a new file, in constant memory.

    Args:
        entry: of kind `EXTERNAL`.
        target: does not exist yet, and does not exist after a failure.
        policy: which links are followed; what the other side says stays out of errors where they are others' than ours.
        on_bytes: called with numbers of bytes that were written.

    Raises:
        DigestMismatch: the file is not the one that was added: its size or its etag differs.
        NotFound: it is gone.
        InvalidRequest: a package is missing.
        NoSpace: the disk is full.
        Forbidden: the policy or the other side refuses.
        Unavailable: the other side does not answer.
    """
    policy.trusts(entry.url)  # else it refuses, before anything is written
    web = urlsplit(entry.url).scheme in _WEB
    count = 0
    try:
        with target.open("xb") as output:
            for chunk in _from_web(entry, policy=policy) if web else _from_store(entry, quiet=policy.public_only):
                count += len(chunk)
                _check_not_beyond(entry, size_bytes=count)
                output.write(chunk)
                if on_bytes is not None:
                    on_bytes(len(chunk))
        _check(entry, size_bytes=count, etag="")
    except DigestMismatch:
        target.unlink(missing_ok=True)
        if not policy.public_only:
            raise
        raise _changed(entry, "its size or etag is another") from None
    except OSError as error:
        target.unlink(missing_ok=True)
        if error.errno in _FULL:
            raise NoSpace(f"The disk that holds {target.parent} is full.", hint="Free some space there.") from error
        raise
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _on_web(url: str) -> Iterator[tuple[str, Entry]]:
    name = unquote(urlsplit(url).path).rpartition("/")[2]
    if not name:
        raise InvalidRequest(f"{url} is a folder, and the web cannot list those.", hint="Give the files one by one.")
    size_bytes, etag = look_at(url)
    yield name, Entry(name, Kind.EXTERNAL, size_bytes, NO_DIGEST, url, etag)


def _in_store(url: str, *, recursive: bool) -> Iterator[tuple[str, Entry]]:
    files, root = _open(url)
    root = root.rstrip("/")
    scheme, _, rest = url.partition("://")
    # What a store calls a path is not always what stands in its URL: abfs://container@account/…
    head = f"{scheme}://{rest.rstrip('/').removesuffix(_inner(root))}"
    info = _do(lambda: files.info(root), url=url)
    if info["type"] == "file":
        name = root.rpartition("/")[2]
        yield name, _link(name, url, info)
        return
    list_folder = files.find if recursive else files.ls  # a depth is not minded by all of them
    listed = _do(lambda: list_folder(root, detail=True), url=url)
    for each in listed.values() if recursive else listed:
        path = str(each["name"])
        relative = path[len(root) :].lstrip("/")
        if each["type"] == "file" and relative and not relative.endswith("/"):
            yield relative, _link(relative, head + _inner(path), each)


def _inner(path: str) -> str:
    """Return a path without its bucket."""
    return path.partition("/")[2]


def _link(name: str, url: str, info: dict[str, Any]) -> Entry:
    return Entry(name, Kind.EXTERNAL, int(info["size"]), NO_DIGEST, check_link(url), _etag(info))


def _etag(info: dict[str, Any]) -> str:
    return next((str(info[name]).strip('"') for name in _ETAGS if info.get(name)), "")


def _from_web(entry: Entry, *, policy: LinkPolicy) -> Iterator[bytes]:
    with opened(entry.url, policy=policy) as (said, chunks):
        if said is not None:
            _check(entry, size_bytes=said.size_bytes, etag=said.etag)
        yield from chunks


def _from_store(entry: Entry, *, quiet: bool) -> Iterator[bytes]:
    files, path = _open(entry.url)

    def check() -> None:
        info = _do(lambda: files.info(path), url=entry.url, quiet=quiet)
        _check(entry, size_bytes=int(info["size"] or 0), etag=_etag(info))

    check()
    for start in range(0, entry.size_bytes, _READ_BYTES):
        end = min(start + _READ_BYTES, entry.size_bytes)
        yield _do(partial(files.cat_file, path, start=start, end=end), url=entry.url, quiet=quiet)
    check()  # the pieces are of one state


def _check(entry: Entry, *, size_bytes: int, etag: str) -> None:
    if size_bytes != entry.size_bytes:
        raise _changed(entry, f"it has {size_bytes} bytes instead of {entry.size_bytes}")
    if entry.etag and etag and etag != entry.etag:
        raise _changed(entry, f"its etag is {etag} instead of {entry.etag}")


def _check_not_beyond(entry: Entry, *, size_bytes: int) -> None:
    """Leave a server that said no size, and would fill the disk, at the first byte too many."""
    if size_bytes > entry.size_bytes:
        raise _changed(entry, f"it has at least {size_bytes} bytes instead of {entry.size_bytes}")


def _changed(entry: Entry, reason: str) -> DigestMismatch:
    return DigestMismatch(
        f"{entry.path}, a link to {entry.url}, is not what was added: {reason}.",
        hint="Put the old file back there, or add the link again in a new version.",
    )


def _open(url: str) -> tuple[Any, str]:
    from orchestrator.blobs.remote import open_filesystem  # noqa: PLC0415  it leads to fsspec

    return open_filesystem(url)


def _do(call: Callable[[], T], *, url: str, quiet: bool = False) -> T:
    """Ask a store; `quiet` keeps what it says out of errors: it may name whoever's credentials they are."""
    from orchestrator.blobs.failures import remote_error  # noqa: PLC0415  as above

    try:
        return call()
    except Exception as error:
        failure = remote_error(error, url=url, path=os.path.basename(url))  # noqa: PTH119  a URL is no path
        if failure is None:
            raise
        if isinstance(failure, NotFound):
            failure = NotFound(f"There is nothing at {url}.", hint="Look at the address.")
        elif quiet:
            failure = type(failure)(
                f"This agent cannot fetch {url}.",
                hint="Whoever runs it sees why when fetching the version there by hand: retrain dataset get.",
            )
        raise failure from error
