"""What a trigger waits for: events of dataset versions, tasks, models and firings, or times.

Which event types each one looks at, and what matches, is decided in `triggers.conditions`; which times in
`triggers.schedule`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from orchestrator.records.base import Moment, Name, Record, Tag, of_kind
from orchestrator.records.lifecycle import Status


class Subjects(Record):
    """The part that conditions on dataset versions, tasks and models share. All parts must hold."""

    project: str = ""
    """This project and all below it, also later ones; empty for all."""
    name: str | None = None
    """Shell pattern (`fnmatch`) that the name must match as a whole."""
    on_tags: tuple[Tag, ...] = ()
    """The resulting tags hold all of these, and the event added at least one."""
    on_publish: bool = False
    on_archive: bool = False
    required_tags: tuple[Tag, ...] = ()
    """The resulting tags hold all of these."""
    any_tags: tuple[Tag, ...] = ()
    """The resulting tags hold at least one of these, where some are named."""
    excluded_tags: tuple[Tag, ...] = ()
    """The resulting tags hold none of these."""


class DatasetCondition(Subjects):
    """Which events of dataset versions a trigger acts on.

    What is named with `on_…` is an alternative: any of them sets it off. With none of them a version that becomes final
    does.
    """

    kind: Literal["dataset"] = "dataset"
    on_finalize: bool = False


class MetricBound(Record):
    """One series of a task against a number; 0 is one."""

    title: Name
    series: str
    threshold: float = Field(allow_inf_nan=False)
    sign: Literal["above", "below"] = "above"
    """Strictly: a value that equals the threshold is neither."""


class TaskCondition(Subjects):
    """Which events of tasks a trigger acts on.

    Statuses, tags, publishing and archiving are alternatives; a metric must hold besides, by its last value, where one
    of them is named. With a metric alone the trigger acts in the moment in which a value first crosses the threshold in
    an attempt. With nothing named a task that completes sets it off.
    """

    kind: Literal["task"] = "task"
    on_status: tuple[Status, ...] = ()
    metric: MetricBound | None = None
    trigger: Name | None = None
    """Only tasks that the trigger of this name made."""
    exclude_by_hand: bool = False
    """Pass over runs that no agent started."""


class ModelCondition(Subjects):
    """Which events of model versions a trigger acts on; as with dataset versions, with nothing named a new version."""

    kind: Literal["model"] = "model"
    on_register: bool = False
    on_aliases: tuple[Tag, ...] = ()
    """One of these aliases has moved to the version."""


class FiringCondition(Record):
    """Which firings of other triggers a trigger acts on: how somebody hears of what did not happen.

    Firings of triggers that themselves wait for firings never match: a message that fails would tell of itself.
    """

    kind: Literal["firing"] = "firing"
    project: str = ""
    trigger: str | None = None
    """Shell pattern that the trigger's name must match as a whole."""
    on: tuple[Literal["launched", "blocked", "failed"], ...] = Field(default=("blocked", "failed"), min_length=1)


CatchUp = Literal["all", "latest", "none"]
"""What becomes of times that passed while no scheduler ran: each fires, the last fires, or none does."""


class ScheduleCondition(Record):
    """When a trigger acts. Exactly one of `cron`, `every_seconds`, `rule` and `at` is given.

    Local times that daylight saving skips fire at the first moment after the gap; those that come twice, the first
    time.
    """

    kind: Literal["schedule"] = "schedule"
    project: str = ""
    """Where it belongs: who may see and change it."""
    cron: str | None = Field(default=None, max_length=255)
    """Five fields as crontab(5) has them, in local time."""
    every_seconds: float | None = Field(default=None, ge=1, allow_inf_nan=False)
    """Counted from `starts_at`, in time that passes: no clock change moves it."""
    rule: str | None = Field(default=None, max_length=255)
    """An RFC 5545 recurrence rule such as `FREQ=MONTHLY;BYMONTHDAY=1;BYHOUR=8;BYMINUTE=0;BYSECOND=0`, in local time,
    counted from `starts_at`."""
    at: tuple[Moment, ...] = Field(default=(), max_length=1000)
    timezone: str = Field(default="UTC", max_length=64)
    """Name in the IANA database, such as `Europe/Berlin`."""
    starts_at: Moment | None = None
    """No time before this one is meant; the moment of registering where it is not given."""
    immediately: bool = False
    """Fire once when the trigger is registered first, too."""
    once: bool = False
    """Only the first time."""
    catch_up: CatchUp = "latest"


Condition = Annotated[
    DatasetCondition | TaskCondition | ModelCondition | FiringCondition | ScheduleCondition,
    Field(discriminator="kind"),
    BeforeValidator(of_kind("dataset")),
]
"""One that does not say its kind is about dataset versions."""
