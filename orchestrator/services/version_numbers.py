"""Which number a dataset version gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import AlreadyExists, InvalidRequest
from orchestrator.records.dataset import FIRST_VERSION, SemanticVersion
from orchestrator.services.dataset_states import CLOSED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.records.dataset import DatasetState, DatasetVersion
    from orchestrator.store.protocol import Transaction

_LARGEST = 2**31 - 1
"""Of a version's numbers: they are sortable columns of 32 bits."""


def read_number(text: str) -> SemanticVersion:
    """Read `1.2.3`.

    Raises:
        InvalidRequest: it is no version, or too large.
    """
    version = SemanticVersion.parse(text) if len(text) <= len("2147483647") * 4 else None
    if version is None or max(version.major, version.minor, version.patch) > _LARGEST:
        raise InvalidRequest(f"The version {text[:64]!r} is too large.", hint=f"Each number is at most {_LARGEST}.")
    return version


def next_number(
    transaction: Transaction, *, project: str, name: str, states: Sequence[DatasetState]
) -> SemanticVersion:
    """Return the number that follows a dataset's newest version in these states and that no final version ever had."""
    newest = transaction.datasets.newest(project=project, name=name, states=states)
    number = SemanticVersion.parse(newest.version).next() if newest else FIRST_VERSION
    while holder_of(transaction, project=project, name=name, number=str(number)) is not None:
        number = number.next()
    return number


def holder_of(transaction: Transaction, *, project: str, name: str, number: str) -> DatasetVersion | None:
    """Return the final version that has a number, or had it before it was deleted: a number never means two things."""
    found = transaction.datasets.find(
        project=project,
        exact_project=True,
        name=name,
        version=number,
        states=CLOSED,
        archived=None,
        deleted=True,
        limit=1,
    )
    return found[0] if found else None


def number_taken(holder: DatasetVersion) -> AlreadyExists:
    """Return the error for a number that has a holder."""
    became = "was deleted; its number is not given twice" if holder.deleted_at else f"is {holder.state} already"
    return AlreadyExists(
        f"{holder.name} {holder.version} {became}.", hint="Leave the version out: it counts up by itself."
    )
