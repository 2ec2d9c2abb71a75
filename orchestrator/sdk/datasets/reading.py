"""The part of `Dataset` that reads: lists, copies, differences, descent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import InvalidRequest
from orchestrator.sdk.attempt import attempt_directory
from orchestrator.sdk.datasets.record import VersionRecord
from orchestrator.sdk.session import cache_directory, session

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from orchestrator.sdk.copies.dataset_path import DatasetPath
    from orchestrator.sdk.ingest.draft import Progress
    from orchestrator.sdk.repair.repair import Repaired


class Reading(VersionRecord):
    """Nothing here changes the version."""

    def list_files(self, dataset_path: str | None = None, *, recursive: bool = True) -> list[str]:
        """Return the paths of the files in the order of a walk, with the changes that are not sent yet.

        Args:
            dataset_path: a wildcard or a folder; None for all.
            recursive: with the folders inside.
        """
        return list(self._draft.paths(dataset_path, recursive=recursive))

    def list_added_files(self, dataset_id: str | None = None) -> list[str]:
        """Return the paths that another version does not have.

        Args:
            dataset_id: the other version; the first parent where it is not given, or nothing where there is none.
        """
        return self._differing(dataset_id, change="added")

    def list_modified_files(self, dataset_id: str | None = None) -> list[str]:
        """Return the paths of which another version has other bytes or another mode; see `list_added_files`."""
        return self._differing(dataset_id, change="modified")

    def list_removed_files(self, dataset_id: str | None = None) -> list[str]:
        """Return the paths that only the other version has; see `list_added_files`."""
        return self._differing(dataset_id, change="removed")

    def get_local_copy(
        self,
        part: int | None = None,
        num_parts: int | None = None,
        *,
        files: str | Iterable[str] | None = None,
        progress: Progress | None = None,
    ) -> Path:
        """Return a read-only folder with the files, fetched where this machine does not have them yet.

        A copy that is there serves by hand while the server is away; on an agent the server is waited for, since it
        alone knows whether the task may read what others have fetched to that machine.

        Args:
            part: which part of the files, from 0; every `num_parts`-th file in the order of a walk.
            num_parts: how many parts there are, such as the processes of a distributed training.
            files: only files that match this wildcard or lie in this folder, or one of these.
            progress: as for `add_files`.

        Raises:
            Conflict: the version is a draft.
            InvalidRequest: there is no such part.
            DigestMismatch: a file's bytes are not those that were added; the message names it.
            NoSpace: the disk is full.
        """
        from orchestrator.sdk.copies.local_copy import Subset, local_copy  # noqa: PLC0415  by hand only where it is used
        from orchestrator.sdk.copies.node_copies import node_copy  # noqa: PLC0415  likewise

        subset = Subset(part=part, parts=num_parts, patterns=_patterns(files))
        if attempt_directory() is not None:
            return node_copy(self.id, subset=subset)
        return local_copy(
            session.client(), self.id, cache=cache_directory(), subset=subset, progress=progress, unasked=True
        )

    def get_mutable_local_copy(  # noqa: PLR0913  the signature that ML engineers know
        self,
        target_folder: str | Path,
        *,
        overwrite: bool = False,
        part: int | None = None,
        num_parts: int | None = None,
        files: str | Iterable[str] | None = None,
        progress: Progress | None = None,
    ) -> Path:
        """Copy the files into a folder of one's own, where they may be changed, and return it.

        Args:
            target_folder: made where it is not there.
            overwrite: whether what is in it may be replaced; else it must be empty.
            part: see `get_local_copy`.
            num_parts: see `get_local_copy`.
            files: see `get_local_copy`.
            progress: as for `add_files`.

        Raises:
            AlreadyExists: there is something in the folder.
            Conflict, InvalidRequest, DigestMismatch, NoSpace: as for `get_local_copy`.
        """
        from orchestrator.sdk.copies.mutable_copy import mutable_copy  # noqa: PLC0415  by hand only where it is used

        copy = self.get_local_copy(part, num_parts, files=files, progress=progress)
        return mutable_copy(copy, target=Path(target_folder), overwrite=overwrite)

    def open(self) -> DatasetPath:
        """Return the version's root as a path whose files are fetched when they are opened.

        `dataset.open() / "images" / "0001.png"` behaves like a `pathlib.Path` that can only be read.
        """
        from orchestrator.sdk.copies.dataset_path import DatasetPath  # noqa: PLC0415  only where it is used

        return DatasetPath.root(session.client(), self.id)

    def get_dependency_graph(self) -> dict[str, list[str]]:
        """Return the ids of all versions that this one descends from or that descend from it, each with its parents."""
        lineage = self.get_lineage()
        graph: dict[str, list[str]] = {node["id"]: [] for node in lineage["nodes"]}
        for parent, child in lineage["edges"]:
            graph[child].append(parent)
        return graph

    def get_lineage(self) -> dict[str, Any]:
        """Return the same as nodes, each with name, version, state, tags and sizes, and edges from parent to child."""
        return dict(session.client().get(f"{self._path}/lineage"))

    def lineage_picture(self, form: str = "svg") -> str:
        """Return the graph of descent as a drawing.

        Args:
            form: `svg`, or `mermaid` for Markdown pages.

        Raises:
            InvalidRequest: there is no such form.
        """
        from orchestrator.sdk.lineage.pictures import as_mermaid, as_svg  # noqa: PLC0415  only where it is used

        forms = {"svg": as_svg, "mermaid": as_mermaid}
        if form not in forms:
            raise InvalidRequest(f"There is no drawing of the form {form!r}.", hint="Give svg or mermaid.")
        return forms[form](self.get_lineage(), focus=self.id)

    def verify(self, *, sample: float = 1.0, progress: Progress | None = None) -> list[dict[str, str]]:
        """Have the server read the stored bytes, and return the files that are damaged: path, digest and reason.

        Args:
            sample: share of the files to read, chosen at random; 1 reads every byte.
            progress: as for `add_files`.

        Raises:
            InvalidRequest: the share is not above 0 and at most 1.
        """
        from orchestrator.sdk.repair.repair import verify_lines  # noqa: PLC0415  only where it is used

        damaged: list[dict[str, str]] = []
        for line in verify_lines(session.client(), self.id, sample=sample):
            damaged += line["damaged"]
            if progress is not None:
                progress(line["size_bytes"], line["total_bytes"], line["files"])
        return damaged

    def repair(self, sources: Iterable[str | Path] = (), *, progress: Progress | None = None) -> Repaired:
        """Store damaged and missing bytes again, from another place that has them.

        Args:
            sources: folders or URLs of other storages, exported files, or any folders of files; this machine's own
                cache is looked at in any case.
            progress: as for `add_files`.

        Returns:
            What was mended, and what is still damaged.
        """
        from orchestrator.sdk.repair.repair import repair  # noqa: PLC0415  only where it is used

        return repair(session.client(), self.id, sources=list(sources), progress=progress)

    def export(self, target: str | Path, *, since: str | None = None, progress: Progress | None = None) -> Path:
        """Write the version into one file, for a place without a network; `Dataset.import_file` reads it there.

        Args:
            target: the file to make.
            since: id of a version that is there already: what it holds is left out.
            progress: as for `add_files`.

        Raises:
            AlreadyExists: the file is there.
            Conflict: the version is a draft.
            NoSpace: the disk is full.
        """
        from orchestrator.sdk.bundles.bundle import export_version  # noqa: PLC0415  only where it is used

        export_version(session.client(), self.id, Path(target), since=since, progress=progress)
        return Path(target)

    def get_profile(self) -> dict[str, Any]:
        """Return the statistics of the files that are made when a version is final: see `records.profile`.

        Raises:
            NotFound: they are not made yet; the hint says why.
        """
        return dict(session.client().get(f"{self._path}/profile"))

    def compare_profile(self, dataset_id: str | None = None) -> dict[str, Any]:
        """Return how the statistics differ from those of another version, by default the first parent.

        Raises:
            NotFound: one of the two has none.
        """
        return dict(session.client().get(f"{self._path}/profile/compare", against=dataset_id))

    def changes(self, dataset_id: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield how the version differs from another: path, and the entries before and after; None where there is none.

        Args:
            dataset_id: the other version; the first parent where it is not given, or nothing where there is none.
        """
        return session.client().pages(f"{self._path}/diff", against=dataset_id, limit=1000)

    def _differing(self, dataset_id: str | None, *, change: str) -> list[str]:
        return [each["path"] for each in self.changes(dataset_id) if kind_of_change(each) == change]


def kind_of_change(change: dict[str, Any]) -> str:
    """Return whether a path was `added`, `modified` or `removed`."""
    if change["before"] is None:
        return "added"
    return "removed" if change["after"] is None else "modified"


def _patterns(files: str | Iterable[str] | None) -> tuple[str, ...]:
    return (files,) if isinstance(files, str) else tuple(files or ())
