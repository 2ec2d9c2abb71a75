"""`Model`: one version of a trained model, as scripts see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.errors import InvalidRequest
from orchestrator.sdk.attempt import attempt_directory
from orchestrator.sdk.client import API, segment
from orchestrator.sdk.session import cache_directory, session

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from orchestrator.sdk.meter import Progress


class Model:
    """A model version on the server.

    Made by `Model.get`, `Model.list_models` and `Task.models`; a run makes one with `Task.register_model`.
    """

    def __init__(self, record: Mapping[str, Any], *, aliases: Iterable[str] = ()) -> None:
        self._record = dict(record)
        self._aliases = list(aliases)

    @classmethod
    def get(  # noqa: PLR0913, PLR0917  the parts of a name
        cls,
        project_name: str | None = None,
        model_name: str | None = None,
        alias: str | None = None,
        version: int | str | None = None,
        model_id: str | None = None,
        tags: Iterable[str] | str | None = None,
        only_published: bool = False,  # noqa: FBT001, FBT002  the last part of a name
    ) -> Model:
        """Return a version by its id, or by project and name: the one with an alias or a number, else the newest.

        Args:
            project_name: where the model belongs.
            model_name: what it is called.
            alias: such as `production`.
            version: its number.
            model_id: id of a version; nothing else counts then.
            tags: labels that it must have, all of them.
            only_published: only published versions count.

        Raises:
            NotFound: there is none.
            InvalidRequest: neither an id nor project and name are given, or the version is no number.
        """
        client = session.client()
        if model_id is not None:
            return cls._of(client.get(f"/models/{segment(model_id, what='model_id')}"))
        if not project_name or not model_name:
            raise InvalidRequest(
                "Which model is meant is not said.", hint="Give model_id, or project_name and model_name."
            )
        if version is not None and not str(version).isdecimal():
            raise InvalidRequest(f"{version!r} is no version of a model.", hint="They are numbered 1, 2, 3.")
        found = client.get(
            "/models/newest",
            project=project_name,
            name=model_name,
            alias=alias,
            version=version,
            tag=_listed(tags),
            published=only_published or None,
        )
        return cls._of(found)

    @classmethod
    def list_models(  # noqa: PLR0913  a filter is made of many optional parts
        cls,
        project_name: str | None = None,
        model_name: str | None = None,
        *,
        tag: str | None = None,
        alias: str | None = None,
        task_id: str | None = None,
        include_archived: bool = False,
    ) -> list[Model]:
        """Return versions, newest first.

        Args:
            project_name: in this project or below.
            model_name: of exactly this name.
            tag: a label that they have.
            alias: they have this alias now.
            task_id: this task made them.
            include_archived: with those that were archived.
        """
        listed = session.client().pages(
            "/models",
            project=project_name,
            name=model_name,
            tag=tag,
            alias=alias,
            task=task_id,
            archived=include_archived or None,
        )
        return [cls(each, aliases=each["aliases"]) for each in listed]

    @classmethod
    def rollback(cls, project_name: str, model_name: str, alias: str = "production", reason: str = "") -> Model:
        """Have an alias stand for what it stood for before its last move that is in force; return that version.

        Called twice it goes two steps back; what was taken back before is passed over.

        Raises:
            NotFound: no version has that alias.
            Conflict: the alias stood for nothing before, or for a version that is archived by now.
        """
        body = {"project": project_name, "name": model_name, "alias": alias, "reason": reason}
        return cls._of(session.client().post("/models/rollback", body))

    @classmethod
    def history(cls, project_name: str, model_name: str, alias: str | None = None) -> list[dict[str, Any]]:
        """Return how the aliases of a model moved, or one of them, newest first: who, when, from, to and why."""
        return list(session.client().pages("/models/history", project=project_name, name=model_name, alias=alias))

    # What it is

    @property
    def id(self) -> str:
        """The version's id."""
        return str(self._record["id"])

    @property
    def name(self) -> str:
        """What the model is called."""
        return str(self._record["name"])

    @property
    def project(self) -> str:
        """Where it belongs: names joined by `/`."""
        return str(self._record["project"])

    @property
    def version(self) -> int:
        """Its number, counted from 1 by project and name."""
        return int(self._record["version"])

    @property
    def state(self) -> str:
        """`registered` or `published`, as it was when the server was last asked."""
        return str(self._record["state"])

    @property
    def archived(self) -> bool:
        """Whether lists leave it out."""
        return self._record["archived_at"] is not None

    @property
    def tags(self) -> list[str]:
        """The labels."""
        return list(self._record["tags"])

    @property
    def aliases(self) -> list[str]:
        """The aliases that stood for it when the server was last asked."""
        return list(self._aliases)

    @property
    def framework(self) -> str | None:
        """What it was made with."""
        framework = self._record["framework"]
        return None if framework is None else str(framework)

    @property
    def comment(self) -> str:
        """What it is, for people."""
        return str(self._record["comment"])

    @property
    def metadata(self) -> dict[str, Any]:
        """Whatever was said of it, as JSON values."""
        return dict(self._record["metadata"])

    @property
    def task_id(self) -> str | None:
        """Id of the task that made it; None where a person registered it."""
        task_id = self._record["task_id"]
        return None if task_id is None else str(task_id)

    @property
    def datasets(self) -> list[str]:
        """Ids of the dataset versions that its task was given."""
        return list(self._record["datasets"])

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return int(self._record["size_bytes"])

    @property
    def url(self) -> str:
        """Where the server has its record."""
        return f"{session.client().url}{API}{self._path}"

    def get_local_copy(self, *, progress: Progress | None = None) -> Path:
        """Return a read-only copy on this machine, fetched where it is not here: the file, or the folder, it was.

        Every byte that is fetched is checked against its digest. On an agent the copy is the node's, shared by all
        attempts.

        Args:
            progress: called with the bytes that were fetched so far, those to fetch in all, and the files fetched.

        Raises:
            DigestMismatch: a file's bytes are not those that were registered; the message names it.
            NoSpace: the disk is full.
        """
        from orchestrator.sdk.copies.model_copy import model_copy  # noqa: PLC0415  only where it is used
        from orchestrator.sdk.copies.node_copies import node_model  # noqa: PLC0415  likewise

        if attempt_directory() is not None:
            copy = node_model(self.id)
        else:
            copy = model_copy(session.client(), self._record, cache=cache_directory(), progress=progress)
        return copy if self._record["folder"] else copy / self._record["files"][0]["path"]

    # What becomes of it

    def promote(self, alias: str = "production", reason: str = "") -> None:
        """Have an alias stand for this version from now on.

        Raises:
            Conflict: it is archived.
        """
        self._take(session.client().post(f"{self._path}/promote", {"alias": alias, "reason": reason}))

    def publish(self) -> None:
        """Mark it as one that others may rely on.

        Raises:
            Conflict: it is published already.
        """
        self._take(session.client().post(f"{self._path}/publish"))

    def archive(self, *, archived: bool = True) -> None:
        """Leave it out of lists, or with False take it in again; an archived one is not promoted."""
        self._take(session.client().post(f"{self._path}/{'archive' if archived else 'unarchive'}"))

    def add_tags(self, tags: Iterable[str] | str) -> None:
        """Add labels; triggers may act on it."""
        self._take(session.client().post(f"{self._path}/tags", {"add": _listed(tags)}))

    def remove_tags(self, tags: Iterable[str] | str) -> None:
        """Take labels off."""
        self._take(session.client().post(f"{self._path}/tags", {"remove": _listed(tags)}))

    def __repr__(self) -> str:
        return f"<Model {self.project}/{self.name}@{self.version} {self.state} {self.id}>"

    @property
    def _path(self) -> str:
        return f"/models/{self.id}"

    @classmethod
    def _of(cls, detail: Mapping[str, Any]) -> Model:
        return cls(detail["model"], aliases=[each["alias"] for each in detail["aliases"]])

    def _take(self, detail: Mapping[str, Any]) -> None:
        self._record = dict(detail["model"])
        self._aliases = [each["alias"] for each in detail["aliases"]]


def _listed(tags: Iterable[str] | str | None) -> list[str]:
    return [tags] if isinstance(tags, str) else list(tags or ())
