"""`Dataset`: one version of a set of files, as scripts see it."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import Conflict, InvalidRequest, NotFound
from orchestrator.sdk.attempt import attempt_directory
from orchestrator.sdk.client import Client, segment
from orchestrator.sdk.local_copy import local_copy
from orchestrator.sdk.logger import check_name, drawn, scatter_report
from orchestrator.sdk.scan import scan
from orchestrator.sdk.session import cache_directory, session
from orchestrator.sdk.upload import Draft
from orchestrator.settings import find_server

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from orchestrator.sdk.upload import Progress

DOWNLOAD_SECONDS = 24 * 3600.0
"""How long a supervisor may take to fill its node's cache."""


class Dataset:
    """A dataset version on the server.

    Made by `Dataset.create` and `Dataset.get`. Changes of a draft are kept here until `upload` or
    `finalize(auto_upload=True)` sends them.
    """

    def __init__(self, record: Mapping[str, Any]) -> None:
        self._record = dict(record)
        self._draft = Draft(session.client, version_id=self.id)

    @classmethod
    def create(  # noqa: PLR0913, PLR0917  the signature that ML engineers know
        cls,
        dataset_name: str,
        dataset_project: str,
        parent_datasets: Iterable[Dataset | str] | None = None,
        dataset_version: str | None = None,
        dataset_tags: Iterable[str] | None = None,
        description: str | None = None,
    ) -> Dataset:
        """Begin a new version, a draft, with the files of its parents.

        Args:
            dataset_name: what the dataset is called.
            dataset_project: where it belongs: names joined by `/`.
            parent_datasets: versions or their ids; of two files with one path the later parent's stays.
            dataset_version: three whole numbers joined by dots; counts up from the newest where it is not given.
            dataset_tags: labels; they count as put on when the version is finalized.
            description: for people.

        Raises:
            AlreadyExists: a final version has that number.
        """
        body = {
            "project": dataset_project,
            "name": dataset_name,
            "version": dataset_version,
            "parents": [each.id if isinstance(each, Dataset) else each for each in parent_datasets or ()],
            "tags": list(dataset_tags or ()),
            "description": description or "",
        }
        return cls(session.client().post("/datasets", body))

    @classmethod
    def get(  # noqa: PLR0913  the signature that ML engineers know
        cls,
        dataset_id: str | None = None,
        dataset_project: str | None = None,
        dataset_name: str | None = None,
        dataset_version: str | None = None,
        dataset_tags: Iterable[str] | None = None,
        *,
        only_completed: bool = True,
        auto_create: bool = False,
        writable_copy: bool = False,
    ) -> Dataset:
        """Return a version by its id, or the newest by project and name.

        Args:
            dataset_id: id of a version; nothing else but `writable_copy` counts then.
            dataset_project: where the dataset belongs.
            dataset_name: what it is called.
            dataset_version: exactly this one; the largest where it is not given.
            dataset_tags: labels that it must have, all of them.
            only_completed: drafts do not count.
            auto_create: where there is none, begin the first.
            writable_copy: begin a new version with the files of the one that was found, and return that draft.

        Raises:
            NotFound: there is none.
            InvalidRequest: neither an id nor project and name are given, or the id is empty.
        """
        if dataset_id is not None:
            found = cls(session.client().get(f"/datasets/{segment(dataset_id, what='dataset_id')}"))
        elif dataset_project is None or dataset_name is None:
            raise InvalidRequest(
                "Which dataset is meant is not said.", hint="Give dataset_id, or dataset_project and dataset_name."
            )
        else:
            try:
                record = session.client().get(
                    "/datasets/newest",
                    project=dataset_project,
                    name=dataset_name,
                    version=dataset_version,
                    tag=list(dataset_tags or ()),
                    state=[] if only_completed else ["open", "final", "published"],
                )
            except NotFound:
                if not auto_create:
                    raise
                return cls.create(dataset_name, dataset_project, dataset_version=dataset_version)
            found = cls(record)
        if not writable_copy:
            return found
        return cls.create(found.name, found.project, parent_datasets=[found])

    @classmethod
    def list_datasets(
        cls,
        dataset_project: str | None = None,
        partial_name: str | None = None,
        tags: Iterable[str] | None = None,
        *,
        only_completed: bool = True,
    ) -> list[dict[str, Any]]:
        """Return the records of versions, newest first.

        Args:
            dataset_project: in this project or below.
            partial_name: the name contains this.
            tags: labels that they must have, all of them.
            only_completed: without drafts.
        """
        listed = session.client().pages("/datasets", project=dataset_project, tag=list(tags or ()))
        return [
            record
            for record in listed
            if (partial_name or "") in record["name"] and not (only_completed and record["state"] == "open")
        ]

    @property
    def id(self) -> str:
        """The version's id."""
        return str(self._record["id"])

    @property
    def name(self) -> str:
        """What the dataset is called."""
        return str(self._record["name"])

    @property
    def project(self) -> str:
        """Where it belongs: names joined by `/`."""
        return str(self._record["project"])

    @property
    def version(self) -> str:
        """Three whole numbers joined by dots."""
        return str(self._record["version"])

    @property
    def tags(self) -> list[str]:
        """The labels, as they were when the server was last asked."""
        return list(self._record["tags"])

    def is_final(self) -> bool:
        """Tell whether the version never changes again."""
        return bool(self._record["state"] != "open")

    def list_files(self, dataset_path: str | None = None) -> list[str]:
        """Return the paths of the files, sorted, with the changes that are not sent yet.

        Args:
            dataset_path: a wildcard or a folder; None for all.
        """
        return [path for path in self._draft.entries() if dataset_path is None or _matches(path, dataset_path)]

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
            progress: called with the bytes that were read so far and those to read in all.

        Raises:
            Conflict: the version is final.
            InvalidPath: a file is not there, changes, cannot be read or has no usable name; then none is added.
        """
        self._require_draft()
        found = scan(
            Path(path),
            wildcards=[wildcard] if isinstance(wildcard, str) else list(wildcard or ()),
            base=None if local_base_folder is None else Path(local_base_folder),
            prefix=dataset_path or "",
            recursive=recursive,
        )
        if verbose:
            for each in found:
                print(each.name)  # noqa: T201  that is what was asked for
        return self._draft.add(found, progress=progress)

    def remove_files(self, dataset_path: str) -> int:
        """Remove files from the version and return how many.

        Args:
            dataset_path: a path, a folder or a wildcard.

        Raises:
            Conflict: the version is final.
        """
        self._require_draft()
        paths = self.list_files(dataset_path)
        self._draft.remove(paths)
        return len(paths)

    def upload(self, *, progress: Progress | None = None) -> None:
        """Send what was added and removed; bytes that the server has are not sent.

        Args:
            progress: called with the bytes that were sent so far and those to send in all.

        Raises:
            InvalidPath: a file changed or vanished after it was added; then the version stays as it was.
        """
        self._draft.send(progress=progress)
        self._record = session.client().get(f"/datasets/{self.id}")

    def finalize(self, *, auto_upload: bool = False, progress: Progress | None = None) -> None:
        """Make the version one that never changes again.

        Args:
            auto_upload: send first what was added and removed.
            progress: as for `upload`.

        Raises:
            HeadMoved: another version was finalized since this draft was begun; the draft stays.
            Conflict: it is final already, or something was not sent.
        """
        if self._draft and not auto_upload:
            raise Conflict(
                "Files were added or removed, but not sent.", hint="Call upload() or finalize(auto_upload=True)."
            )
        if self._draft:
            self._draft.send(progress=progress)
        self._record = session.client().post(f"/datasets/{self.id}/finalize")

    def get_local_copy(self, *, progress: Progress | None = None) -> Path:
        """Return a read-only folder with the files, downloaded where this machine does not have them yet.

        A copy that is there serves by hand while the server is away; on an agent the server is waited for, since it
        alone knows whether the task may read what others have downloaded to that machine.

        Args:
            progress: called with the bytes that were downloaded so far and those to download in all.

        Raises:
            Conflict: the version is a draft.
            DigestMismatch: a file's bytes are not those that were added; the message names it.
        """
        if attempt_directory() is None:
            return local_copy(session.client(), self.id, cache=cache_directory(), progress=progress, unasked=True)
        with Client(find_server().url, timeout_seconds=DOWNLOAD_SECONDS) as supervisor:
            return Path(supervisor.get(f"/local/datasets/{self.id}")["path"])

    def add_tags(self, tags: Iterable[str] | str) -> None:
        """Add labels; on a final version one call is one event, which triggers see."""
        added = [tags] if isinstance(tags, str) else list(tags)
        self._record = session.client().post(f"/datasets/{self.id}/tags", {"add": added})

    def get_logger(self) -> DatasetLogger:
        """Return what plots of the version are reported through."""
        return DatasetLogger(self.id)

    def _require_draft(self) -> None:
        if self.is_final():
            raise Conflict(
                f"{self.project}/{self.name} {self.version} is final.",
                hint="Begin the next version: Dataset.get(…, writable_copy=True).",
            )


class DatasetLogger:
    """Plots that are kept with a dataset version, for whoever looks at it."""

    def __init__(self, version_id: str) -> None:
        self._path = f"/datasets/{version_id}/reports"

    def report_scalar(self, title: str, series: str, value: float, iteration: int = 0) -> None:
        """Keep a number; NaN and infinities are kept as a gap."""
        check_name(title, what="title")
        self._report(
            {"title": title, "series": series, "iteration": int(iteration), "kind": "scalar", "data": drawn(value)}
        )

    def report_scatter2d(self, title: str, series: str, scatter: Iterable[Iterable[float]], iteration: int = 0) -> None:
        """Keep a plot of points, pairs of x and y or an array of shape (n, 2)."""
        self._report(scatter_report(title, series, scatter, iteration=iteration))

    def report_text(self, title: str, text: str, iteration: int = 0) -> None:
        """Keep a text."""
        check_name(title, what="title")
        self._report({"title": title, "series": "", "iteration": int(iteration), "kind": "text", "data": text})

    def _report(self, body: dict[str, Any]) -> None:
        session.client().post(self._path, body, repeatable=True)


def _matches(path: str, pattern: str) -> bool:
    folder = pattern.rstrip("/")
    return path == folder or path.startswith(f"{folder}/") or fnmatchcase(path, pattern)
