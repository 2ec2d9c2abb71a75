"""Copies of dataset versions on this machine: read-only trees whose files are links to blobs that are kept once.

cache/blobs/ab/cdef…       bytes by digest, mode 0444; with `.x` at the end the same for executable files
cache/datasets/<id>/       a version's tree, complete since it has that name
cache/datasets/<id>.files  what it consists of
cache/datasets/<id>.lock   held by whoever makes it
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import (
    Conflict,
    DigestMismatch,
    InvalidPath,
    NoSpace,
    NotFound,
    ServerFailed,
    ServerUnreachable,
)
from orchestrator.records.paths import check_path
from orchestrator.sdk.notices import say
from orchestrator.sdk.pristine import changed, is_pristine, read_manifest, seal, write_manifest
from orchestrator.sdk.upload import Meter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.sdk.client import Client
    from orchestrator.sdk.upload import Progress

AT_ONCE = 8
_FILE, _EXECUTABLE, _FOLDER = 0o444, 0o555, 0o555


def local_copy(
    client: Client, version_id: str, *, cache: Path, progress: Progress | None = None, unasked: bool = False
) -> Path:
    """Return the read-only folder of a version, made first where this machine has none yet.

    The server is asked in any case, so that nobody gets what another has downloaded here and he may not read. Many
    processes may ask at once: one makes it, the others wait. Files that someone has written to are made anew.

    Args:
        client: speaks to the server.
        version_id: a version that is final.
        cache: folder for blobs and trees, on one file system.
        progress: called with the bytes that were downloaded so far and those to download in all.
        unasked: while the server is away, return a copy that is there. For a cache that one person alone fills.

    Raises:
        Conflict: the version is a draft, whose files may still change.
        DigestMismatch: a file's bytes are not those of the manifest; the message names it.
        NoSpace: the disk is full.
        NotFound, Forbidden: there is none that the client may read.
        ServerUnreachable, ServerFailed: the server is away.
    """
    target = cache / "datasets" / version_id
    try:
        version = client.get(f"/datasets/{version_id}")
    except (ServerUnreachable, ServerFailed):
        if not (unasked and target.is_dir()):
            raise
        version = None
    if version is not None and version["state"] == "open":
        raise Conflict(
            f"{version['project']}/{version['name']} {version['version']} is a draft.", hint="Finalize it first."
        )
    if _is_whole(target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(target.with_suffix(".lock")), _disk_errors(cache):
        if not _is_whole(target):  # another may have been faster
            _make(client, version_id, target=target, blobs=cache / "blobs", progress=progress)
    return target


def _is_whole(target: Path) -> bool:
    if not target.is_dir():
        return False
    entries = read_manifest(target.with_suffix(".files"))
    return entries is not None and not changed(target, entries)


def _make(client: Client, version_id: str, *, target: Path, blobs: Path, progress: Progress | None) -> None:
    """Make the tree, or what of it is not as it was made."""
    manifest = target.with_suffix(".files")
    entries = read_manifest(manifest)
    if entries is None:
        entries = list(client.pages(f"/datasets/{version_id}/entries"))
        for entry in entries:
            check_path(entry["path"])
        write_manifest(manifest, entries)
    if target.is_dir():
        differing = changed(target, entries)
        _download(client, differing, blobs=blobs, progress=progress)
        _mend(differing, blobs=blobs, root=target)
        say(f"{len(differing)} files in {target} had been written to since they were made; they are restored")
        return
    _download(client, entries, blobs=blobs, progress=progress)
    draft = target.with_name(f".{version_id}.{os.getpid()}")
    remove_tree(draft)
    try:
        _link(entries, blobs=blobs, root=draft)
        draft.rename(target)
    except BaseException:
        remove_tree(draft)
        raise


def _download(client: Client, entries: list[dict[str, Any]], *, blobs: Path, progress: Progress | None) -> None:
    """Download the blobs that are not here, or not as they were."""
    wanted = {entry["digest"]: entry for entry in entries if not _is_sealed(_blob(blobs, entry), entry)}
    meter = Meter(progress, total_bytes=sum(entry["size_bytes"] for entry in wanted.values()))
    with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="retrain-download") as pool:
        futures = [pool.submit(_fetch, client, entry, blobs=blobs, meter=meter) for entry in wanted.values()]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def remove_tree(root: Path) -> None:
    """Remove a read-only tree, if it is there."""
    for folder, _, _ in os.walk(root):
        Path(folder).chmod(0o755)
    shutil.rmtree(root, ignore_errors=True)


def _link(entries: list[dict[str, Any]], *, blobs: Path, root: Path) -> None:
    root.mkdir()
    folders = {root}
    for entry in entries:
        file = root / entry["path"]
        if file.parent not in folders:
            file.parent.mkdir(parents=True, exist_ok=True)
            folders |= {parent for parent in file.parents if parent.is_relative_to(root)}
        _place(entry, blobs=blobs, file=file)
    for folder in folders:
        folder.chmod(_FOLDER)


def _mend(entries: list[dict[str, Any]], *, blobs: Path, root: Path) -> None:
    """Put files in the place of others, one at a time: whoever reads the tree sees the old one or the new one."""
    for entry in entries:
        file = root / entry["path"]
        missing = [folder for folder in file.parents if not folder.exists()]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.parent.chmod(_FOLDER | 0o200)
        draft = file.with_name(f".{os.urandom(8).hex()}")
        try:
            _place(entry, blobs=blobs, file=draft)
            draft.replace(file)
        except (IsADirectoryError, NotADirectoryError) as error:
            raise InvalidPath(f"{file} is no file any more.", hint=f"Remove {root} and try again.") from error
        finally:
            draft.unlink(missing_ok=True)
            for folder in {file.parent, *missing}:
                folder.chmod(_FOLDER)


def _place(entry: dict[str, Any], *, blobs: Path, file: Path) -> None:
    source = _blob(blobs, entry)
    executable = bool(entry["mode"] & 0o100)
    if executable:
        source = _executable(source, entry)
    try:
        os.link(source, file)
    except OSError as error:
        if error.errno not in {errno.EMLINK, errno.EXDEV, errno.EPERM}:
            raise
        shutil.copyfile(source, file)
        seal(file, digest=entry["digest"])
        file.chmod(_EXECUTABLE if executable else _FILE)


def _executable(blob: Path, entry: dict[str, Any]) -> Path:
    """Return a copy of a blob that may be executed: links to one file share its mode."""
    twin = blob.with_name(f"{blob.name}.x")
    if not _is_sealed(twin, entry):
        draft = blob.with_name(f".{os.urandom(8).hex()}")
        shutil.copyfile(blob, draft)
        seal(draft, digest=entry["digest"])
        draft.chmod(_EXECUTABLE)
        draft.replace(twin)
    return twin


def _is_sealed(blob: Path, entry: dict[str, Any]) -> bool:
    return is_pristine(blob, digest=entry["digest"], size_bytes=entry["size_bytes"])


def _blob(blobs: Path, entry: dict[str, Any]) -> Path:
    name = str(entry["digest"]).removeprefix("blake3:")
    return blobs / name[:2] / name[2:]


def _fetch(client: Client, entry: dict[str, Any], *, blobs: Path, meter: Meter) -> None:
    """Download a blob and check it; a download that broke off is tried once more."""
    from blake3 import blake3  # noqa: PLC0415  inside an attempt, where it may be missing, the supervisor does this

    blob = _blob(blobs, entry)
    blob.parent.mkdir(parents=True, exist_ok=True)
    draft = blob.with_name(f".{os.urandom(8).hex()}")
    try:
        for last in (False, True):
            hasher = blake3()
            try:
                with draft.open("wb") as target:
                    client.download(f"/blobs/{entry['digest']}", target, on_bytes=hasher.update)
            except (ServerFailed, DigestMismatch, NotFound) as error:  # a server forgets bytes that it finds corrupt
                if last:
                    raise _mismatch(entry, error.message.rstrip(".")) from error
                continue
            if f"blake3:{hasher.hexdigest()}" == entry["digest"]:
                break
            if last:
                raise _mismatch(entry, "its bytes are not those that were added")
        seal(draft, digest=entry["digest"])
        draft.chmod(_FILE)
        draft.replace(blob)
        meter.count(entry["size_bytes"])
    finally:
        draft.unlink(missing_ok=True)


def _mismatch(entry: dict[str, Any], reason: str) -> DigestMismatch:
    return DigestMismatch(
        f"{entry['path']} cannot be had as it was added: {reason}.",
        hint="The stored blob is damaged; add the file again as a new version.",
    )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _disk_errors(cache: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise NoSpace(f"The disk that holds {cache} is full.", hint="Free space there and try again.") from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise InvalidPath(f"{cache} cannot be written to: {error.strerror}.") from error
        raise
