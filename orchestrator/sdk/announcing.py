"""How a run by hand is captured and announced. The order counts: git works while Python still imports and reads."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from orchestrator.errors import CaptureError, OrchestratorError
from orchestrator.sdk.blobs import store_missing
from orchestrator.sdk.capture.script import capture_script
from orchestrator.sdk.capture.source import CapturedSource, capture_source
from orchestrator.sdk.notices import say
from orchestrator.sdk.running import ByHand
from orchestrator.settings import Server, home_directory

if TYPE_CHECKING:
    from orchestrator.sdk.client import Client
    from orchestrator.sdk.starting import Plan


def announce(plan: Plan, *, server: Server) -> ByHand:
    """Capture source and packages, make a task of them, start it, and return the run.

    Raises:
        OrchestratorError: the server does not answer, or refuses.
    """
    home = _writable_home()
    with _Capture(home / "offline" / f"starting-{os.getpid()}", bundles=home / "cache" / "bundles") as capture:
        from orchestrator.sdk.client import Client  # noqa: PLC0415  git works meanwhile

        with Client(server.url, server.token or None) as client:
            client.get("/healthz")
            from orchestrator.sdk.capture.packages import capture_packages  # noqa: PLC0415  git works meanwhile

            packages = capture_packages()
            script, source = capture.script_and_source(client)
            body = {"project": plan.project, "name": plan.name, "type": plan.type, "tags": list(plan.tags)}
            task = client.post("/tasks", {**body, "script": script, "source": source, "packages": packages})
            claim = client.post(f"/tasks/{task['id']}/start", {"hostname": os.uname().nodename})
    return ByHand(
        claim,
        client=Client(server.url, claim["token"]),
        heart_client=Client(server.url, claim["token"]),
        directory=home / "offline" / f"{task['id']}-{claim['attempt']['number']}",
        copies_streams=plan.copies_streams,
    )


def _writable_home() -> Path:
    """Return the home directory, or a temporary one where that cannot be written to."""
    home = home_directory()
    with contextlib.suppress(OSError):
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.access(home, os.W_OK):
        return home
    from tempfile import mkdtemp  # noqa: PLC0415  seldom needed, slow to import

    return Path(mkdtemp(prefix="retrain-"))


class _Capture:
    """Captures the source in a thread, beside whatever else is done meanwhile.

    Args:
        scratch: for patches and bundles; removed at the end.
        bundles: keeps bundles from one capture to the next.
    """

    def __init__(self, scratch: Path, *, bundles: Path) -> None:
        self._scratch = scratch
        self._bundles = bundles
        self._source: CapturedSource | None = None
        self._error: OrchestratorError = CaptureError()
        self._thread = threading.Thread(target=self._capture, name="retrain-capture")
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def script_and_source(self, client: Client) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """Wait for the source, store its patches and bundles, and return script and source as JSON values."""
        self._thread.join()
        if self._source is None:
            say(f"the source is not recorded, so no agent can repeat this run: {self._error}")
            return None, None
        if self._source.left_out:
            say(f"not captured, for they look like secrets: {', '.join(self._source.left_out)}")
        return capture_script(self._source.root), _stored(self._source, client=client)

    def _capture(self) -> None:
        file = getattr(sys.modules["__main__"], "__file__", None)
        started = Path(file).absolute() if file else Path.cwd()
        try:
            self._source = capture_source(started, scratch=self._scratch, bundles=self._bundles)
        except OrchestratorError as error:
            self._error = error
        except OSError as error:
            self._error = CaptureError(f"The source cannot be read: {error}.")


def _stored(source: CapturedSource, *, client: Client) -> dict[str, Any]:
    files = {name: file for name, file in (("patch", source.patch), ("bundle", source.bundle)) if file is not None}
    submodules = [{"path": each.path, "source": _stored(each.source, client=client)} for each in source.submodules]
    return {
        "repository": source.repository,
        "branch": source.branch,
        "commit": source.commit,
        "tree": source.tree,
        "submodules": submodules,
        "left_out": list(source.left_out),
        **dict(zip(files, store_missing(client, list(files.values())), strict=True)),
    }
