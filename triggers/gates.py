"""What is required of a dataset version before a trigger trains on it: `evaluate` says of each thing what was found.

The numbers are those of `records.profile` and `records.drift`, from statistics that the server keeps by file and merges
by version (Apache DataSketches). The libraries that were weighed want the rows in memory: Great Expectations and
pandera validate a data frame, Evidently compares two of them, and scipy's `ks_2samp` and `chi2_contingency` take
samples. With them a gate would read all files of both versions, each time. Merged sketches give the same statistics,
with ranks within 1.4 %, from a few kilobytes whatever the size of the versions.

What cannot be told is said. Without a parent there is nothing to compare with, and what compares holds; so it does for
a column that the reference has not, or has no values of. What is required of a column by name does not hold where there
is no such column or no such number of it, and nothing holds of which the statistics are missing. Of columns that are
not named, those of times are passed over: newer data has later ones. The measures of images, sound and texts, such as
`images.brightness`, are held to the bounds like columns.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.records.dataset import DatasetVersion
from orchestrator.records.drift import ColumnComparison
from orchestrator.records.gate import Check, GateReport

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from orchestrator.records.base import Id
    from orchestrator.records.drift import MeasureComparison, ProfileComparison
    from orchestrator.records.gate import Gates
    from orchestrator.records.profile import DatasetProfile

_ALONE = 20
"""Columns are told of one by one up to so many, and those that hold a bound together beyond."""
_TOLD = 50
"""Most columns beyond a bound that are told of one by one."""

_MISSING = "max_missing_share"
_WORDS = {
    _MISSING: "The share of missing values",
    "max_psi": "PSI",
    "max_ks": "The Kolmogorov-Smirnov distance",
    "max_chi_square": "Chi-square",
    "max_cramers_v": "Cramér's V",
}
_FIELDS = {"max_psi": "psi", "max_ks": "ks", "max_chi_square": "chi_square", "max_cramers_v": "cramers_v"}
_LABELS = "texts, booleans and whole numbers of few different values"
_MEASURES = {
    "images": ("width", "height", "brightness", "formats", "modes"),
    "audio": ("duration", "formats", "sample_rates", "channels"),
    "texts": ("words_per_file",),
}
"""What `records.drift` compares of files that are no tables."""
_ONLY_OF = {
    "max_psi": f"numbers, times and {_LABELS}",
    "max_ks": "numbers and times",
    "max_chi_square": _LABELS,
    "max_cramers_v": _LABELS,
}


@dataclass(frozen=True)
class Facts:
    """What gates are decided on; whoever looks at them fetches what they ask for.

    Args:
        version: the event's dataset version, as a record or as the API tells of it; None where the event has none.
        profile: of that version; None where there is none.
        comparison: of that profile with the reference's; None where none could be made.
        reference: id of the version that it was compared with.
        answer: what the gates' function returned, with its reason or without; None where it was not asked.
        problem: why there is no profile or no comparison, in a sentence; "" where there is nothing to say.
    """

    version: DatasetVersion | Mapping[str, Any] | None = None
    profile: DatasetProfile | None = None
    comparison: ProfileComparison | None = None
    reference: Id | None = None
    answer: bool | tuple[bool, str] | None = None
    problem: str = ""


def evaluate(gates: Gates, *, facts: Facts, now: datetime) -> GateReport:
    """Look at everything that is required; the gates are open if all of it holds.

    Args:
        gates: what is required.
        facts: what was fetched.
        now: the time of the look.
    """
    checks = (
        *_sizes(gates, facts=facts),
        *_same_columns(gates, facts=facts),
        *_bounds(gates, facts=facts),
        *_answer(gates, facts=facts),
    )
    return GateReport(
        open=all(check.passed for check in checks),
        checks=checks,
        dataset=_of_version(facts, "id"),
        reference=facts.reference,
        checked_at=now,
    )


def _of_version(facts: Facts, field: str) -> Any:  # noqa: ANN401  the version's fields are of many types
    if isinstance(facts.version, DatasetVersion):
        return getattr(facts.version, field)
    return facts.version.get(field) if facts.version is not None else None


def _sizes(gates: Gates, *, facts: Facts) -> Iterator[Check]:
    """Check how many files and rows there are."""
    if gates.min_files is not None:
        yield _at_least("min_files", _of_version(facts, "file_count"), bound=gates.min_files, noun="files", facts=facts)
    if gates.min_rows is not None:
        rows = None if facts.profile is None else sum(table.rows for table in facts.profile.tables)
        yield _at_least("min_rows", rows, bound=gates.min_rows, noun="rows in its tables", facts=facts)
    if gates.min_added_files is not None:
        added = _of_version(facts, "added_count")
        noun = "files that its parent has not"
        yield _at_least("min_added_files", added, bound=gates.min_added_files, noun=noun, facts=facts)


def _at_least(name: str, value: int | None, *, bound: int, noun: str, facts: Facts) -> Check:
    if value is None:
        why = facts.problem or (
            "The event is of no dataset version." if facts.version is None else "The version has no profile."
        )
        return Check(name=name, bound=bound, passed=False, reason=f"Its {noun} cannot be counted. {why}")
    passed = value >= bound
    reason = f"The version has {value} {noun}; at least {bound} are required."
    if name == "min_rows":
        reason += _unread(facts)
    return Check(name=name, value=value, bound=bound, passed=passed, reason=reason)


def _no_comparison(facts: Facts, *, gates: Gates) -> tuple[bool, str]:
    """Return whether what compares holds although nothing was compared, and why."""
    if facts.version is None:
        return False, "The event is of no dataset version."
    if gates.reference == "parent" and not _of_version(facts, "parents"):
        return True, "The version has no parent, so there is nothing to compare it with."
    return False, facts.problem or "The version could not be compared with its reference."


def _same_columns(gates: Gates, *, facts: Facts) -> Iterator[Check]:
    """Check that the tables have the columns of the reference's, of the same types."""
    if not gates.same_columns:
        return
    comparison = facts.comparison
    if comparison is None:
        passed, why = _no_comparison(facts, gates=gates)
        yield Check(name="same_columns", passed=passed, reason=why)
        return
    differences = [f"a table with {_listed(names)} is new" for names in comparison.added_tables]
    differences += [f"the table with {_listed(names)} is gone" for names in comparison.removed_tables]
    for table in comparison.tables:
        for column in table.columns:
            if column.change == "type_changed":
                differences.append(f"{column.name} is {column.type} and was {column.reference_type}")
            elif column.change != "kept":
                differences.append(f"{column.name} is {'new' if column.change == 'added' else 'gone'}")
    if differences:
        reason = f"Against the reference {_listed(differences, between='; ')}."
    elif comparison.tables:
        count = sum(len(table.columns) for table in comparison.tables)
        reason = f"The columns are those of the reference, {count} of the same types."
    else:
        reason = "Neither the version nor its reference has a table."
    yield Check(name="same_columns", value=len(differences), bound=0, passed=not differences, reason=reason)


