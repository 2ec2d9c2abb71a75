"""What must hold of a dataset version before a trigger trains on it, and what was found."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from orchestrator.records.base import Id, Moment, Name, Record

Share = Field(default=None, ge=0, le=1)
Bound = Field(default=None, ge=0, allow_inf_nan=False)


class ColumnBounds(Record):
    """Bounds of a column's values against the reference's; None asks nothing. See `records.drift` for the numbers."""

    max_missing_share: float | None = Share
    max_psi: float | None = Bound
    max_ks: float | None = Share
    max_chi_square: float | None = Bound
    max_cramers_v: float | None = Share


class Gates(ColumnBounds):
    """What is required before training. The bounds hold for every column, but for those that have bounds of their own.

    They are decided on the statistics of the version's files: `GET /datasets/{id}/profile`.
    """

    min_files: int | None = Field(default=None, ge=0)
    min_rows: int | None = Field(default=None, ge=0)
    """Of all tables together."""
    min_added_files: int | None = Field(default=None, ge=0)
    """Added to those of the parents."""
    same_columns: bool = False
    """No column added, removed or of another type than in the reference."""
    columns: dict[str, ColumnBounds] = Field(default_factory=dict)
    """By column's name, instead of the bounds above."""
    reference: Literal["parent"] | Id = "parent"
    """What the version is compared with; without a parent there is nothing to compare, and those bounds hold."""
    function: Name | None = None
    """Registered with a scheduler: it gets the events and says whether to go on."""


class Check(Record):
    """One thing that was looked at."""

    name: str
    """Such as `max_psi of CO2`."""
    value: float | str | None = None
    bound: float | str | None = None
    passed: bool
    reason: str
    """One sentence for people, with the numbers."""


class GateReport(Record):
    """What the gates of a firing said."""

    open: bool
    checks: tuple[Check, ...]
    dataset: Id | None = None
    reference: Id | None = None
    checked_at: Moment
