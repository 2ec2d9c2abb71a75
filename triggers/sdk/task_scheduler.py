"""`TaskScheduler`: tasks by the clock, declared in a script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from triggers.sdk.declaring import Declaring, Definition
from triggers.sdk.names import id_of
from triggers.sdk.options import ScheduleOptions, keywords
from triggers.sdk.schedules import When, schedule_of
from triggers.sdk.timespec import Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from typing import Unpack

    from orchestrator.sdk.task import Task
    from triggers.sdk.options import Length


class TaskScheduler(Declaring):
    """Declares tasks that run by the clock and serves them, and all other triggers of the server.

    Args:
        sync_frequency_minutes: how often to look at the server, at least once a minute, where it cannot say at once
            that something happened. What is due is done on the second all the same.
        force_create_task_name: of the service task of `start_remotely`.
        force_create_task_project: likewise.
    """

    def __init__(
        self,
        sync_frequency_minutes: float = 15.0,
        *,
        force_create_task_name: str | None = None,
        force_create_task_project: str | None = None,
    ) -> None:
        super().__init__(
            polling_frequency_minutes=min(sync_frequency_minutes, 1.0),
            force_create_task_name=force_create_task_name,
            force_create_task_project=force_create_task_project,
        )

    @keywords(ScheduleOptions)
    def add_task(  # noqa: PLR0913  the names are those that people know
        self,
        schedule_task_id: str | Task | None = None,
        *,
        name: str | None = None,
        minute: int | None = None,
        hour: int | None = None,
        day: int | None = None,
        weekdays: Sequence[str] | None = None,
        month: int | None = None,
        year: int | None = None,
        cron: str | None = None,
        every: Length | None = None,
        rule: str | None = None,
        at: datetime | Sequence[datetime] | None = None,
        timezone: str = "UTC",
        starts_at: datetime | None = None,
        recurring: bool = True,
        execute_immediately: bool = False,
        catch_up: str | None = None,
        trigger_project: str | None = "",
        **options: Unpack[ScheduleOptions],
    ) -> bool:
        """Run a task, or something else, by the clock.

        Of `minute` to `year` the longest says how often and the shorter ones when; on its own each is the time between
        two runs.

            minute=15                                            every 15 minutes
            hour=1                                               every hour
            hour=1, minute=30                                    every hour at half past
            day=1, hour=22, minute=30                            every day at 22:30
            day=2, hour=7, minute=30                             every other day at 7:30
            weekdays=["saturday"], day=0, hour=8, minute=30      every Saturday at 8:30
            weekdays=["saturday", "sunday"], hour=2              every 2 hours on weekends
            month=1, day=5                                       on the 5th of each month
            year=1, month=3, day=4                               each year on March 4th
            year=2030, month=1, day=1                            once

        Args:
            schedule_task_id: the reference task; each time it is cloned and the clone enqueued.
            name: of the schedule: registering again by the same name updates it; one is made from its content where it
                is not given.
            minute: 0 to 59, or the time between runs.
            hour: 0 to 23, or the time between runs.
            day: of the month, 1 to 31 (its last day where it has no such day), or the time between runs.
            weekdays: names of days.
            month: 1 to 12, or the time between runs.
            year: the time between runs, up to 100; or a year of the calendar.
            cron: instead: five fields as crontab(5) has them.
            every: instead: seconds, a `timedelta`, or such as `"90m"`; no clock change moves it.
            rule: instead: an RFC 5545 recurrence rule.
            at: instead: moments; one without a time zone is in `timezone`.
            timezone: name in the IANA database, such as `Europe/Berlin`.
            starts_at: no time before this one is meant; the moment of registering where it is not given.
            recurring: False for the first time only.
            execute_immediately: once when it is registered first, too.
            catch_up: of times that passed while no scheduler ran: `latest`, `all` or `none` are made up for.
            trigger_project: where it belongs: who may see and change it.
            **options: see `ScheduleOptions`; a function needs a `name`.

        Returns:
            True.

        Raises:
            InvalidRequest: keywords contradict each other, or the name is taken by another trigger of this scheduler.
                What only the server can know (task, queue, parameters, templates) is checked on `start`.
        """
        condition = schedule_of(
            When(Spec(minute, hour, day, weekdays, month, year), cron=cron, every=every, rule=rule, at=at),
            timezone=timezone,
            project=trigger_project,
            starts_at=starts_at,
            recurring=recurring,
            execute_immediately=execute_immediately,
            catch_up=catch_up,
        )
        given = {**options, "schedule_task_id": schedule_task_id, "name": name}
        self._declare(condition, given, queue=options.get("queue"), kind="schedule")
        return True

    def get_scheduled_tasks(self) -> list[Definition]:
        """Return all that is scheduled as `start` registers it."""
        return self.definitions

    def remove_task(self, task_id: str | Task | Callable[..., Any]) -> bool:
        """Take a task, or a function, from what is scheduled here; what is registered stays at the server.

        Args:
            task_id: the reference task, its id, or the function.

        Returns:
            Whether it was scheduled.
        """
        if callable(task_id):
            names = [name for name, function in self._functions.items() if function is task_id]
        else:
            reference = id_of(task_id, field="task_id")
            names = [each["name"] for each in self.definitions if each["action"].get("task") == reference]
        for name in names:
            self._definitions.pop(name, None)
            self._functions.pop(name, None)
        return bool(names)
