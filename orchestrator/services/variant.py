"""What differs in a clone besides its parameters: the commit or branch that it runs, the image that it runs in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import InvalidRequest
from orchestrator.records.source import Container, Source

if TYPE_CHECKING:
    from orchestrator.records.task import Task
    from orchestrator.wire import CloneTask


def source_of(reference: Task, *, body: CloneTask) -> Source | None:
    """Return the source that a clone runs: the reference's, or a commit or branch of the same repository.

    What was not committed is left out then: it was an edit of another commit. A branch is resolved by the agent when an
    attempt starts; beside a commit it is a note.

    Raises:
        InvalidRequest: a commit or branch is asked for, and the reference names no repository.
    """
    if body.commit is None and body.branch is None:
        return reference.source
    if reference.source is None or reference.source.repository is None:
        asked = f"commit {body.commit}" if body.commit is not None else f"branch {body.branch!r}"
        lacks = "has no source" if reference.source is None else "was captured outside of any remote repository"
        raise InvalidRequest(
            f"Task {reference.id} {lacks}, so that {asked} is nowhere to be found.",
            hint="Run the reference once from a clone of the repository, or leave commit and branch out.",
        )
    return Source(repository=reference.source.repository, commit=body.commit, branch=body.branch)


def container_of(reference: Task, *, body: CloneTask) -> Container | None:
    """Return the container that a clone asks for: the reference's, with another image where one is named."""
    if body.image is None:
        return reference.container
    if reference.container is None:
        return Container(image=body.image)
    return reference.container.changed(image=body.image)
