"""Where a promotion belongs: to the project of the tasks that it waits for, which only the server knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.sdk.client import Client


def home_of(client: Client, action: Mapping[str, Any]) -> str:
    """Return the project that holds every task that an action makes; empty where only all projects do.

    Args:
        client: speaks to the server.
        action: a clone, or a chain of them.

    Raises:
        NotFound: a reference task does not exist.
    """
    steps = action["steps"] if action["kind"] == "chain" else [action]
    projects = [str(step.get("project") or client.get(f"/tasks/{step['task']}")["task"]["project"]) for step in steps]
    return _common([project.split("/") for project in projects])


def _common(paths: Sequence[list[str]]) -> str:
    first, last = min(paths), max(paths)
    common = []
    for one, other in zip(first, last, strict=False):
        if one != other:
            break
        common.append(one)
    return "/".join(common)
