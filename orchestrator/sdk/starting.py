"""How a run begins: captured and announced by hand, read from a file beneath an agent."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.sdk.attempt import TASK_FILE, attempt_directory, scratch_directory
from orchestrator.sdk.notices import say
from orchestrator.sdk.running import JOIN_FILE, Recorded, Run
from orchestrator.sdk.sender import PASSING
from orchestrator.settings import Server, find_server


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a script says of its run."""

    project: str
    name: str
    type: str
    tags: tuple[str, ...]
    copies_streams: bool


def begin(plan: Plan) -> Run:
    """Return the run that this process is from now on.

    Beneath an agent that is the agent's task, whatever the plan says, and no request is made. By hand a task is made
    and started; without a server that can take it the run is not recorded, and one line says so.

    Raises:
        OrchestratorError: the server answers and refuses.
    """
    attempt = attempt_directory()
    if attempt is not None:
        claim = json.loads(Path(os.environ[TASK_FILE]).read_text(encoding="utf-8"))
        server = find_server()
        return _recorded(claim, server=server, directory=scratch_directory() / f"sdk-{os.getpid()}")
    joined = os.environ.get(JOIN_FILE)
    if joined and _is_spawned_child():
        file = Path(joined)
        claim = json.loads(file.read_text(encoding="utf-8"))
        server = Server(url=claim["url"], token=claim["token"])
        return _recorded(claim, server=server, directory=file.parent / f"child-{os.getpid()}")
    try:
        server = find_server()
        from orchestrator.sdk.announcing import announce  # noqa: PLC0415  never beneath an agent

        return announce(plan, server=server)
    except PASSING as error:
        say(f"tracking is off: {error}")
        return _begin_offline(plan)


def _recorded(claim: dict[str, Any], *, server: Server, directory: Path) -> Recorded:
    from orchestrator.sdk.client import Client  # noqa: PLC0415  by hand it is imported while git works

    return Recorded(claim, client=Client(server.url, server.token or None), directory=directory)


def _begin_offline(plan: Plan) -> Run:
    task = {
        "id": os.urandom(16).hex(),
        "project": plan.project,
        "name": plan.name,
        "type": plan.type,
        "tags": list(plan.tags),
        "status": "in_progress",
        "attempt": 1,
    }
    return Run(task, attempt=1, parameters=[])


def _is_spawned_child() -> bool:
    multiprocessing = sys.modules.get("multiprocessing.process")
    if multiprocessing is None:
        return False
    imports_main = getattr(multiprocessing.current_process(), "_inheriting", False)  # it does so before it has a parent
    return imports_main or multiprocessing.parent_process() is not None
