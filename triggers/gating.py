"""Looks at the gates of a firing: fetches what they ask about, calls the function of the user's own, and has it judged.

Where a firing has collected several events the newest dataset version is looked at: it is what will be trained on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.errors import Conflict, NotFound
from triggers.gates import Facts, evaluate

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from orchestrator.records.dataset import DatasetVersion
    from orchestrator.records.drift import ProfileComparison
    from orchestrator.records.gate import ColumnBounds, GateReport, Gates
    from orchestrator.records.profile import DatasetProfile
    from triggers.events import EventBatch
    from triggers.functions import Functions
    from triggers.performing import Hold

    T = TypeVar("T")

PATIENCE_SECONDS = 600.0
"""How long the statistics of a version are waited for."""
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 5.0


class StatisticsMissing(Conflict):
    """A version has no statistics."""

    code = "statistics_missing"


class Datasets(Protocol):
    """The part of `triggers.remote.Remote` that is needed here."""

    def dataset(self, version_id: str) -> DatasetVersion:
        """Return a dataset version."""

    def profile(self, version_id: str) -> DatasetProfile:
        """Return its statistics."""

    def comparison(self, version_id: str, *, against: str) -> ProfileComparison:
        """Return how its statistics differ from another's."""


def look(hold: Hold, gates: Gates, *, batch: EventBatch, remote: Datasets, functions: Functions) -> GateReport:
    """Return what the gates of a firing say.

    Args:
        hold: the firing.
        gates: what is required.
        batch: the firing's events.
        remote: the server.
        functions: those of this process.

    Raises:
        NotFound: there is no such version or reference, or the function is not here.
        FunctionFailed: it raised something.
        StatisticsMissing: there were none within ten minutes.
        Abandoned: the work is not to be gone on with.
    """
    facts: dict[str, Any] = {}
    if batch.dataset_id is not None:
        facts |= _facts(hold, gates, version=remote.dataset(batch.dataset_id), remote=remote)
    if gates.function is not None:
        facts["answer"] = _answer(functions.call(gates.function, batch))
    return evaluate(gates, facts=Facts(**facts), now=hold.now())


def _facts(hold: Hold, gates: Gates, *, version: DatasetVersion, remote: Datasets) -> dict[str, Any]:
    facts: dict[str, Any] = {"version": version}
    asked = [bounds for bounds in (gates, *gates.columns.values()) if _asks(bounds)]
    compares = gates.same_columns or any(_compares(bounds) for bounds in asked)
    if gates.min_rows is None and not asked and not compares:
        return facts
    if version.deleted_at is not None:
        return facts | {"problem": f"{version.name} {version.version} was deleted."}
    facts["profile"] = _awaited(hold, lambda: remote.profile(version.id), of=version)
    against = _reference(gates, version=version)
    if against is None or not compares:
        return facts
    reference = remote.dataset(against)
    facts["reference"] = against
    if reference.deleted_at is not None:
        return facts | {"problem": f"{reference.name} {reference.version}, the reference, was deleted."}
    facts["comparison"] = _awaited(hold, lambda: remote.comparison(version.id, against=against), of=version)
    return facts


def _reference(gates: Gates, *, version: DatasetVersion) -> str | None:
    if gates.reference != "parent":
        return gates.reference
    return version.parents[0] if version.parents else None


def _asks(bounds: ColumnBounds) -> bool:
    return bounds.max_missing_share is not None or _compares(bounds)


def _compares(bounds: ColumnBounds) -> bool:
    asked = (bounds.max_psi, bounds.max_ks, bounds.max_chi_square, bounds.max_cramers_v)
    return any(bound is not None for bound in asked)


def _awaited(hold: Hold, ask: Callable[[], T], *, of: DatasetVersion) -> T:
    """Ask until the statistics are there: the server makes them in the background when a version becomes final."""
    give_up = hold.elapsed_seconds() + PATIENCE_SECONDS
    pause_seconds = FIRST_PAUSE_SECONDS
    while True:
        try:
            return ask()
        except NotFound as error:
            if hold.elapsed_seconds() >= give_up:
                raise StatisticsMissing(
                    f"{of.name} {of.version} cannot be looked at: there were no statistics of it, or of what it is "
                    f"compared with, for {PATIENCE_SECONDS / 60:g} minutes. {error}"
                ) from error
        hold.pause(pause_seconds)
        pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)


def _answer(returned: object) -> bool | tuple[bool, str]:
    """Return what a function said: anything that is true, or that and a sentence."""
    match returned:
        case (verdict, str() as reason):
            return bool(verdict), reason
        case _:
            return bool(returned)
