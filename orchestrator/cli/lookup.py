"""What a person means by the name of a task, a dataset or a model: an id, the beginning of one, or project and name."""

from __future__ import annotations

import contextlib
import re
import shlex
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from orchestrator.errors import InvalidRequest, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.sdk.client import Client

Item = dict[str, Any]

ID_DIGITS = 32
_ID_PREFIX = re.compile(r"^[0-9a-f]{4,32}$")
_TOO_SHORT = re.compile(r"^[0-9a-f]{1,3}$")
_VERSION = re.compile(r"(.+)@(\d[^@/]*)")
_PAGE_ITEMS = 100
_SHOWN = 10
"""Of those that may be meant, at most."""


def find_task(client: Client, name: str, *, archived: bool = False) -> Item:
    """Return the task that a person means.

    Args:
        client: speaks to the server.
        name: an id, a beginning of one that no other task has (4 digits at least), `project/name` for the newest of
            that name, or the name alone where one project has it. A name may hold `/`, too: of several that are
            meant so, the one with the longest project.
        archived: a name means one in the archive, else one that is not there; an id any.

    Raises:
        NotFound: there is none.
        InvalidRequest: there are several; the message lists them.
    """
    found = _by_id(client, "/tasks", name, archived="true")
    if found:
        return _only(found, noun="task", name=name)

    def called(name: str, project: str | None = None) -> Iterator[Item]:
        listed = client.pages(
            "/tasks", project=project, name=name, limit=_PAGE_ITEMS, archived="true" if archived else None
        )
        return (item for item in listed if not archived or item["archived_at"] is not None)

    for project, last in _splits(name):
        newest = next((item for item in called(last, project) if item["project"] == project), None)
        if newest is not None:
            return newest
    found = list(called(name))
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
        InvalidRequest: there are several; the message lists them.
    """
    found = _by_id(client, "/datasets", name)
    if found:
        return _only(found, noun="dataset version", name=name)
    numbered = _VERSION.fullmatch(name)
    path, version = numbered.groups() if numbered else (name, None)
    if "/" not in path:
        raise NotFound(
            f"There is no dataset {name!r}.",
            hint=_longer(name) or "Write its project, too: PROJECT/NAME, or an id.",
        )
    if version is not None:
        versions = [
            item
            for project, last in _splits(path)
            for item in client.pages("/datasets", project=project, name=last, version=version)
            if item["project"] == project
        ]
        return _only(versions, noun="dataset version", name=name)
    for state in states or ("", "open"):
        newest = _newest(client, path, state=state)
        if newest is not None:
            return newest
    raise _no_version(client, path, states=states)


def find_model(client: Client, name: str) -> Item:
    """Return the model version that a person means, with its aliases, as `GET /models/{id}` does.

    Args:
        client: speaks to the server.
        name: an id, a beginning of one that no other version has, `project/name@version`, `project/name@alias`, or
            `project/name` for the newest version.

    Raises:
        NotFound: there is none.
        InvalidRequest: there are several; the message lists them.
    """
    if _ID_PREFIX.match(name):
        model_id = name
        if len(name) < ID_DIGITS:
            model_id = _only(_by_id(client, "/models", name, archived="true"), noun="model version", name=name)["id"]
        return dict(client.get(f"/models/{model_id}"))
    path, _, which = name.rpartition("@") if "@" in name else (name, "", "")
    chosen: dict[str, str] = {}
    if which:
        chosen = {"version": which} if which.isdecimal() else {"alias": which}
    for project, last in _splits(path):
        with contextlib.suppress(NotFound):
            return dict(client.get("/models/newest", project=project, name=last, **chosen))
    hint = _longer(name) or "Write PROJECT/NAME, PROJECT/NAME@VERSION or PROJECT/NAME@ALIAS, or see: retrain model list"
    raise NotFound(f"There is no model {name!r}.", hint=hint)


def find_model_name(client: Client, name: str) -> tuple[str, str]:
    """Return project and name of the model that a person means.

    Args:
        client: speaks to the server.
        name: `project/name`, or whatever `find_model` takes.

    Raises:
        NotFound: there is no version of it.
        InvalidRequest: there are several; the message lists them.
    """
    for project, last in _splits(name):
        listed = client.pages("/models", project=project, name=last, archived="true", limit=_PAGE_ITEMS)
        if any(item["project"] == project for item in listed):
            return project, last
    found = find_model(client, name)["model"]
    return found["project"], found["name"]


def trigger_path(client: Client, name: str) -> str:
    """Return the path of the trigger that a person means: by its name, its id or a beginning of that.

    Raises:
        InvalidRequest: several ids begin so; the message lists them.
    """
    if _ID_PREFIX.match(name) and len(name) < ID_DIGITS:
        listed = list(client.pages("/triggers"))
        if not any(item["name"] == name for item in listed):
            found = [item for item in listed if item["id"].startswith(name)]
            if len(found) > 1:
                raise ambiguous(name, noun="triggers", named=[f"{item['id']}  {item['name']}" for item in found])
            name = found[0]["id"] if found else name
    return f"/triggers/{quote(name, safe='')}"


def ambiguous(beginning: str, *, noun: str, named: Sequence[str]) -> InvalidRequest:
    """Return the error of a beginning that several ids have.

    Args:
        beginning: what the person typed.
        noun: what they are, in the plural.
        named: a line for each.
    """
    listed = "".join(f"\n  {line}" for line in named[:_SHOWN])
    more = f"\n  … and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
    return InvalidRequest(f"The ids of {len(named)} {noun} begin with {beginning!r}; write more of one:{listed}{more}")


def _splits(path: str) -> list[tuple[str, str]]:
    """Return all ways to read a path as project and name, the longest project first."""
    places = [place for place, character in enumerate(path) if character == "/"]
    return [(path[:place], path[place + 1 :]) for place in reversed(places) if path[:place] and path[place + 1 :]]


def _newest(client: Client, path: str, *, state: str) -> Item | None:
    for project, last in _splits(path):
        with contextlib.suppress(NotFound):
            return dict(client.get("/datasets/newest", project=project, name=last, state=state or None))
    return None


def _no_version(client: Client, path: str, *, states: Sequence[str]) -> NotFound:
    kind = f" that is {' or '.join(states)}" if states else ""
    final = _newest(client, path, state="") if states else None
    project, _, last = path.rpartition("/")
    hint = f"Make one: retrain dataset create {shlex.join([project, last])}, or see: retrain dataset list."
    return NotFound(f"There is no version of {path!r}{kind}.", hint=next_version_hint(final) if final else hint)


def next_version_hint(final: Item) -> str:
    """Say how to go on from a version that never changes again."""
    parent = f"{final['project']}/{final['name']}@{final['version']}"
    command = shlex.join(["retrain", "dataset", "create", final["project"], final["name"], "--parent", parent])
    return f"Begin the next version with its files: {command}"


def _by_id(client: Client, path: str, name: str, **query: str) -> list[Item]:
    """Return the items whose id begins with these digits. Lists go from larger ids to smaller ones."""
    if not _ID_PREFIX.match(name):
        return []
    if len(name) == ID_DIGITS:
        answer = client.get(f"{path}/{name}")
        return [answer.get("task", answer) if path == "/tasks" else answer]
    found = []
    for item in client.pages(path, limit=100, after=name.ljust(ID_DIGITS, "f"), **query):
        if not item["id"].startswith(name):
            break
        found.append(item)
    return found


def _only(found: Sequence[Item], *, noun: str, name: str) -> Item:
    if not found:
        see = f"See: retrain {noun.split(maxsplit=1)[0]} list."
        raise NotFound(f"There is no {noun} {name!r}.", hint=_longer(name) or see)
    if len(found) == 1:
        return found[0]
    named = [f"{item['id']}  {item['project']}/{item['name']}" for item in found]
    if all(item["id"].startswith(name) for item in found):
        raise ambiguous(name, noun=f"{noun}s", named=named)
    listed = "".join(f"\n  {line}" for line in named[:_SHOWN])
    raise InvalidRequest(f"{len(found)} {noun}s are called {name!r}; write an id or PROJECT/NAME:{listed}")


def _longer(name: str) -> str | None:
    return "Of an id write 4 digits at least." if _TOO_SHORT.match(name) else None
