"""From a file that `dataset_bundle` describes to a version on a server."""

from __future__ import annotations

import contextlib
import json
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from orchestrator.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    OrchestratorError,
)
from orchestrator.records.manifest import Kind, named
from orchestrator.records.manifest_changes import diff
from orchestrator.sdk.bundles.contents import Bundle, digest_of_bytes
from orchestrator.sdk.bundles.file import BundleReader
from orchestrator.sdk.client import segment
from orchestrator.sdk.datasets.version_files import VersionFiles
from orchestrator.sdk.ingest.known_blobs import KnownBlobs
from orchestrator.sdk.meter import Meter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from orchestrator.records.manifest import Entry
    from orchestrator.records.manifest_changes import Change
    from orchestrator.sdk.client import Client
    from orchestrator.sdk.meter import Progress

ORIGIN = "exported_from"
"""Name of the metadata that says where a version came from."""
_ENTRIES_AT_ONCE = 5_000
_FINALIZE_SECONDS = 600.0


def import_version(
    client: Client,
    source: Path,
    *,
    project: str | None = None,
    name: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Make the version that is in a file on this server and return its record; when it fails, nothing of it is left.

    It gets the same number, tags, description, metadata, reports and files. Parents that are on this server, too, are
    its parents here; the others are named in its description. Where it came from is kept as metadata `exported_from`.

    Args:
        client: speaks to the server.
        source: the file.
        project: where it is to belong; where it belonged before if None.
        name: what it is to be called; as before if None.
        progress: called with the bytes that were checked and stored so far, those in all, and the files done.

    Raises:
        InvalidRequest: the file is none of ours, or of a later release.
        DigestMismatch: it was cut or changed; the message says where.
        InvalidPath: it cannot be read, or a file's name in it leaves the dataset.
        NotFound: it builds on a version that is not here; the message names that.
        AlreadyExists: there is a version of that number.
        HeadMoved: another version was finalized meanwhile.
    """
    with BundleReader(source) as reader:
        bundle = Bundle(reader)
        told = bundle.dataset
        own = (project or told["project"], name or told["name"])
        parents, strangers = _parents(client, bundle, own=own)
        body = {
            "project": own[0],
            "name": own[1],
            "version": told["version"],
            "parents": parents,
            "tags": told["tags"],
            "description": _description(told["description"], strangers),
        }
        try:
            draft = client.post("/datasets", body)
        except AlreadyExists as error:
            raise AlreadyExists(error.message, hint="Import it under another name or into another project.") from error
        try:
            record = _fill(client, bundle, version_id=draft["id"], progress=progress)
        except BaseException as error:
            _remove(client, draft["id"], error=error)
            raise
        return record


def _fill(client: Client, bundle: Bundle, *, version_id: str, progress: Progress | None) -> dict[str, Any]:
    path = f"/datasets/{version_id}"
    meter = Meter(progress, total_bytes=bundle.head["size_bytes"])
    blobs = KnownBlobs(client, version_id=version_id, on_bytes=meter.count)
    _require_left_out(bundle, blobs)
    bundle.store(blobs, meter=meter)
    bundle.check_all_there(blobs)
    manifest = _put_entries(client, bundle, version_id=version_id)
    for each in bundle.head["metadata"]:
        if each["name"] != ORIGIN:
            body = {field: each[field] for field in ("kind", "filename", "digest", "size_bytes", "preview")}
            client.put(f"{path}/metadata/{segment(each['name'], what='metadata')}", body)
    _put_origin(client, bundle, version_id=version_id)
    for report in bundle.head["reports"]:
        client.post(f"{path}/reports", report, repeatable=True)
    # With this digest or not at all: a version that was mixed with another one must never be final, not for a moment.
    record: dict[str, Any] = client.post(f"{path}/finalize", {"manifest": manifest}, timeout_seconds=_FINALIZE_SECONDS)
    return record


def _require_left_out(bundle: Bundle, blobs: KnownBlobs) -> None:
    for digests in bundle.left_out():
        missing = blobs.missing(digests)
        if missing and bundle.since is not None:
            raise NotFound(
                f"The file has only what is new since {label(bundle.since)}, and {len(missing)} or more blobs of that "
                "version are not on this server.",
                hint="Import that version first, or export this one whole.",
            )


def _put_entries(client: Client, bundle: Bundle, *, version_id: str) -> str:
    """Make a draft's files those of the bundle and return the digest of its manifest."""
    files = VersionFiles(client, version_id)
    path = f"/datasets/{version_id}/entries"
    load = partial(bundle.load, files=files)

    def changes() -> Iterator[Change]:
        return diff(files.manifest, bundle.manifest, load=load)

    gone = (change.path for change in changes() if change.after is None)
    for some in _batches(gone):  # first: what was a directory may be a file now
        client.post(path, {"remove": some}, repeatable=True)
    files.forget()
    put = (told_entry(change.after) for change in changes() if change.after is not None)
    for some in _batches(put):
        client.post(path, {"put": some}, repeatable=True)
    files.forget()
    left = next(changes(), None)
    if left is not None:
        raise Conflict(f"The draft was changed by somebody else at {left.path!r} meanwhile.", hint="Import it again.")
    return named(digest_of_bytes(files.manifest.encode()))


def _put_origin(client: Client, bundle: Bundle, *, version_id: str) -> None:
    told = bundle.dataset
    origin = {field: told[field] for field in ("id", "project", "name", "version")} | {
        "parents": bundle.head["parents"]
    }
    data = json.dumps(origin, indent=1).encode()
    digest = named(digest_of_bytes(data))
    client.put_bytes(f"/blobs/{digest}", data, dataset=version_id)
    body = {
        "kind": "json",
        "filename": f"{ORIGIN}.json",
        "digest": digest,
        "size_bytes": len(data),
        "preview": data.decode()[:65_536],
    }
    client.put(f"/datasets/{version_id}/metadata/{ORIGIN}", body)


def _parents(client: Client, bundle: Bundle, *, own: tuple[str, str]) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the ids that the parents have here, and what is known of those that cannot be parents here.

    A parent in the same line that is not its newest version cannot be one: the server would apply what the version
    changed to the newest, and it would not have the files that it had.
    """
    found: list[str] = []
    strangers = []
    for told in bundle.head["parents"]:
        is_own = (told["project"], told["name"]) == (bundle.dataset["project"], bundle.dataset["name"])
        here = _find(client, told, lines=[(told["project"], told["name"]), *([own] if is_own else [])])
        if here is None or (not found and (here["project"], here["name"]) == own and not _is_newest(client, here)):
            strangers.append(told)
        else:
            found.append(here["id"])
    return found, strangers


def _find(client: Client, told: dict[str, Any], *, lines: list[tuple[str, str]]) -> dict[str, Any] | None:
    """Return a version with the same files, by its id or its name and number."""
    if not told["manifest"]:
        return None  # whoever exported it could not see it
    candidates: list[dict[str, Any]] = []
    with contextlib.suppress(NotFound, Forbidden, InvalidRequest):
        candidates.append(client.get(f"/datasets/{segment(told['id'], what='id')}"))
    for project, name in lines:
        candidates += client.pages("/datasets", project=project, name=name, version=told["version"])
    for each in candidates:
        if each["manifest"] == told["manifest"] and each["state"] != "open" and not each["deleted_at"]:
            return each
    return None


def _is_newest(client: Client, record: dict[str, Any]) -> bool:
    newest = client.get("/datasets/newest", project=record["project"], name=record["name"])
    return bool(newest["id"] == record["id"])


def _description(before: str, strangers: list[dict[str, Any]]) -> str:
    if not strangers:
        return before
    names = ", ".join(map(label, strangers))
    return f"{before}\n\nImported; made from {names}: not among its parents on this server.".lstrip()


def label(told: dict[str, Any]) -> str:
    """Return what a version of another server is called."""
    return f"{told['project']}/{told['name']} {told['version']} ({told['id']})" if told["name"] else str(told["id"])


def _remove(client: Client, version_id: str, *, error: BaseException) -> None:
    try:
        client.delete(f"/datasets/{version_id}")
    except OrchestratorError as failure:
        error.add_note(f"The draft {version_id} is left on the server: {failure}")


def told_entry(entry: Entry) -> dict[str, Any]:
    """Return an entry as it stands on the wire."""
    told: dict[str, Any] = {"path": entry.path, "size_bytes": entry.size_bytes}
    if entry.kind == Kind.DIRECTORY:
        return told | {"kind": "directory"}
    if entry.kind == Kind.EXTERNAL:
        return told | {"kind": "external", "url": entry.url, "etag": entry.etag or None}
    return told | {"digest": named(entry.digest), "mode": 0o755 if entry.kind == Kind.EXECUTABLE else 0o644}


def _batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(items)
    while batch := list(islice(iterator, _ENTRIES_AT_ONCE)):
        yield batch
