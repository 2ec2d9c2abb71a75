"""Inside an attempt: the supervisor fills the node's cache, once for all attempts; the script sees it read-only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from orchestrator.sdk.client import Client
from orchestrator.settings import find_server

if TYPE_CHECKING:
    from orchestrator.sdk.copies.subset import Subset

DOWNLOAD_SECONDS = 24 * 3600.0
"""How long a supervisor may take to fill its node's cache."""


def node_copy(version_id: str, *, subset: Subset) -> Path:
    """Return the node's read-only folder of a version.

    Args:
        version_id: whose.
        subset: which of its files.
    """
    with _supervisor() as supervisor:
        answer = supervisor.get(
            f"/local/datasets/{version_id}", part=subset.part, parts=subset.parts, pattern=list(subset.patterns)
        )
        return Path(answer["path"])


def node_file(version_id: str, path: str) -> Path:
    """Return the node's read-only file of a version.

    Args:
        version_id: whose.
        path: in the version.
    """
    with _supervisor() as supervisor:
        return Path(supervisor.get(f"/local/datasets/{version_id}/file?{urlencode({'path': path})}")["path"])


def node_model(model_id: str) -> Path:
    """Return the node's read-only folder with the files of a model version.

    Args:
        model_id: whose.
    """
    with _supervisor() as supervisor:
        return Path(supervisor.get(f"/local/models/{model_id}")["path"])


def _supervisor() -> Client:
    return Client(find_server().url, timeout_seconds=DOWNLOAD_SECONDS)
