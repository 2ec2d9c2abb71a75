"""How a run begins: captured and announced by hand, read from a file beneath an agent."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

from orchestrator.errors import CaptureError, OrchestratorError, ServerFailed, ServerUnreachable
from orchestrator.sdk.attempt import TASK_FILE, attempt_directory, scratch_directory
from orchestrator.sdk.blobs import store_file
from orchestrator.sdk.client import Client
from orchestrator.sdk.notices import say
from orchestrator.sdk.running import JOIN_FILE, ByHand, Recorded, Run
from orchestrator.settings import find_server, home_directory

if TYPE_CHECKING:
    from orchestrator.sdk.capture.source import CapturedSource


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
    and started; without a server the run is not recorded, and one line says so.

    Raises:
        OrchestratorError: the server answers and refuses.
    """
    attempt = attempt_directory()
    if attempt is not None:
        claim = json.loads(Path(os.environ[TASK_FILE]).read_text(encoding="utf-8"))
        server = find_server()
        client = Client(server.url, server.token or None)
        return Recorded(claim, client=client, directory=scratch_directory() / f"sdk-{os.getpid()}")
    joined = os.environ.get(JOIN_FILE)
    if joined and _is_spawned_child():
        file = Path(joined)
        claim = json.loads(file.read_text(encoding="utf-8"))
        return Recorded(
            claim, client=Client(claim["url"], claim["token"]), directory=file.parent / f"child-{os.getpid()}"
        )
    try:
        server = find_server()
        with Client(server.url, server.token or None) as client:
            client.get("/healthz")
            return _begin_by_hand(plan, client=client)
    except (ServerUnreachable, ServerFailed) as error:
        say(f"tracking is off: {error}")
        return _begin_offline(plan)


def _begin_by_hand(plan: Plan, *, client: Client) -> ByHand:
    home = _writable_home()
    scratch = home / "offline" / f"starting-{os.getpid()}"
    try:
        capture = _Capture(scratch, bundles=home / "cache" / "bundles")
        packages = capture.packages()
        script, source = capture.script_and_source(client)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    body = {"project": plan.project, "name": plan.name, "type": plan.type, "tags": list(plan.tags)}
    task = client.post("/tasks", {**body, "script": script, "source": source, "packages": packages})
    claim = client.post(f"/tasks/{task['id']}/start", {"hostname": socket.gethostname()})
    directory = home / "offline" / f"{task['id']}-{claim['attempt']['number']}"
    return ByHand(claim, url=client.url, directory=directory, copies_streams=plan.copies_streams)


def _writable_home() -> Path:
    """Return the home directory, or a temporary one where that cannot be written to."""
    home = home_directory()
    with contextlib.suppress(OSError):
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return home if os.access(home, os.W_OK) else Path(mkdtemp(prefix="retrain-"))


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


class _Capture:
    """Captures the source in a thread, beside whatever else is captured meanwhile.

    Args:
        scratch: for patches and bundles; they are removed when they are stored.
        bundles: keeps bundles from one capture to the next.
    """

    def __init__(self, scratch: Path, *, bundles: Path) -> None:
        self._scratch = scratch
        self._bundles = bundles
        self._source: CapturedSource | None = None
        self._error: OrchestratorError = CaptureError()
        self._thread = threading.Thread(target=self._capture, name="retrain-capture")
        self._thread.start()

    def packages(self) -> dict[str, Any]:
        """Return what is installed."""
        from orchestrator.sdk.capture.packages import capture_packages  # noqa: PLC0415  never beneath an agent

        return capture_packages()

    def script_and_source(self, client: Client) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """Wait for the source, store its patches and bundles, and return script and source as JSON values."""
        from orchestrator.sdk.capture.script import capture_script  # noqa: PLC0415  never beneath an agent

        self._thread.join()
        if self._source is None:
            say(f"the source is not recorded, so no agent can repeat this run: {self._error}")
            return None, None
        if self._source.left_out:
            say(f"not captured, for they look like secrets: {', '.join(self._source.left_out)}")
        return capture_script(self._source.root), _stored(self._source, client=client)

    def _capture(self) -> None:
        from orchestrator.sdk.capture.source import capture_source  # noqa: PLC0415  never beneath an agent

        file = getattr(sys.modules["__main__"], "__file__", None)
        started = Path(file).absolute() if file else Path.cwd()
        try:
            self._source = capture_source(started, scratch=self._scratch, bundles=self._bundles)
        except OrchestratorError as error:
            self._error = error
        except OSError as error:
            self._error = CaptureError(f"The source cannot be read: {error}.")


def _stored(source: CapturedSource, *, client: Client) -> dict[str, Any]:
    blobs = {}
    for name, file in (("patch", source.patch), ("bundle", source.bundle)):
        if file is not None:
            blobs[name], _ = store_file(client, file)
            file.unlink()
    return {
        "repository": source.repository,
        "branch": source.branch,
        "commit": source.commit,
        "tree": source.tree,
        "submodules": [
            {"path": each.path, "source": _stored(each.source, client=client)} for each in source.submodules
        ],
        "left_out": list(source.left_out),
        **blobs,
    }