class _Column(NamedTuple):
    """A column, or a measure of other files, and what is known of it."""

    name: str
    label: str
    """Its name, and which table's where several have it."""
    missing_share: float | None
    compared: ColumnComparison | MeasureComparison | None
    """None of a column that the reference has not."""


def _bounds(gates: Gates, *, facts: Facts) -> Iterator[Check]:
    """Check the bounds of all columns, and then those of the columns that are named."""
    for bound in _WORDS:
        limit = getattr(gates, bound)
        if limit is not None:
            yield from _of_all(bound, limit, gates=gates, facts=facts)
    for name, bounds in gates.columns.items():
        for bound in _WORDS:
            limit = getattr(bounds, bound)
            if limit is not None:
                yield from _of_named(bound, limit, name=name, gates=gates, facts=facts)


def _of_all(bound: str, limit: float, *, gates: Gates, facts: Facts) -> Iterator[Check]:
    if (unknown := _unknown(bound, gates=gates, facts=facts)) is not None:
        passed, why = unknown
        yield Check(name=bound, bound=limit, passed=passed, reason=why)
        return
    columns = [column for column in _columns(bound, facts=facts) if column.name not in gates.columns]
    if not columns:
        gone = facts.comparison is not None and not facts.comparison.tables and bool(facts.comparison.removed_tables)
        why = "The version has none of the reference's tables." if gone else "There is no other column to look at."
        yield Check(name=bound, bound=limit, passed=not gone, reason=why + _unread(facts))
        return
    checks = [_decide(bound, limit, column=column, named=False, facts=facts) for column in columns]
    closed = [check for check in checks if not check.passed]
    held = [check for check in checks if check.passed]
    yield from closed[:_TOLD]
    if len(checks) <= _ALONE:
        yield from held
    elif held:
        yield _together(bound, checks=held)
    if len(closed) > _TOLD:
        yield _together(bound, checks=closed[_TOLD:])


