"""What a person means by a task's or a dataset's name: an id, the beginning of one, or project and name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from orchestrator.errors import InvalidRequest, NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.sdk.client import Client

Item = dict[str, Any]

ID_DIGITS = 32
_ID_PREFIX = re.compile(r"^[0-9a-f]{4,32}$")


def find_task(client: Client, name: str) -> Item:
    """Return the task that a person means.

    Args:
        client: speaks to the server.
        name: an id, a beginning of one that no other task has (4 digits at least), `project/name` for the newest of
            that name, or the name alone where one project has it.

    Raises:
        NotFound: there is none.
        InvalidRequest: there are several; the hint lists them.
    """
    found = _by_id(client, "/tasks", name)
    if not found:
        project, _, last = name.rpartition("/")
        found = [item for item in client.pages("/tasks", name=last) if not project or item["project"] == project]
        if len({item["project"] for item in found}) == 1:
            return found[0]  # the newest: lists begin with it
    return _only(found, noun="task", name=name)


def find_dataset(client: Client, name: str, *, states: Sequence[str] = ()) -> Item:
    """Return the dataset version that a person means.

    Args:
        client: speaks to the server.
        name: an id, a beginning of one that no other version has, `project/name@version`, or `project/name` for the
            newest version.
        states: those that are meant by `project/name`, the likeliest first; none for any, final ones first.

    Raises:
        NotFound: there is none.
        InvalidRequest: there are several; the hint lists them.
    """
    found = _by_id(client, "/datasets", name)
    if found:
        return _only(found, noun="dataset version", name=name)
    path, _, version = name.partition("@")
    project, _, last = path.rpartition("/")
    if not project:
        raise NotFound(f"There is no dataset {name!r}.", hint="Write its project, too: PROJECT/NAME or an id.")
    if version:
        versions = client.pages("/datasets", project=project, name=last, version=version)
        return _only([item for item in versions if item["project"] == project], noun="dataset version", name=name)
    for state in states or ("", "open"):
        try:
            return dict(client.get("/datasets/newest", project=project, name=last, state=state or None))
        except NotFound:
            continue
    kind = f" that is {' or '.join(states)}" if states else ""
    raise NotFound(
        f"There is no version of {name!r}{kind}.",
        hint=f"Make one: retrain dataset create {project} {last}, or see: retrain dataset list.",
    )


def trigger_path(name: str) -> str:
    """Return the path of a trigger, by id or name."""
    return f"/triggers/{quote(name, safe='')}"


def _by_id(client: Client, path: str, name: str) -> list[Item]:
    """Return the items whose id begins with these digits. Lists go from larger ids to smaller ones."""
    if not _ID_PREFIX.match(name):
        return []
    if len(name) == ID_DIGITS:
        answer = client.get(f"{path}/{name}")
        return [answer.get("task", answer) if path == "/tasks" else answer]
    found = []
    for item in client.pages(path, limit=100, after=name.ljust(ID_DIGITS, "f")):
        if not item["id"].startswith(name):
            break
        found.append(item)
    return found


def _only(found: Sequence[Item], *, noun: str, name: str) -> Item:
    if not found:
        raise NotFound(f"There is no {noun} {name!r}.", hint=f"See: retrain {noun.split(maxsplit=1)[0]} list.")
    if len(found) > 1:
        named = "".join(f"\n  {item['id']}  {item['project']}/{item['name']}" for item in found[:10])
        raise InvalidRequest(f"{name!r} may be any of {len(found)}; write one of these:{named}")
    return found[0]
