"""The options of `retrain trigger add`, under four headings."""

from __future__ import annotations

import click

from orchestrator.cli.options import split_assignment
from orchestrator.cli.sections import option, section

KINDS = ("dataset", "task", "model", "firing", "schedule")


def _assigned(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    return dict(split_assignment(text) for text in values)


what_sets_it_off = section(
    "What sets it off",
    option(
        "--on", "kind", type=click.Choice(KINDS), help="What it waits for; told from the other options, else dataset."
    ),
    option("--project", default="", help="This project and all below it; all where it is not given."),
    option(
        "--named",
        "--dataset",
        "pattern",
        metavar="PATTERN",
        help="Datasets (tasks, models, triggers) whose whole name matches, such as 'sensors-*'.",
    ),
    option("--on-tag", "on_tags", multiple=True, metavar="TAG", help="Act when it gets this tag."),
    option("--on-finalize", is_flag=True, help="Act when a version becomes final, as without any --on-…"),
    option("--on-publish", is_flag=True, help="Act when it is published."),
    option("--on-archive", is_flag=True, help="Act when it is archived."),
    option("--on-status", "on_status", multiple=True, metavar="STATUS", help="Act when a task gets this status."),
    option("--on-register", is_flag=True, help="Act when a model version is registered."),
    option("--on-alias", "on_aliases", multiple=True, metavar="ALIAS", help="Act when this alias moves to a model."),
    option("--outcome", "outcomes", multiple=True, metavar="OUTCOME", help="Of firings: launched, blocked or failed."),
    option("--metric", metavar="TITLE/SERIES", help="A task's metric, with --above or --below."),
    option("--above", type=float, metavar="NUMBER", help="The metric is more than this."),
    option("--below", type=float, metavar="NUMBER", help="The metric is less than this."),
    option("--made-by", metavar="TRIGGER", help="Only tasks that this trigger made."),
    option("--not-by-hand", is_flag=True, help="Only tasks that an agent runs."),
    option("--required-tag", "required_tags", multiple=True, metavar="TAG", help="It must have this tag, too."),
    option("--any-tag", "any_tags", multiple=True, metavar="TAG", help="It must have one of these tags, too."),
    option("--excluded-tag", "excluded_tags", multiple=True, metavar="TAG", help="It must not have this tag."),
    option("--cron", metavar="'M H D M W'", help="By the clock: five fields as crontab has them."),
    option("--every", metavar="TIME", help="By the clock: every 15m, 2h, 1d."),
    option("--rule", metavar="RRULE", help="By the clock: an RFC 5545 recurrence rule."),
    option("--at", "moments", multiple=True, metavar="MOMENT", help="By the clock: 2026-01-31T08:00, several times."),
    option("--timezone", default="UTC", show_default=True, help="Of --cron, --rule and --at: such as Europe/Berlin."),
    option("--starts-at", metavar="MOMENT", help="No time before this one is meant."),
    option("--immediately", is_flag=True, help="Once when it is registered first, too."),
    option("--once", is_flag=True, help="Only the first time."),
    option("--catch-up", type=click.Choice(["all", "latest", "none"]), help="Of times that passed meanwhile."),
)

what_must_hold = section(
    "What must hold first",
    option(
        "--require",
        "gates",
        multiple=True,
        metavar="GATE=VALUE",
        help="Of the version: min_rows=1000, same_columns, max_psi=0.2, columns.CO2.max_psi=0.1, reference=VERSION …",
    ),
)

what_it_does = section(
    "What it does",
    option("--task", "reference", metavar="TASK", help="Clone this task and enqueue the clone."),
    option("--step", "steps", multiple=True, metavar="NAME=TASK", help="Clone these one after another."),
    option("--webhook", metavar="URL", help="POST to this address."),
    option("--secret", metavar="NAME", help="Sign it with RETRAIN_SECRET_<NAME> of the scheduler."),
    option("--message", "recipients", multiple=True, metavar="TO", help="Tell slack:NAME or mailto:ADDRESS."),
    option("--subject", help="Of the message; may hold ${cause.trigger} and such."),
    option("--text", help="Of the message; may hold ${cause.reason} and such."),
    option("--promote", "model", metavar="MODEL", help="Move an alias to the task's model where it is better."),
    option("--by", metavar="TITLE/SERIES", help="The metric that models are compared by."),
    option("--better", type=click.Choice(["max", "min"]), default="max", show_default=True, help="What is better."),
    option("--margin", type=float, default=0.0, show_default=True, help="By how much."),
    option("--alias", default="production", show_default=True, help="The alias that moves."),
    option("--evaluation", metavar="PARAMETER", help="Says which version they are evaluated on: it must be the same."),
    option(
        "--set",
        "assignments",
        multiple=True,
        metavar="[STEP:]SECTION/NAME=VALUE",
        callback=_assigned,
        help="A parameter of the clone; text such as ${dataset.id} is filled in. May be given several times.",
    ),
    option("--allow-new", is_flag=True, help="Add parameters that the task does not have instead of refusing them."),
    option("--queue", default="default", show_default=True, help="Where the clones wait."),
    option("--priority", type=int, help="Of the clones; larger ones run first."),
    option("--target-project", metavar="PROJECT", help="Of the clones; the task's where it is not given."),
    option("--name-clone", "clone_name", metavar="NAME", help="Of the clones; may hold ${dataset.version} and such."),
    option("--tag-clone", "clone_tags", multiple=True, metavar="TAG", help="A tag for the clones."),
    option("--commit", help="Run this commit of the task's repository."),
    option("--branch", help="Run what this branch points to."),
    option("--image", help="Run in this container image."),
    option("--reuse", is_flag=True, help="Reset and run the task itself again instead of a clone."),
)

how_often = section(
    "How often",
    option("--max-active", type=click.IntRange(min=1), help="So many at once; see --when-busy."),
    option("--when-busy", type=click.Choice(["skip", "queue", "replace"]), help="Beyond --max-active; else skip."),
    option("--debounce", metavar="TIME", help="Collect events until none came for so long: 10m."),
    option("--debounce-max", metavar="TIME", help="But no longer than this after the first."),
    option("--cooldown", metavar="TIME", help="The least time from one to the next: 1h."),
    option("--limit-execution", metavar="TIME", help="Stop its tasks after so long."),
    option("--dry-run", is_flag=True, help="Record what it would do, and do nothing."),
)