def _together(bound: str, *, checks: Sequence[Check]) -> Check:
    """Return one check for many of one bound that came to the same."""
    worst = max(checks, key=lambda check: check.value if isinstance(check.value, float) else -1.0)
    return worst.changed(name=f"{bound} of {len(checks)} columns", reason=f"The greatest is this: {worst.reason}")


def _of_named(bound: str, limit: float, *, name: str, gates: Gates, facts: Facts) -> Iterator[Check]:
    check = f"{bound} of {name}"
    present = _present(bound, facts=facts)
    if present is not None and name not in present:
        reason = f"The version has no column {name}; there are {_listed(sorted(present))}."
        yield Check(name=check, bound=limit, passed=False, reason=reason)
        return
    if (unknown := _unknown(bound, gates=gates, facts=facts)) is not None:
        passed, why = unknown
        yield Check(name=check, bound=limit, passed=passed, reason=why)
        return
    columns = [column for column in _columns(bound, facts=facts) if column.name == name]
    if not columns:
        yield Check(name=check, bound=limit, passed=True, reason=f"The reference has no {name} to compare with.")
    for column in columns:
        yield _decide(bound, limit, column=column, named=True, facts=facts)


def _unknown(bound: str, *, gates: Gates, facts: Facts) -> tuple[bool, str] | None:
    """Return whether a bound holds although nothing is known, and why; None where something is known."""
    if bound != _MISSING:
        return _no_comparison(facts, gates=gates) if facts.comparison is None else None
    if facts.profile is None and facts.comparison is None:
        return False, facts.problem or "The version has no profile."
    return None


def _present(bound: str, *, facts: Facts) -> set[str] | None:
    """Return the names of the version's columns and, where the bound is one for them, measures; None if not known."""
    if facts.profile is not None:
        names = {column.name for table in facts.profile.tables for column in table.columns}
        measured = [noun for noun in _MEASURES if getattr(facts.profile, noun) is not None]
        measures = {f"{noun}.{measure}" for noun in measured for measure in _MEASURES[noun]}
        return names if bound == _MISSING else names | measures
    return None if facts.comparison is None else {column.name for column in _columns(bound, facts=facts)}


def _columns(bound: str, *, facts: Facts) -> list[_Column]:
    """Return the columns of the version that there are numbers for, and the measures of its other files."""
    compared = facts.comparison
    columns: list[tuple[str, float | None, ColumnComparison | MeasureComparison | None]] = []
    if bound == _MISSING and facts.profile is not None:
        columns += [
            (column.name, column.missing_share, None) for table in facts.profile.tables for column in table.columns
        ]
    elif compared is not None:
        kept = [column for table in compared.tables for column in table.columns if column.change != "removed"]
        columns += [(column.name, column.missing_share, column) for column in kept]
        if bound != _MISSING:
            columns += [(name, None, None) for names in compared.added_tables for name in names]
            columns += [(measure.name, None, measure) for measure in compared.measures]
    several = Counter(name for name, _, _ in columns)
    seen: Counter[str] = Counter()
    result = []
    for name, missing_share, comparison in columns:
        seen[name] += 1
        label = name if several[name] == 1 else f"{name} in table {seen[name]} of those that have it"
        result.append(_Column(name, label, missing_share, comparison))
    return result


