"""Which models a task has to do with."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from orchestrator.errors import NotFound
from orchestrator.sdk.models.model import Model

if TYPE_CHECKING:
    from collections.abc import Iterable

_ID = re.compile(r"[0-9a-f]{32}")


def models_of(task_id: str, *, values: Iterable[Any]) -> dict[str, list[Model]]:
    """Return the models that a task was given and those that it registered, each the oldest first.

    Args:
        task_id: of the task.
        values: of its parameters; those that are the id of a model version name what it was given.
    """
    given = []
    for value in dict.fromkeys(value for value in values if isinstance(value, str) and _ID.fullmatch(value)):
        try:
            given.append(Model.get(model_id=value))
        except NotFound:  # the id of something else
            continue
    return {"input": given, "output": Model.list_models(task_id=task_id, include_archived=True)[::-1]}
