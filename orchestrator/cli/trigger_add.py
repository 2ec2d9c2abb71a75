"""`retrain trigger add`: one trigger, by options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.connection import connected
from orchestrator.cli.output import json_option, print_json
from orchestrator.cli.sections import SectionedCommand
from orchestrator.cli.trigger_build import declared
from orchestrator.cli.trigger_options import how_often, what_it_does, what_must_hold, what_sets_it_off

if TYPE_CHECKING:
    Item = dict[str, Any]


@click.command(cls=SectionedCommand)
@click.argument("name")
@what_sets_it_off
@what_must_hold
@what_it_does
@how_often
@json_option
def add(*, name: str, as_json: bool, **given: Any) -> None:  # noqa: ANN401  the options above
    """Register a trigger; of a name that exists, change it.

    \b
    retrain trigger add nightly --task occupancy/training --project occupancy --on-tag Production \\
        --set 'General/CLEARML_DATASET_ID=${dataset.id}'
    retrain trigger add weekly --task occupancy/training --cron '0 3 * * 1' --timezone Europe/Berlin
    retrain trigger add alarm --on firing --message slack:team

    With --promote beside --task or --step a second trigger, NAME promotion, waits for the tasks that this one makes.
    """  # noqa: D301  click's mark for lines that stay as they are
    with connected() as client:
        made = declared(client, name, given).register_with(client)
    if as_json:
        print_json(made[0])
        return
    for each in made:
        tell(each, as_json=False)


def tell(found: Item, *, as_json: bool) -> None:
    """Print a trigger in a line, or as it is."""
    if as_json:
        print_json(found)
    else:
        click.echo(f"{found['id']}  {found['name']}  {found['state']}, revision {found['revision']}")
