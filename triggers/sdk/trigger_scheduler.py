"""`TriggerScheduler`: triggers on datasets, models, tasks and firings, declared in a script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.errors import InvalidRequest
from triggers.sdk import conditions
from triggers.sdk.declaring import Declaring, Definition
from triggers.sdk.names import words
from triggers.sdk.options import TriggerOptions, keywords

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Unpack

    from orchestrator.sdk.task import Task

    Tags = str | Sequence[str] | None


class TriggerScheduler(Declaring):
    """Declares triggers and serves them.

    Triggers live on the server under their names: registering again updates, and any scheduler serves them all. What is
    named with `trigger_on_…` is an alternative: any of them sets the trigger off, when `trigger_project`,
    `trigger_name` and the other tags hold besides.

    Args:
        polling_frequency_minutes: how often to look for events where the server cannot say at once that there are some.
        pooling_frequency_minutes: the same, by the name that scripts written for ClearML use.
        sync_frequency_minutes: taken and not needed: triggers that are edited count at once.
        force_create_task_name: of the service task of `start_remotely`.
        force_create_task_project: likewise.
    """

    def __init__(
        self,
        polling_frequency_minutes: float = 1.0,
        *,
        pooling_frequency_minutes: float | None = None,
        sync_frequency_minutes: float = 15.0,  # noqa: ARG002  see above
        force_create_task_name: str | None = None,
        force_create_task_project: str | None = None,
    ) -> None:
        super().__init__(
            polling_frequency_minutes=polling_frequency_minutes
            if pooling_frequency_minutes is None
            else pooling_frequency_minutes,
            force_create_task_name=force_create_task_name,
            force_create_task_project=force_create_task_project,
        )

    def get_triggers(self) -> list[Definition]:
        """Return all triggers as `start` registers them."""
        return self.definitions

    @keywords(TriggerOptions)
    def add_dataset_trigger(  # noqa: PLR0913  the names are those that people know
        self,
        schedule_task_id: str | Task | None = None,
        *,
        name: str | None = None,
        trigger_project: str | None = "",
        trigger_name: str | None = None,
        trigger_on_finalize: bool = False,
        trigger_on_publish: bool | None = None,
        trigger_on_tags: Tags = None,
        trigger_on_archive: bool | None = None,
        trigger_required_tags: Tags = None,
        trigger_any_tags: Tags = None,
        trigger_excluded_tags: Tags = None,
        **options: Unpack[TriggerOptions],
    ) -> None:
        """Act whenever a dataset version matches: by default clone a reference task and enqueue the clone.

        Without any `trigger_on_…` a version that becomes final matches.

        Args:
            schedule_task_id: the reference task.
            name: of the trigger: registering again by the same name updates it; one is made from its content where it
                is not given.
            trigger_project: datasets of this project and all below it, also later ones; empty for all.
            trigger_name: shell pattern that the dataset's name must match as a whole.
            trigger_on_finalize: a version becomes final.
            trigger_on_publish: a version is published.
            trigger_on_tags: the version has all of these, and the event added at least one.
            trigger_on_archive: a version is archived.
            trigger_required_tags: the version must have all of these besides.
            trigger_any_tags: the version must have one of these besides.
            trigger_excluded_tags: the version must have none of these.
            **options: see `TriggerOptions`.

        Raises:
            InvalidRequest: keywords contradict each other, or the name is taken by another trigger of this scheduler.
                What only the server can know (task, queue, parameters, templates) is checked on `start`.
        """
        condition = conditions.subjects(
            project=trigger_project,
            name=trigger_name,
            on_tags=trigger_on_tags,
            required_tags=trigger_required_tags,
            any_tags=trigger_any_tags,
            excluded_tags=trigger_excluded_tags,
            on_publish=trigger_on_publish,
            on_archive=trigger_on_archive,
        )
        if trigger_on_finalize:
            condition["on_finalize"] = True
        self._add_trigger("dataset", condition, {**options, "schedule_task_id": schedule_task_id, "name": name})

    @keywords(TriggerOptions)
    def add_model_trigger(  # noqa: PLR0913  the names are those that people know
        self,
        schedule_task_id: str | Task | None = None,
        *,
        name: str | None = None,
        trigger_project: str | None = "",
        trigger_name: str | None = None,
        trigger_on_register: bool = False,
        trigger_on_publish: bool | None = None,
        trigger_on_tags: Tags = None,
        trigger_on_archive: bool | None = None,
        trigger_on_aliases: Tags = None,
        trigger_required_tags: Tags = None,
        trigger_any_tags: Tags = None,
        trigger_excluded_tags: Tags = None,
        **options: Unpack[TriggerOptions],
    ) -> None:
        """Act whenever a model version matches; without any `trigger_on_…` when a new one is registered.

        Args:
            schedule_task_id: the reference task; each firing clones it and enqueues the clone.
            name: of the trigger.
            trigger_project: models of this project and all below it, also later ones; empty for all.
            trigger_name: shell pattern that the model's name must match as a whole.
            trigger_on_register: a version is registered.
            trigger_on_publish: a version is published.
            trigger_on_tags: the version has all of these, and the event added at least one.
            trigger_on_archive: a version is archived.
            trigger_on_aliases: one of these aliases, such as `production`, has moved to the version.
            trigger_required_tags: the version must have all of these besides.
            trigger_any_tags: the version must have one of these besides.
            trigger_excluded_tags: the version must have none of these.
            **options: see `TriggerOptions`.

        Raises:
            InvalidRequest: see `add_dataset_trigger`.
        """
        condition = conditions.subjects(
            project=trigger_project,
            name=trigger_name,
            on_tags=trigger_on_tags,
            required_tags=trigger_required_tags,
            any_tags=trigger_any_tags,
            excluded_tags=trigger_excluded_tags,
            on_publish=trigger_on_publish,
            on_archive=trigger_on_archive,
        )
        if trigger_on_register:
            condition["on_register"] = True
        if aliases := words(trigger_on_aliases, field="trigger_on_aliases"):
            condition["on_aliases"] = aliases
        self._add_trigger("model", condition, {**options, "schedule_task_id": schedule_task_id, "name": name})

    @keywords(TriggerOptions)
    def add_task_trigger(  # noqa: PLR0913  the names are those that people know
        self,
        schedule_task_id: str | Task | None = None,
        *,
        name: str | None = None,
        trigger_project: str | None = "",
        trigger_name: str | None = None,
        trigger_on_publish: bool | None = None,
        trigger_on_tags: Tags = None,
        trigger_on_archive: bool | None = None,
        trigger_on_status: Tags = None,
        trigger_exclude_dev_tasks: bool | None = None,
        trigger_on_metric: str | None = None,
        trigger_on_variant: str | None = None,
        trigger_on_threshold: float | None = None,
        trigger_on_sign: str | None = None,
        trigger_required_tags: Tags = None,
        trigger_any_tags: Tags = None,
        trigger_excluded_tags: Tags = None,
        trigger_made_by: str | None = None,
        **options: Unpack[TriggerOptions],
    ) -> None:
        """Act whenever a task matches; with nothing named when one completes.

        A metric alone sets it off in the moment in which a value first crosses the threshold; beside a status, a tag or
        a publishing its last value must hold then.

        Args:
            schedule_task_id: the reference task; each firing clones it and enqueues the clone.
            name: of the trigger.
            trigger_project: tasks of this project and all below it, also later ones; empty for all.
            trigger_name: shell pattern that the task's name must match as a whole.
            trigger_on_publish: a task is published.
            trigger_on_tags: the task has all of these, and the event added at least one.
            trigger_on_archive: a task is archived.
            trigger_on_status: a task gets one of these statuses, such as `["failed", "completed"]`.
            trigger_exclude_dev_tasks: pass over runs that no agent started.
            trigger_on_metric: title of a metric.
            trigger_on_variant: its series.
            trigger_on_threshold: a number, 0 included.
            trigger_on_sign: `max`, `maximum` or `above` for values above it, `min`, `minimum` or `below` for those
                below it, which is the default.
            trigger_required_tags: the task must have all of these besides.
            trigger_any_tags: the task must have one of these besides.
            trigger_excluded_tags: the task must have none of these.
            trigger_made_by: only tasks that the trigger of this name made.
            **options: see `TriggerOptions`; `promote` may be the whole action.

        Raises:
            InvalidRequest: see `add_dataset_trigger`.
        """
        condition = conditions.subjects(
            project=trigger_project,
            name=trigger_name,
            on_tags=trigger_on_tags,
            required_tags=trigger_required_tags,
            any_tags=trigger_any_tags,
            excluded_tags=trigger_excluded_tags,
            on_publish=trigger_on_publish,
            on_archive=trigger_on_archive,
        )
        if statuses := conditions.statuses(trigger_on_status):
            condition["on_status"] = statuses
        bound = conditions.metric(
            title=trigger_on_metric,
            series=trigger_on_variant,
            threshold=trigger_on_threshold,
            sign=trigger_on_sign,
        )
        if bound is not None:
            condition["metric"] = bound
        if trigger_made_by:
            condition["trigger"] = trigger_made_by
        if trigger_exclude_dev_tasks:
            condition["exclude_by_hand"] = True
        self._add_trigger("task", condition, {**options, "schedule_task_id": schedule_task_id, "name": name})

    @keywords(TriggerOptions)
    def add_firing_trigger(
        self,
        name: str,
        *,
        trigger_name: str | None = None,
        trigger_project: str | None = "",
        schedule_task_id: str | Task | None = None,
        on: Tags = ("blocked", "failed"),
        **options: Unpack[TriggerOptions],
    ) -> None:
        """Act on what other triggers did: how somebody hears of a closed gate or a failure.

        Firings of triggers that themselves wait for firings never match: a message that fails would tell of itself.

        Args:
            name: of this trigger.
            trigger_name: shell pattern that the other trigger's name must match as a whole.
            trigger_project: triggers of this project and all below it; empty for all.
            schedule_task_id: a reference task to clone.
            on: outcomes of firings: some of `launched`, `blocked`, `failed`.
            **options: see `TriggerOptions`; mostly `message` or `webhook`.

        Raises:
            InvalidRequest: see `add_dataset_trigger`.
        """
        found = conditions.subjects(project=trigger_project, name=trigger_name)
        condition = {"project": found["project"], "trigger": found["name"], "on": conditions.outcomes(on)}
        self._add_trigger("firing", condition, {**options, "schedule_task_id": schedule_task_id, "name": name})

    def _add_trigger(self, kind: str, condition: Definition, options: Mapping[str, Any]) -> None:
        if kind != "dataset" and options.get("require") is not None:
            raise InvalidRequest(
                f"require asks of a dataset version, and a {kind} trigger sees none.",
                hint="Leave it out, or decide in a schedule_function.",
            )
        known = {**condition, "kind": kind}
        self._declare(known, options, queue=options.get("schedule_queue"), kind=f"{kind} trigger")
