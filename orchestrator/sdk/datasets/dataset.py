"""`Dataset`: one version of a set of files, as scripts see it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import Conflict, InvalidRequest, NotFound
from orchestrator.sdk.client import segment
from orchestrator.sdk.datasets.filling import Filling
from orchestrator.sdk.datasets.notes import Notes
from orchestrator.sdk.datasets.reading import Reading
from orchestrator.sdk.lasting import ANSWER_SECONDS, post_lasting
from orchestrator.sdk.session import session

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.sdk.ingest.draft import Progress

DATASETS = "Datasets"
"""The section in which a task's parameters name the versions that it used."""


class Dataset(Filling, Reading, Notes):
    """A dataset version on the server.

    Made by `Dataset.create` and `Dataset.get`. Filling a draft is in `datasets.filling`, reading a version in
    `datasets.reading`, what is said about one in `datasets.notes`.
    """

    @classmethod
    def create(  # noqa: PLR0913, PLR0917  the signature that ML engineers know
        cls,
        dataset_name: str,
        dataset_project: str,
        parent_datasets: Iterable[Dataset | str] | None = None,
        dataset_version: str | None = None,
        dataset_tags: Iterable[str] | None = None,
        description: str | None = None,
        *,
        storage: str | None = None,
    ) -> Dataset:
        """Begin a new version, a draft, with the files of its parents.

        Args:
            dataset_name: what the dataset is called.
            dataset_project: where it belongs: names joined by `/`.
            parent_datasets: versions or their ids; of two files with one path the later parent's stays.
            dataset_version: three whole numbers joined by dots; counts up from the newest where it is not given.
            dataset_tags: labels; they count as put on when the version is finalized.
            description: for people.
            storage: name of the storage that new bytes go to; wherever the project says where it is not given.

        Raises:
            AlreadyExists: a final version has that number.
            NotFound: a parent or the storage does not exist.
        """
        body = {
            "project": dataset_project,
            "name": dataset_name,
            "version": dataset_version,
            "parents": _ids(parent_datasets),
            "tags": list(dataset_tags or ()),
            "description": description or "",
            "storage": storage,
        }
        return cls(session.client().post("/datasets", body))

    @classmethod
    def squash(
        cls,
        dataset_name: str,
        dataset_ids: Iterable[Dataset | str],
        dataset_project: str | None = None,
        dataset_version: str | None = None,
    ) -> Dataset:
        """Make one final version, without parents, that holds the files of several; no bytes are stored again.

        Args:
            dataset_name: what the new version's dataset is called.
            dataset_ids: versions or their ids, in order: of two files with one path the later one's stays.
            dataset_project: where it belongs; where the first of them does where it is not given.
            dataset_version: three whole numbers joined by dots; counts up where it is not given.

        Raises:
            InvalidRequest: none are given.
        """
        ids = _ids(dataset_ids)
        if not ids:
            raise InvalidRequest("Nothing is to be squashed.", hint="Give versions or their ids.")
        if dataset_project is None:
            dataset_project = cls.get(dataset_id=ids[0]).project
        body = {
            "project": dataset_project,
            "name": dataset_name,
            "version": dataset_version,
            "parents": ids,
            "squash": True,
        }
        squashed = cls(post_lasting(session.client(), "/datasets", body))
        squashed.finalize()
        return squashed

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
        only_published: bool = False,
        auto_create: bool = False,
        writable_copy: bool = False,
        alias: str | None = None,
        overridable: bool = False,
    ) -> Dataset:
        """Return a version by its id, or the newest by project and name.

        Args:
            dataset_id: id of a version; nothing else but `writable_copy` and `alias` counts then.
            dataset_project: where the dataset belongs.
            dataset_name: what it is called.
            dataset_version: exactly this one; the largest where it is not given.
            dataset_tags: labels that it must have, all of them.
            only_completed: drafts do not count.
            only_published: only published versions count.
            auto_create: where there is none, begin the first.
            writable_copy: begin a new version with the files of the one that was found, and return that draft.
            alias: name under which the running task records the version that it used: parameter `Datasets/<alias>`.
            overridable: on an agent, take the version that this parameter of the task names instead, so that a clone
                can replace it.

        Raises:
            NotFound: there is none.
            InvalidRequest: neither an id nor project and name are given, or the id is empty, or `overridable` has no
                `alias`.
        """
        if overridable and alias is None:
            raise InvalidRequest("What can be overridden needs a name.", hint="Give an alias.")
        found = cls._find(
            dataset_id,
            dataset_project,
            dataset_name,
            version=dataset_version,
            tags=list(dataset_tags or ()),
            states=["published"] if only_published else [] if only_completed else ["open", "final", "published"],
            auto_create=auto_create,
        )
        if alias is not None:
            found = _use_as(alias, found, overridable=overridable)
        if not writable_copy or not found.is_final():
            return found
        return cls.create(found.name, found.project, parent_datasets=[found])

    @classmethod
    def _find(  # noqa: PLR0913  the parts of a name
        cls,
        dataset_id: str | None,
        project: str | None,
        name: str | None,
        *,
        version: str | None,
        tags: list[str],
        states: list[str],
        auto_create: bool,
    ) -> Dataset:
        if dataset_id is not None:
            return cls(session.client().get(f"/datasets/{segment(dataset_id, what='dataset_id')}"))
        if project is None or name is None:
            raise InvalidRequest(
                "Which dataset is meant is not said.", hint="Give dataset_id, or dataset_project and dataset_name."
            )
        try:
            return cls(
                session.client().get(
                    "/datasets/newest", project=project, name=name, version=version, tag=tags, state=states
                )
            )
        except NotFound:
            if not auto_create:
                raise
        return cls.create(name, project, dataset_version=version)

    @classmethod
    def list_datasets(  # noqa: PLR0913  the signature that ML engineers know
        cls,
        dataset_project: str | None = None,
        partial_name: str | None = None,
        tags: Iterable[str] | None = None,
        *,
        tags_any: Iterable[str] | None = None,
        tags_none: Iterable[str] | None = None,
        version_from: str | None = None,
        version_before: str | None = None,
        only_completed: bool = True,
        only_published: bool = False,
        include_archived: bool = False,
    ) -> list[dict[str, Any]]:
        """Return the records of versions, newest first.

        Args:
            dataset_project: in this project or below.
            partial_name: the name contains this.
            tags: labels that they must have, all of them.
            tags_any: labels of which they must have one.
            tags_none: labels of which they must have none.
            version_from: this version or a larger one.
            version_before: smaller than this version.
            only_completed: without drafts.
            only_published: published ones alone.
            include_archived: with those that were archived.
        """
        listed = session.client().pages(
            "/datasets",
            project=dataset_project,
            name_part=partial_name,
            tag=list(tags or ()),
            any_tag=list(tags_any or ()),
            no_tag=list(tags_none or ()),
            version_from=version_from,
            version_before=version_before,
            state=["published"] if only_published else ["final", "published"] if only_completed else [],
            archived="all" if include_archived else "false",
        )
        return list(listed)

    @classmethod
    def rename(cls, new_dataset_name: str, dataset_project: str, dataset_name: str) -> int:
        """Give all versions of a dataset another name, and return how many there are.

        Raises:
            NotFound: there are none.
            AlreadyExists: the name is taken.
        """
        body = {"project": dataset_project, "name": dataset_name, "new_name": new_dataset_name}
        return int(session.client().post("/datasets/rename", body)["versions"])

    @classmethod
    def move_to_project(cls, new_dataset_project: str, dataset_project: str, dataset_name: str) -> int:
        """Move all versions of a dataset to another project, and return how many there are.

        Raises:
            NotFound: there are none.
            AlreadyExists: the name is taken there.
        """
        body = {"project": dataset_project, "name": dataset_name, "new_project": new_dataset_project}
        return int(session.client().post("/datasets/rename", body)["versions"])

    @classmethod
    def import_file(
        cls,
        source: str | Path,
        dataset_project: str | None = None,
        dataset_name: str | None = None,
        *,
        progress: Progress | None = None,
    ) -> Dataset:
        """Make the version that a file holds which `export` wrote, final with the same number, tags and metadata.

        Args:
            source: the file.
            dataset_project: where it belongs here; where it belonged there where it is not given.
            dataset_name: what it is called here; as there where it is not given.
            progress: as for `add_files`.

        Raises:
            AlreadyExists: that version is here already.
            InvalidRequest: it is no such file.
            DigestMismatch: it was changed or cut; nothing is made.
        """
        from orchestrator.sdk.bundles.bundle import import_version  # noqa: PLC0415  only where it is used

        record = import_version(
            session.client(), Path(source), project=dataset_project, name=dataset_name, progress=progress
        )
        return cls(record)

    def archive(self, *, archived: bool = True) -> None:
        """Leave the version out of lists, or with False take it in again; whoever names it can use it as before."""
        self._record = session.client().patch(self._path, {"archived": archived})

    @classmethod
    def delete(  # noqa: PLR0913  the signature that ML engineers know
        cls,
        dataset_id: str | None = None,
        dataset_project: str | None = None,
        dataset_name: str | None = None,
        dataset_version: str | None = None,
        *,
        entire_dataset: bool = False,
        force: bool = False,
    ) -> dict[str, int]:
        """Delete a version's files; its record stays, so that it is known what its children descend from.

        Files that other versions have, too, stay there.

        Args:
            dataset_id: of the version; nothing else but `force` counts then.
            dataset_project: where the dataset belongs.
            dataset_name: what it is called.
            dataset_version: exactly this one; the largest where it is not given.
            entire_dataset: all of its versions, drafts too.
            force: also what is published.

        Returns:
            `files` and `size_bytes` of what nobody else holds: the next collection of garbage frees it.

        Raises:
            NotFound: there is none.
            InvalidRequest: which dataset is meant is not said.
            Conflict: it is published; of an entire dataset nothing is deleted then.
        """
        client = session.client()
        states = ["open", "final", "published"]
        if entire_dataset and dataset_id is None:
            if not dataset_project or not dataset_name:
                raise InvalidRequest(
                    "Which dataset is meant is not said.", hint="Give dataset_project and dataset_name."
                )
            filters = {"project": dataset_project, "name": dataset_name, "archived": "all"}
            listed = [each for each in client.pages("/datasets", **filters) if each["project"] == dataset_project]
            if not listed:
                raise NotFound(f"There is no version of {dataset_project}/{dataset_name}.")
            _refuse_published(listed, force=force)
            ids = [each["id"] for each in listed]
        else:
            ids = [
                cls._find(
                    dataset_id,
                    dataset_project,
                    dataset_name,
                    version=dataset_version,
                    tags=[],
                    states=states,
                    auto_create=False,
                ).id
            ]
        query = f"force={'true' if force else 'false'}"
        freed = [client.delete(f"/datasets/{each}?{query}", timeout_seconds=ANSWER_SECONDS) for each in ids]
        return {name: sum(each[name] for each in freed) for name in ("files", "size_bytes")}


def _use_as(alias: str, found: Dataset, *, overridable: bool) -> Dataset:
    """Record a version on the running task, and return it, or the one that the task names instead."""
    from orchestrator.sdk.task import Task  # noqa: PLC0415  only where it is used

    task = Task.current_task()
    if task is None:
        return found
    if not overridable:
        task.set_parameter(f"{DATASETS}/{alias}", found.id)
        return found
    wanted = task.connect({alias: found.id}, name=DATASETS)[alias]
    return found if wanted == found.id else Dataset.get(dataset_id=wanted)


def _refuse_published(versions: list[dict[str, Any]], *, force: bool) -> None:
    published = [each["version"] for each in versions if each["state"] == "published"]
    if published and not force:
        raise Conflict(f"{', '.join(published)} is published; nothing was deleted.", hint="Give force=True.")


def _ids(datasets: Iterable[Dataset | str] | None) -> list[str]:
    return [each.id if isinstance(each, Dataset) else each for each in datasets or ()]
