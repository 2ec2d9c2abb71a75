"""What a run made becomes a version of a model: copied at once, sent in the background."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.sdk.backlog import Message
from orchestrator.sdk.logger import check_name
from orchestrator.sdk.models.files import copy_files, find_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from orchestrator.sdk.running import Run

_LONGEST_TAG = 128


def register(  # noqa: PLR0913  what is said of a model has many parts
    run: Run,
    name: str,
    path: str | os.PathLike[str],
    *,
    framework: str | None,
    tags: Iterable[str] | str | None,
    metadata: Mapping[str, Any] | None,
    comment: str,
    aliases: Iterable[str] | str | None,
) -> None:
    """Register a file or folder as the next version of a model in the run's project; see `Task.register_model`."""
    check_name(name, what="name")
    if framework is not None:
        check_name(framework, what="framework")
    source = Path(path)
    files = find_files(source)
    body = {
        "project": run.task["project"],
        "name": name,
        "framework": framework,
        "comment": comment,
        "tags": _labels(tags, what="tag"),
        "metadata": _plain(metadata),
        "folder": source.is_dir(),
        "aliases": _labels(aliases, what="alias"),
    }
    if run.sender is None:
        return
    copies = copy_files(files, directory=run.sender.directory / "models" / os.urandom(8).hex())
    # Sent again after an answer that was lost it must not make another version.
    run.put(Message(method="POST", path="/models", body=body, files=copies, key=os.urandom(16).hex()))


def _labels(given: Iterable[str] | str | None, *, what: str) -> list[str]:
    labels = [given] if isinstance(given, str) else list(given or ())
    for label in labels:
        check_name(label, what=what)
        if len(label) > _LONGEST_TAG or "," in label:
            raise ValueError(f"{label!r} cannot be a {what}: give at most {_LONGEST_TAG} characters and no comma")
    return labels


def _plain(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return metadata as JSON has it.

    Raises:
        TypeError: they are something else, such as a number that is none.
    """
    try:
        text = json.dumps(dict(metadata or {}), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(f"metadata of a model have to be JSON: {error}") from None
    plain: dict[str, Any] = json.loads(text)
    return plain
