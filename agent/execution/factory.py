"""Executors by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.execution.process import ProcessExecutor
from orchestrator.errors import InvalidRequest

if TYPE_CHECKING:
    from agent.execution.base import Executor

NAMES = ("docker", "process")
"""The executors that there are."""


def executor(name: str, *, image: str | None = None) -> Executor:
    """Make an executor; in a process that forks others make it first, so that they have its code.

    Args:
        name: one of `NAMES`.
        image: for `docker`, the image of tasks that name none.

    Raises:
        InvalidRequest: there is no executor of that name, or `docker` was given no image.
    """
    if name == "process":
        return ProcessExecutor()
    if name == "docker":
        if image is None:
            raise InvalidRequest("The executor docker needs an image.", hint="Name one: --docker IMAGE")
        from agent.execution.docker import DockerExecutor  # noqa: PLC0415  a quarter of a second not all agents need

        return DockerExecutor(image)
    raise InvalidRequest(f"There is no executor {name!r}.", hint=f"There are {', '.join(NAMES)}.")
