"""Finds a task by what a person calls it."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any

from orchestrator.errors import InvalidRequest, NotFound

if TYPE_CHECKING:
    from orchestrator.sdk.client import Client

_ID = re.compile(r"[0-9a-f]{32}")
_PREFIX = re.compile(r"[0-9a-f]{4,31}")
NEWEST = 2000
"""Prefixes of ids are looked for among this many of the newest tasks."""


def find_task(client: Client, *, task_id: str | None, project: str | None, name: str | None) -> dict[str, Any]:
    """Return a task's record as JSON values.

    Args:
        client: speaks to the server.
        task_id: an id, or the beginning of one.
        project: where no id is given: of the task.
        name: where no id is given: of the task; the newest of that name is meant.

    Raises:
        NotFound: there is none.
        InvalidRequest: too little is given, or the beginning of more than one id.
    """
    if task_id is not None:
        if _ID.fullmatch(task_id):
            return dict(client.get(f"/tasks/{task_id}")["task"])
        return _by_prefix(client, task_id)
    if name is None:
        raise InvalidRequest("Which task is meant is not said.", hint="Give task_id, or project_name and task_name.")
    for task in client.pages("/tasks", project=project, name=name):
        if project is None or task["project"] == project:
            return task
    raise NotFound(f"There is no task {name!r} in project {project!r}." if project else f"There is no task {name!r}.")


def _by_prefix(client: Client, prefix: str) -> dict[str, Any]:
    if not _PREFIX.fullmatch(prefix):
        raise NotFound(f"{prefix!r} is no id of a task.", hint="An id has 32 hexadecimal digits.")
    found = [task for task in islice(client.pages("/tasks", archived="true"), NEWEST) if task["id"].startswith(prefix)]
    if len(found) > 1:
        raise InvalidRequest(f"{len(found)} tasks begin with {prefix!r}.", hint="Give more of the id.")
    if not found:
        raise NotFound(f"There is no task {prefix!r}.", hint="List them: retrain task list")
    return found[0]
