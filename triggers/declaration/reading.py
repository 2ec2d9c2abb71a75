"""Reads a file of triggers and checks it, as far as that needs no server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from orchestrator.errors import InvalidRequest, OrchestratorError
from orchestrator.records.trigger import TriggerSpec
from triggers.declaration.errors import explain, unknown
from triggers.declaration.words import in_words_of_records
from triggers.declaration.yaml_file import read_yaml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from triggers.declaration.yaml_file import Document, Place

Item = dict[str, Any]
ID = re.compile(r"^[0-9a-f]{32}$")
NO_ID = "0" * 32
"""Stands for a task that is still to be found, while the rest is checked."""
_TOP = ("group", "triggers")


class Declaration(NamedTuple):
    """What a file says: the triggers of a group are these and no others."""

    group: str
    triggers: list[Item]
    """Bodies of `records.trigger.TriggerSpec`, but for names of tasks and versions that are not ids."""
    document: Document


def read_declaration(path: Path) -> Declaration:
    """Read the triggers that a file declares.

    Raises:
        InvalidRequest: the file is no declaration; the message names file, line and key, and what may have been meant.
    """
    document = read_yaml(path)
    data = document.data
    if not isinstance(data, dict):
        raise InvalidRequest(f"{document.where(())}: there is no list of triggers.", hint="Write triggers: [ … ].")
    for key in data:
        if key not in _TOP:
            raise unknown(document, (str(key),), known=_TOP)
    listed = data.get("triggers")
    if not isinstance(listed, list):
        raise InvalidRequest(
            f"{document.where(('triggers',))}: triggers is no list.", hint="Begin each with `- name:`."
        )
    found: list[Item] = []
    for number, item in enumerate(listed):
        place = ("triggers", number)
        spec = _spec(item, document=document, place=place)
        if any(spec["name"] == earlier["name"] for earlier in found):
            raise InvalidRequest(f"{document.where((*place, 'name'))}: there is a trigger {spec['name']!r} above.")
        found.append(spec)
    return Declaration(group=str(data.get("group") or path.stem), triggers=found, document=document)


def resolved(
    declaration: Declaration, *, find_task: Callable[[str], str], find_dataset: Callable[[str], str]
) -> list[Item]:
    """Return the triggers with ids where the file has names of tasks and dataset versions.

    Args:
        declaration: what was read; it stays as it is.
        find_task: returns the id of the task that a name means.
        find_dataset: returns the id of the dataset version that a name means.

    Raises:
        InvalidRequest: there is none, or there are several; the message names file and line.
    """
    found = []
    for number, spec in enumerate(declaration.triggers):
        spec = {key: dict(value) if isinstance(value, dict) else value for key, value in spec.items()}  # noqa: PLW2901
        place: Place = ("triggers", number)
        action = spec["action"]
        if "steps" in action:
            action["steps"] = [dict(step) for step in action["steps"]]
            owners = [(step, (*place, "action", "steps", at, "task")) for at, step in enumerate(action["steps"])]
        else:
            owners = [(action, (*place, "action", "task"))] if "task" in action else []
        for owner, where in owners:
            owner["task"] = _found(owner["task"], find=find_task, document=declaration.document, place=where)
        gates = spec.get("gates")
        if gates and gates.get("reference", "parent") != "parent":
            where = (*place, "gates", "reference")
            gates["reference"] = _found(
                gates["reference"], find=find_dataset, document=declaration.document, place=where
            )
        found.append(spec)
    return found


def _found(name: str, *, find: Callable[[str], str], document: Document, place: Place) -> str:
    if ID.match(name):
        return name
    try:
        return find(name)
    except OrchestratorError as error:
        raise type(error)(f"{document.where(place)}: {error.message}", hint=error.hint) from error


def _spec(item: Any, *, document: Document, place: Place) -> Item:  # noqa: ANN401  what stands in the file
    """Return one trigger in the records' words, checked but for names that are to be found."""
    if not isinstance(item, dict):
        raise InvalidRequest(f"{document.where(place)}: a trigger has name, condition and action.")
    spec = in_words_of_records(item, document=document, place=place)
    try:
        TriggerSpec.model_validate(_with_ids(spec))
    except ValidationError as error:
        raise explain(document, place, error) from error
    return spec


def _with_ids(spec: Item) -> Item:
    """Return the trigger with an id wherever a name stands that is looked up later."""

    def owned(part: Item) -> Item:
        named = isinstance(part.get("task"), str) and part["task"]
        return {**part, "task": NO_ID} if named else part

    checked = dict(spec)
    action, gates = spec.get("action"), spec.get("gates")
    if isinstance(action, dict):
        checked["action"] = owned(action)
        if isinstance(action.get("steps"), list):
            steps = [owned(step) if isinstance(step, dict) else step for step in action["steps"]]
            checked["action"] = {**action, "steps": steps}
    if isinstance(gates, dict) and isinstance(gates.get("reference"), str) and gates["reference"]:
        checked["gates"] = {**gates, "reference": "parent"}
    return checked