def _decide(bound: str, limit: float, *, column: _Column, named: bool, facts: Facts) -> Check:
    """Hold one number of one column against its bound."""
    value = column.missing_share if bound == _MISSING else getattr(column.compared, _FIELDS[bound], None)
    passed, reason = True, ""
    if value is None:
        passed, reason = _without_number(bound, column=column, named=named)
    elif (
        bound != _MISSING
        and not named
        and isinstance(column.compared, ColumnComparison)
        and column.compared.type == "time"
    ):
        reason = f"{column.label} holds times, and newer data has later ones; bounds hold for it where it is named."
    else:
        passed = value <= limit
        told, allowed = _numbers(value, limit)
        reason = f"{_WORDS[bound]} of {column.label} is {told}; at most {allowed} is allowed."
        chance = getattr(column.compared, "psi_by_chance", None)
        if bound == "max_psi" and chance is not None:
            reason += f" By chance alone it would be about {chance:.2g}."
        if any(part is not None and part.partial for part in (facts.profile, facts.comparison)):
            reason += " Only a part was read."
    return Check(name=f"{bound} of {column.label}", value=value, bound=limit, passed=passed, reason=reason)


def _without_number(bound: str, *, column: _Column, named: bool) -> tuple[bool, str]:
    """Return whether a bound holds for a column that has no such number, and why."""
    label, compared = column.label, column.compared
    if compared is None or (isinstance(compared, ColumnComparison) and compared.change == "added"):
        return True, f"The reference has no column {label} to compare with."
    if compared.reference_count == 0:
        return True, f"The reference has no values of {label} to compare with."
    if compared.count == 0:
        return False, f"{label} has no values; the reference has {compared.reference_count}."
    if isinstance(compared, ColumnComparison) and compared.change == "type_changed":
        return False, f"{label} is {compared.type} and was {compared.reference_type}; such values cannot be compared."
    return not named, f"{_WORDS[bound]} is only of {_ONLY_OF[bound]}; {label} is none."


def _unread(facts: Facts) -> str:
    """Return sentences on what the numbers of the version leave out, beginning with a space."""
    profile = facts.profile
    if profile is None:
        return ""
    text = " Only a part was read." if profile.partial else ""
    if profile.error_count:
        text += f" {profile.error_count} of its files could not be read."
    if others := sum(profile.other.values()):
        text += f" {others} of its files are of kinds that are not read: {_listed(sorted(profile.other))}."
    return text


def _numbers(value: float, limit: float) -> tuple[str, str]:
    """Return two numbers for people, that are told apart where they differ."""
    told, allowed = f"{value:.3g}", f"{limit:.3g}"
    return (told, allowed) if told != allowed or value == limit else (repr(value), repr(limit))


def _answer(gates: Gates, *, facts: Facts) -> Iterator[Check]:
    """Check what the gates' own function said."""
    if gates.function is None:
        return
    check = f"function {gates.function}"
    if facts.answer is None:
        yield Check(name=check, passed=False, reason=f"Function {gates.function} was not asked.")
        return
    passed, why = facts.answer if isinstance(facts.answer, tuple) else (facts.answer, "")
    because = f": {why.strip().rstrip('.')}" if why.strip() else ""
    reason = f"Function {gates.function} says {'yes' if passed else 'no'}{because}."
    yield Check(name=check, passed=passed, reason=reason)


def _listed(words: Iterable[str], *, between: str = ", ") -> str:
    """Return some of these words for people, and how many more there are."""
    all_words = list(words)
    more = len(all_words) - _ALONE
    shown = between.join(all_words[:_ALONE]) or "none"
    return f"{shown} and {more} more" if more > 0 else shown
