"""`retrain trigger apply`: the triggers of a group are those of a file, shown as a plan before anything changes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.connection import connected
from orchestrator.cli.dataset_common import confirm
from orchestrator.cli.lookup import find_dataset, find_task
from orchestrator.cli.output import cell, json_option, print_json
from triggers.durations import in_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Item = dict[str, Any]

_SIGNS = {"create": ("+", "green"), "update": ("~", "yellow"), "remove": ("-", "red")}
_ORDER = ("condition", "gates", "action")
_TO_DO = {"create": "to create", "update": "to update", "remove": "to remove", "unchanged": "unchanged"}
_DONE = {"create": "created", "update": "updated", "remove": "removed", "unchanged": "unchanged"}
_SHOWN = 100
"""Characters of a value in the plan; --json shows all."""


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--plan", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def apply(*, file: Path, plan: bool, yes: bool, as_json: bool) -> None:
    """Have the triggers of a group be exactly those that a YAML file declares.

    Shows what would change, asks, and changes all of it or nothing. Triggers of the group that the file does not have
    are removed; others are never touched.
    """
    from triggers.declaration import read_declaration, resolved  # noqa: PLC0415  no other command reads such files

    if as_json and not (plan or yes):
        raise click.UsageError("With --json nobody is asked: give --plan or --yes.")
    declaration = read_declaration(file)
    with connected() as client:
        triggers = resolved(
            declaration,
            find_task=lambda name: str(find_task(client, name)["id"]),
            find_dataset=lambda name: str(find_dataset(client, name)["id"]),
        )
        body = {"group": declaration.group, "triggers": triggers}
        planned = client.post("/triggers/apply", {**body, "plan": True}, repeatable=True)
        if not as_json:
            _print_changes(planned)
            if not _is_same(planned["changes"]):
                told = _summary(planned["changes"], words=_TO_DO)
                click.echo(f"\nPlan for group {declaration.group}: {told}.")
        if plan or _is_same(planned["changes"]):
            if as_json:
                print_json(planned)
            return
        confirm(f"Apply to group {declaration.group}?", yes=yes)
        done = client.post("/triggers/apply", {**body, "plan": False})
    if as_json:
        print_json(done)
        return
    if done["changes"] != planned["changes"]:
        click.echo("\nSomebody changed triggers meanwhile; this was done:")
        _print_changes(done)
    click.echo(f"\nApplied: {_summary(done['changes'], words=_DONE)}.")


def _print_changes(found: Item) -> None:
    """Print what is made, changed and removed, coloured on a terminal."""
    changes = found["changes"]
    if _is_same(changes):
        told = _summary(changes, words=_DONE)
        click.echo(f"Group {found['group']} is as the file says: {told}. Nothing to change.")
        return
    for change in changes:
        if change["change"] not in _SIGNS:
            continue
        sign, colour = _SIGNS[change["change"]]
        click.secho(f"{sign} {cell(change['name'])}", fg=colour, bold=True)
        # What is removed is known; how it was stands at the server.
        fields = [] if change["change"] == "remove" else sorted(change["fields"], key=_place)
        shown = [(cell(_path(field)), _difference(field, created=change["change"] == "create")) for field in fields]
        width = max((len(path) for path, _ in shown), default=0)
        for path, difference in shown:
            click.echo(f"    {path.ljust(width)}  {difference}")


def _place(field: Item) -> int:
    """Return where a field belongs, as files have it: what sets it off, what is required, what it does, the rest."""
    part = field["path"].partition(".")[0]
    return _ORDER.index(part) if part in _ORDER else len(_ORDER)


def _path(field: Item) -> str:
    """Return a field's path as files have it."""
    path: str = field["path"]
    return path.removesuffix("_seconds")


def _difference(field: Item, *, created: bool) -> str:
    length = field["path"].endswith("_seconds")
    before, after = _value(field["before"], length=length), _value(field["after"], length=length)
    return (
        click.style(after, fg="green")
        if created
        else f"{click.style(before, fg='red')} → {click.style(after, fg='green')}"
    )


def _value(value: object, *, length: bool) -> str:
    if value is None:
        return "none"
    if length and isinstance(value, (int, float)):
        return in_words(value)
    plain = value if isinstance(value, list) else [value]
    text = cell(plain) if plain and all(isinstance(each, str) and each for each in plain) else _json(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _is_same(changes: Sequence[Item]) -> bool:
    return all(change["change"] == "unchanged" for change in changes)


def _summary(changes: Sequence[Item], *, words: Mapping[str, str]) -> str:
    counts = Counter(change["change"] for change in changes)
    return ", ".join(f"{counts[kind]} {word}" for kind, word in words.items() if counts[kind]) or "no triggers"
