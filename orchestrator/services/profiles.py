"""What is known of a version's files without opening them, and how that differs from another version's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import Conflict, NotFound
from orchestrator.profiles import available
from orchestrator.records.dataset import DatasetState
from orchestrator.records.drift import compare_profiles
from orchestrator.records.profile import DatasetProfile
from orchestrator.services.dataset_states import require_present
from orchestrator.services.read_datasets import get_dataset

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.drift import ProfileComparison
    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Transaction


def get_profile(transaction: Transaction, actor: Principal, *, version_id: Id) -> DatasetProfile:
    """Return a version's profile.

    Raises:
        NotFound: there is no such version, it was deleted, or it has no profile yet.
        Forbidden: the actor may not read in its project.
    """
    version = get_dataset(transaction, actor, version_id=version_id)
    require_present(version)
    profile = transaction.datasets.profile(version_id)
    if profile is not None:
        return DatasetProfile.from_wire(profile)
    missing = available()
    if version.state is DatasetState.OPEN:
        hint = "Profiles are made when a version is finalized."
    elif missing is not None:
        hint = f"The server has no packages to make one with: {missing}"
    else:
        hint = "It is being made; ask again in a moment."
    raise NotFound(f"{version.name} {version.version} has no profile yet.", hint=hint)


def compare_versions(
    transaction: Transaction, actor: Principal, *, version_id: Id, against: Id | None
) -> ProfileComparison:
    """Return how a version's profile differs from another's; from its first parent's where none is named.

    Raises:
        NotFound: one of them does not exist, was deleted, or has no profile yet.
        Forbidden: the actor may not read in both projects.
        Conflict: it has no parent, and none is named.
    """
    current = get_profile(transaction, actor, version_id=version_id)
    if against is None:
        version = get_dataset(transaction, actor, version_id=version_id)
        if not version.parents:
            raise Conflict(
                f"{version.name} {version.version} has no parent to compare it with.", hint="Name a version: against=ID"
            )
        against = version.parents[0]
    return compare_profiles(current, get_profile(transaction, actor, version_id=against))
