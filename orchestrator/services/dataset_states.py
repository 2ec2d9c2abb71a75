"""What can be done with a version in which state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import Conflict, NotFound
from orchestrator.records.dataset import DatasetState

if TYPE_CHECKING:
    from orchestrator.records.dataset import DatasetVersion

CLOSED = (DatasetState.FINAL, DatasetState.PUBLISHED)


def require_present(version: DatasetVersion) -> None:
    """Check that a version was not deleted.

    Raises:
        NotFound: it was; the message says when.
    """
    if version.deleted_at is not None:
        raise NotFound(
            f"{version.name} {version.version} was deleted at {version.deleted_at:%Y-%m-%d %H:%M} UTC.",
            hint=f"See what there is: retrain dataset list --project {version.project}",
        )


def require_draft(version: DatasetVersion) -> None:
    """Check that a version can be changed.

    Raises:
        NotFound: it was deleted.
        Conflict: it is final.
    """
    require_present(version)
    if version.state is not DatasetState.OPEN:
        raise Conflict(
            f"{version.name} {version.version} is {version.state}: its files never change again.",
            hint="Make a new version with it as parent.",
        )


def require_closed(version: DatasetVersion, *, to: str) -> None:
    """Check that a version is final.

    Args:
        version: which.
        to: what it is wanted for, such as `be a parent`.

    Raises:
        NotFound: it was deleted.
        Conflict: it is a draft.
    """
    require_present(version)
    if version.state is DatasetState.OPEN:
        raise Conflict(
            f"{version.name} {version.version} is a draft and cannot {to}.",
            hint=f"Finalize it first: retrain dataset finalize {version.id}",
        )
