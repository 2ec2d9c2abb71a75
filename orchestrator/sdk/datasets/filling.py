"""The part of `Dataset` that changes a draft and closes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import Conflict
from orchestrator.sdk.datasets.record import VersionRecord
from orchestrator.sdk.lasting import post_lasting
from orchestrator.sdk.session import session

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.sdk.ingest.draft import Progress


class Filling(VersionRecord):
    """Files come and go until `finalize`.

    Changes of which files there are stay here until `upload` or `finalize(auto_upload=True)` sends them. The bytes of
    what is added are stored at once: each file is read a single time, and what was hashed is what is stored.
    """

    def add_files(  # noqa: PLR0913  the signature that ML engineers know
        self,
        path: str | Path,
        wildcard: str | Iterable[str] | None = None,
        local_base_folder: str | Path | None = None,
        dataset_path: str | None = None,
        *,
        recursive: bool = True,
        verbose: bool = False,
        progress: Progress | None = None,
    ) -> int:
        """Add a file or a folder's files, those that are new or changed, and return how many these are.

        Args:
            path: of the file or folder.
            wildcard: only files whose name or path below the folder matches this, or one of these.
            local_base_folder: names in the dataset are relative to this folder; to the folder itself where not given.
            dataset_path: folder in the dataset that they go into.
            recursive: with the folders inside.
            verbose: print each name.
            progress: called with the bytes done so far, those in all (0 while that is not known) and the files done.

        Raises:
            Conflict: the version is final.
            InvalidPath: files are not there, change, cannot be read or have no usable name; the message names them,
                and none is added.
            NoSpace: the disk of the storage is full.
        """
        self._require_draft()
        return self._draft.add(
            Path(path),
            wildcards=_patterns(wildcard),
            base=None if local_base_folder is None else Path(local_base_folder),
            prefix=dataset_path or "",
            recursive=recursive,
            on_name=print if verbose else None,
            progress=progress,
        ).changed

    def sync_folder(
        self,
        local_path: str | Path,
        dataset_path: str | None = None,
        *,
        wildcard: str | Iterable[str] | None = None,
        verbose: bool = False,
        progress: Progress | None = None,
    ) -> tuple[int, int, int]:
        """Make the version hold what a folder holds; return how many files were removed, added and modified.

        Args:
            local_path: the folder.
            dataset_path: folder in the dataset that mirrors it; the root where it is not given. What lies elsewhere in
                the dataset stays.
            wildcard: only files whose name or path below the folder matches this, or one of these, here and there.
            verbose: print each name.
            progress: as for `add_files`.

        Raises:
            Conflict, InvalidPath, NoSpace: as for `add_files`.
        """
        self._require_draft()
        counted = self._draft.sync(
            Path(local_path),
            wildcards=_patterns(wildcard),
            prefix=dataset_path or "",
            on_name=print if verbose else None,
            progress=progress,
        )
        return counted.removed, counted.added, counted.modified

    def add_external_files(
        self,
        source_url: str | Iterable[str],
        wildcard: str | Iterable[str] | None = None,
        dataset_path: str | None = None,
        *,
        recursive: bool = True,
        verbose: bool = False,
    ) -> int:
        """Add links to files that stay where they are; size and etag are recorded and checked when they are fetched.

        Args:
            source_url: of files or folders: `s3://`, `gs://`, `az://` or `https://`, without credentials in it.
            wildcard: only files whose name or path below the folder matches this, or one of these.
            dataset_path: folder in the dataset that they go into.
            recursive: with the folders inside.
            verbose: print each name.

        Returns:
            How many are new or changed.

        Raises:
            Conflict: the version is final.
            NotFound: nothing is there.
            InvalidRequest: the URL is of another kind, holds credentials, or its library is not installed.
        """
        self._require_draft()
        urls = [source_url] if isinstance(source_url, str) else list(source_url)
        return self._draft.link(
            urls,
            wildcards=_patterns(wildcard),
            prefix=dataset_path or "",
            recursive=recursive,
            on_name=print if verbose else None,
        ).changed

    def remove_files(self, dataset_path: str, *, recursive: bool = True, verbose: bool = False) -> int:
        """Remove files from the version and return how many.

        Args:
            dataset_path: a path, a folder or a wildcard.
            recursive: of a folder also what lies in folders inside.
            verbose: print each name.

        Raises:
            Conflict: the version is final.
        """
        self._require_draft()
        return self._draft.remove(dataset_path, recursive=recursive, on_name=print if verbose else None)

    def upload(self, *, progress: Progress | None = None) -> None:
        """Send which files were added and removed.

        Args:
            progress: as for `add_files`.

        Raises:
            Conflict: the version became final meanwhile.
        """
        self._record = self._draft.send(progress=progress) or session.client().get(self._path)

    def finalize(self, *, auto_upload: bool = False, progress: Progress | None = None) -> None:
        """Make the version one that never changes again.

        Where somebody finalized another version since this draft was begun, what changed here is applied to that one:
        its files stay. The version's number counts up then, unless it was asked for.

        Args:
            auto_upload: send first what was added and removed.
            progress: as for `add_files`.

        Raises:
            HeadMoved: the other version changed the same files; the message names them, and the draft stays.
            Conflict: it is final already, or something was not sent.
            DigestMismatch: the stored bytes of files that it takes over are damaged; the message names them.
        """
        if self._draft and not auto_upload:
            raise Conflict(
                "Files were added or removed, but not sent.", hint="Call upload() or finalize(auto_upload=True)."
            )
        if self._draft:
            self._draft.send(progress=progress)
        self._draft.forget()
        self._record = post_lasting(session.client(), f"{self._path}/finalize")

    def publish(self) -> None:
        """Mark a final version as one that others may rely on: it is not deleted without being forced.

        Raises:
            Conflict: the version is a draft.
        """
        self._record = session.client().post(f"{self._path}/publish")


def _patterns(wildcard: str | Iterable[str] | None) -> list[str]:
    return [wildcard] if isinstance(wildcard, str) else list(wildcard or ())
