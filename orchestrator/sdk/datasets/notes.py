"""The part of `Dataset` that says what a version is: tags, description, metadata, plots; of final ones, too."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import NotFound
from orchestrator.sdk.client import segment
from orchestrator.sdk.datasets.record import VersionRecord
from orchestrator.sdk.session import cache_directory, session

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.sdk.datasets.logger import DatasetLogger

METADATA = "metadata"
"""What metadata is called that nobody named."""


class Notes(VersionRecord):
    """What people and programs say about a version; none of it changes its files."""

    def add_tags(self, tags: Iterable[str] | str) -> None:
        """Add labels; on a final version one call is one event, which triggers see."""
        added = [tags] if isinstance(tags, str) else list(tags)
        self._record = session.client().post(f"{self._path}/tags", {"add": added})

    def remove_tags(self, tags: Iterable[str] | str) -> None:
        """Remove labels; on a final version one call is one event, which triggers see."""
        removed = [tags] if isinstance(tags, str) else list(tags)
        self._record = session.client().post(f"{self._path}/tags", {"remove": removed})

    def set_description(self, description: str) -> None:
        """Say what the version is, for people."""
        self._record = session.client().patch(self._path, {"description": description})

    def set_metadata(self, metadata: Any, metadata_name: str = METADATA) -> None:  # noqa: ANN401  what people keep
        """Keep a table or any JSON with the version; what has that name already is replaced.

        Args:
            metadata: JSON values, a string, a NumPy array, a pandas DataFrame, the path of a file: what can be an
                artifact of a task.
            metadata_name: what it is called.

        Raises:
            TypeError: it is something else; nothing is pickled.
        """
        from orchestrator.sdk.artifacts import prepare  # noqa: PLC0415  only where it is used
        from orchestrator.sdk.blobs import store_missing  # noqa: PLC0415  likewise

        client = session.client()
        with tempfile.TemporaryDirectory(prefix="retrain-metadata-") as directory:
            prepared = prepare(metadata_name, metadata, directory=Path(directory))
            (digest,) = store_missing(client, [prepared.path])
            body = {
                "kind": prepared.kind,
                "filename": prepared.filename,
                "digest": digest,
                "size_bytes": prepared.path.stat().st_size,
                "preview": prepared.preview,
            }
            client.put(f"{self._path}/metadata/{segment(metadata_name, what='metadata_name')}", body)

    def get_metadata(self, metadata_name: str = METADATA) -> Any:  # noqa: ANN401  what was kept
        """Return what was kept under a name: JSON values, a string, an array or a DataFrame, else the path of a file.

        Raises:
            NotFound: nothing was; the message names what there is.
        """
        from orchestrator.sdk.artifacts import Artifact  # noqa: PLC0415  only where it is used

        client = session.client()
        kept = {each["name"]: each for each in client.pages(f"{self._path}/metadata")}
        if metadata_name not in kept:
            raise NotFound(
                f"{self.name} {self.version} has no metadata {metadata_name!r}.",
                hint=f"There is {', '.join(map(repr, sorted(kept)))}." if kept else "Keep some with set_metadata.",
            )
        found = kept[metadata_name]
        fields = {name: found[name] for name in ("name", "kind", "filename", "digest", "size_bytes", "preview")}
        return Artifact(**fields, client=client, directory=cache_directory() / "metadata").get()

    def list_metadata(self) -> list[str]:
        """Return the names under which something is kept."""
        return [each["name"] for each in session.client().pages(f"{self._path}/metadata")]

    def get_logger(self) -> DatasetLogger:
        """Return what plots of the version are reported through."""
        from orchestrator.sdk.datasets.logger import DatasetLogger  # noqa: PLC0415  only where it is used

        return DatasetLogger(self.id)
