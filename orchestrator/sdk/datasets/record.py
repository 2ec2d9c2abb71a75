"""What the parts of `Dataset` share: the version's record, as it was when the server was last asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.errors import Conflict
from orchestrator.sdk.ingest.draft import Draft
from orchestrator.sdk.session import session

if TYPE_CHECKING:
    from collections.abc import Mapping


class VersionRecord:
    """A dataset version on the server."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        self._record = dict(record)
        self._draft = Draft(session.client, version_id=self.id)

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
        """The labels."""
        return list(self._record["tags"])

    @property
    def description(self) -> str:
        """What it is, for people."""
        return str(self._record["description"])

    @property
    def parents(self) -> list[str]:
        """Ids of the versions that it began from."""
        return list(self._record["parents"])

    @property
    def file_count(self) -> int:
        """Files, without what was not sent yet."""
        return int(self._record["file_count"])

    @property
    def size_bytes(self) -> int:
        """Of all files, without what was not sent yet."""
        return int(self._record["size_bytes"])

    def is_final(self) -> bool:
        """Tell whether the version never changes again."""
        return bool(self._record["state"] != "open")

    def __repr__(self) -> str:
        return f"<Dataset {self.project}/{self.name}@{self.version} {self._record['state']} {self.id}>"

    @property
    def _path(self) -> str:
        return f"/datasets/{self.id}"

    def _require_draft(self) -> None:
        if self.is_final():
            raise Conflict(
                f"{self.project}/{self.name} {self.version} is final.",
                hint="Begin the next version: Dataset.get(…, writable_copy=True).",
            )
