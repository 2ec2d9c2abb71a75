"""Changes of a draft: bytes are stored when they are noted, the manifest is changed when they are sent."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import partial
from posixpath import commonpath
from typing import TYPE_CHECKING, Any

from orchestrator.records.manifest import NO_DIGEST, Entry, Kind, named, order
from orchestrator.sdk.datasets.version_files import VersionFiles
from orchestrator.sdk.ingest.adding import Adding, Counted
from orchestrator.sdk.ingest.changes import Changes, Run, batches, is_removal, removal
from orchestrator.sdk.ingest.direct import Chosen
from orchestrator.sdk.ingest.patience import Patience
from orchestrator.sdk.ingest.scan import Selection
from orchestrator.sdk.ingest.senders import Asking
from orchestrator.sdk.ingest.storing import Storing
from orchestrator.sdk.meter import Meter, Progress
from orchestrator.sdk.session import cache_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from orchestrator.sdk.client import Client
    from orchestrator.sdk.ingest.adding import OnName

__all__ = ["Counted", "Draft", "Progress"]

BATCH_ENTRIES = 10_000
"""What a request may change."""
_FEW_ENTRIES = 8
"""So few are asked for one by one: the folder around them may be large."""
_EXECUTABLE, _PLAIN = 0o755, 0o644
_WILD = frozenset("*?[")


class Draft:
    """What is to change in a version's manifest, until it is sent.

    Args:
        client_of: returns what speaks for this process at the moment.
        version_id: of the draft; of a final version only `entries`, `paths` and `at` are of use.
    """

    def __init__(self, client_of: Callable[[], Client], *, version_id: str) -> None:
        self._client_of = client_of
        self._version_id = version_id
        self._path = f"/datasets/{version_id}"
        self._changes = Changes()
        self._files: VersionFiles | None = None
        self._files_client: Client | None = None

    def __bool__(self) -> bool:
        """Tell whether something was not sent."""
        return bool(self._changes)

    def add(  # noqa: PLR0913  what goes in has that many sides
        self,
        path: Path,
        *,
        wildcards: Sequence[str] = (),
        base: Path | None = None,
        prefix: str = "",
        recursive: bool = True,
        on_name: OnName | None = None,
        progress: Progress | None = None,
    ) -> Counted:
        """Store the bytes of files that are new or changed, and note these.

        Args:
            path: see `Selection`, as for all up to `recursive`.
            wildcards: of names or paths.
            base: what names are relative to.
            prefix: folder in the dataset.
            recursive: with the folders inside.
            on_name: told of each name.
            progress: called with the bytes done so far, those in all (0 while that is not known) and the files done.

        Raises:
            InvalidPath: files are not there, change, cannot be read or have no usable name; then none is noted.
            NoSpace: the disk is full; then none is noted.
        """
        selection = Selection(path, wildcards=wildcards, base=base, prefix=prefix, recursive=recursive)
        return self._merge(selection, mirror=False, on_name=on_name, progress=progress)

    def sync(
        self,
        path: Path,
        *,
        wildcards: Sequence[str] = (),
        prefix: str = "",
        on_name: OnName | None = None,
        progress: Progress | None = None,
    ) -> Counted:
        """Do as `add`, and note as removed what a folder does not hold any more. Links to files elsewhere stay.

        Args:
            path: a folder.
            wildcards: only what matches, here and there.
            prefix: folder in the dataset; what lies elsewhere stays.
            on_name: told of each name.
            progress: as for `add`.

        Raises:
            InvalidPath: as for `add`.
            NoSpace: likewise.
        """
        selection = Selection(path, wildcards=wildcards, prefix=prefix)
        return self._merge(selection, mirror=True, on_name=on_name, progress=progress)

    def link(
        self,
        urls: Sequence[str],
        *,
        wildcards: Sequence[str] = (),
        prefix: str = "",
        recursive: bool = True,
        on_name: OnName | None = None,
    ) -> Counted:
        """Note links to files that stay where they are; see `external.find_external`."""
        from orchestrator.sdk.ingest.external import find_external  # noqa: PLC0415  seldom needed

        found = {
            entry.path: entry
            for url in urls
            for entry in find_external(url, wildcards=wildcards, prefix=prefix, recursive=recursive)
        }
        run, added, modified = Run(), 0, 0
        ordered = sorted(found.values(), key=lambda entry: order(entry.path))
        for entry, before in self._with_present(ordered):
            if before == entry:
                continue
            added, modified = added + (before is None), modified + (before is not None)
            run.add(entry)
            if on_name is not None:
                on_name(entry.path)
        run.close()
        self._changes.note(run)
        size_bytes = sum(entry.size_bytes for entry in ordered)
        return Counted(added, modified, 0, len(ordered) - added - modified, size_bytes)

    def remove(self, pattern: str, *, recursive: bool = True, on_name: OnName | None = None) -> int:
        """Note that entries leave the manifest, and return how many.

        Args:
            pattern: a path, a folder or a wildcard.
            recursive: of a folder also what lies in folders inside.
            on_name: told of each.
        """
        run = Run()
        for entry in self._matching(pattern, recursive=recursive):
            run.add(removal(entry.path))
            if on_name is not None:
                on_name(entry.path)
        run.close()
        self._changes.note(run)
        return run.count

    def entries(self, below: str | None = None) -> Iterator[Entry]:
        """Yield the manifest with the changes that were not sent, in order.

        Args:
            below: only what is in this directory, or the file of this path itself.
        """
        return self._changes.over(self._on_server().entries(below=below), below=below)

    def at(self, path: str) -> Entry | None:
        """Return the entry of a path, or None."""
        change = self._changes.at(path)
        if change is not None:
            return None if is_removal(change) else change
        return self._on_server().entry(path)

    def paths(self, pattern: str | None = None, *, recursive: bool = True) -> Iterator[str]:
        """Yield the paths of files in order; see `remove` for the arguments, None for all."""
        entries = self._matching(pattern, recursive=recursive)
        return (entry.path for entry in entries if entry.kind != Kind.DIRECTORY)

    def send(self, *, progress: Progress | None = None) -> dict[str, Any] | None:
        """Change the manifest. Few changes are made all at once; of many, what is removed goes first.

        Args:
            progress: as for `add`.

        Returns:
            The version's record as it is then; None where there was nothing to send.

        Raises:
            Conflict: the version became final meanwhile.
        """
        meter, patience, client = Meter(progress), Patience(), self._client_of()
        record: dict[str, Any] | None = None
        parts = [None] if self._changes.count <= BATCH_ENTRIES else [True, False]
        for removals in parts:
            part = (each for each in self._changes.changes() if removals is None or is_removal(each) == removals)
            for batch in batches(part, BATCH_ENTRIES):
                body = {
                    "put": [_sent(change) for change in batch if not is_removal(change)],
                    "remove": [change.path for change in batch if is_removal(change)],
                }
                record = patience.during(partial(client.post, f"{self._path}/entries", body, repeatable=True))
                meter.count(0, files=len(batch))
        self._changes.clear()
        self.forget()
        return record

    def forget(self) -> None:
        """Ask the server anew which files there are."""
        self._files = None

    def _merge(
        self, selection: Selection, *, mirror: bool, on_name: OnName | None, progress: Progress | None
    ) -> Counted:
        if selection.is_folder:
            entries = self.entries(below=selection.head.rstrip("/") or None)
        else:
            there = self.at(selection.alone)
            entries = iter(() if there is None else (there,))
        if lost := self._on_server().lost:
            entries = _without_lost_bytes(entries, lost)
        adding = Adding(
            selection,
            entries=entries,
            index_directory=cache_directory() / "index",
            mirror=mirror,
            on_name=on_name,
        )
        patience = Patience()
        asking = Asking(self._client_of, patience=patience)
        sender = Chosen(self._client_of, version_id=self._version_id, patience=patience)
        with Storing(sender, asking=asking, patience=patience, meter=Meter(progress), take=adding.take) as storing:
            runs = adding.run(storing)
        if lost:
            self.forget()  # some of it is stored again
        for run in runs:
            self._changes.note(run)
        return adding.counted

    def _with_present(self, ordered: Sequence[Entry]) -> Iterator[tuple[Entry, Entry | None]]:
        """Yield entries, which are in order, each with what the draft has under its path."""
        if len(ordered) <= _FEW_ENTRIES:
            yield from ((entry, self.at(entry.path)) for entry in ordered)
            return
        present = self.entries(below=commonpath((ordered[0].path, ordered[-1].path)) or None)
        there = next(present, None)
        for entry in ordered:
            key = order(entry.path)
            while there is not None and order(there.path) < key:
                there = next(present, None)
            yield entry, there if there is not None and there.path == entry.path else None

    def _matching(self, pattern: str | None, *, recursive: bool) -> Iterator[Entry]:
        if pattern is None:
            return (entry for entry in self.entries() if recursive or "/" not in entry.path)
        folder = pattern.rstrip("/")
        depth = pattern.count("/")
        if _WILD.isdisjoint(pattern):
            inside = self.entries(below=folder) if folder else iter(())
            deepest = folder.count("/") + 1
            return (entry for entry in inside if recursive or entry.path.count("/") <= deepest)
        return (
            entry
            for entry in self.entries()
            if entry.path == folder
            or entry.path.startswith(f"{folder}/")
            or (fnmatchcase(entry.path, pattern) and (recursive or entry.path.count("/") == depth))
        )

    def _on_server(self) -> VersionFiles:
        client = self._client_of()
        if self._files is None or client is not self._files_client:
            self._files, self._files_client = VersionFiles(client, self._version_id), client
        return self._files


def _without_lost_bytes(entries: Iterator[Entry], lost: frozenset[bytes]) -> Iterator[Entry]:
    """Yield entries; those of which the server lost the bytes match no file, so that these are stored again."""
    return (entry._replace(digest=NO_DIGEST) if entry.digest in lost else entry for entry in entries)


def _sent(entry: Entry) -> dict[str, Any]:
    """Return an entry as it stands in a request."""
    if entry.kind == Kind.DIRECTORY:
        return {"path": entry.path, "kind": "directory"}
    sent: dict[str, Any] = {"path": entry.path, "size_bytes": entry.size_bytes}
    if entry.kind == Kind.EXTERNAL:
        return sent | {"kind": "external", "url": entry.url, "etag": entry.etag or None}
    mode = _EXECUTABLE if entry.kind == Kind.EXECUTABLE else _PLAIN
    return sent | {"digest": named(entry.digest), "mode": mode}
