"""Entries of manifests as they stand on the wire, and as they are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.records.dataset import EntryChange, ManifestEntry
from orchestrator.records.links import check_link
from orchestrator.records.manifest import NO_DIGEST, Entry, Kind, named, raw
from orchestrator.records.paths import check_path

if TYPE_CHECKING:
    from orchestrator.records.manifest_changes import Change

_EXECUTABLE = 0o755


def stored(entry: ManifestEntry) -> Entry:
    """Return an entry to store.

    Raises:
        InvalidPath: its path leaves the dataset or is no file name.
        InvalidRequest: its address is none, or holds credentials.
    """
    path = check_path(entry.path)
    if entry.kind == "directory":
        return Entry(path, Kind.DIRECTORY, 0, NO_DIGEST)
    if entry.url is not None:
        return Entry(path, Kind.EXTERNAL, entry.size_bytes, NO_DIGEST, check_link(entry.url), entry.etag or "")
    kind = Kind.EXECUTABLE if entry.mode == _EXECUTABLE else Kind.FILE
    return Entry(path, kind, entry.size_bytes, raw(entry.digest or ""))


def told(entry: Entry) -> ManifestEntry:
    """Return an entry to tell of."""
    if entry.kind == Kind.DIRECTORY:
        return ManifestEntry(path=entry.path, kind="directory")
    if entry.kind == Kind.EXTERNAL:
        return ManifestEntry(
            path=entry.path, kind="external", size_bytes=entry.size_bytes, url=entry.url, etag=entry.etag or None
        )
    mode = _EXECUTABLE if entry.kind == Kind.EXECUTABLE else 0o644
    return ManifestEntry.model_validate(
        {"path": entry.path, "size_bytes": entry.size_bytes, "digest": named(entry.digest), "mode": mode}
    )


def told_change(change: Change) -> EntryChange:
    """Return a difference to tell of."""
    before, after = (None if entry is None else told(entry) for entry in (change.before, change.after))
    return EntryChange(path=change.path, before=before, after=after)


def counts(before: Entry | None, after: Entry | None) -> tuple[int, int, int]:
    """Return whether a difference counts as a file added, modified or removed; empty directories are no files."""
    was, is_there = (entry is not None and entry.kind != Kind.DIRECTORY for entry in (before, after))
    return int(is_there and not was), int(is_there and was), int(was and not is_there)
