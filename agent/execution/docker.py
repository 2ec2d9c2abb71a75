"""Attempts as containers of a Docker engine on this machine.

The engine is the parent that keeps the exit status, and the label `retrain.run` finds a container again.

Importing this module takes a quarter of a second, most of it the client's: `agent.execution.factory` does so on demand.
"""

from __future__ import annotations

import logging
import os
import pwd
import time
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from docker.errors import APIError, ImageNotFound, NotFound
from docker.types import DeviceRequest, Mount
from requests.exceptions import ConnectionError as ConnectionBroken
from requests.exceptions import ReadTimeout
from urllib3.exceptions import ReadTimeoutError

from agent.engine import docker_engine
from agent.execution.base import (
    CONSOLE,
    MARKER,
    Exit,
    Launch,
    Run,
    check,
    ended,
    forget_stop,
    lost,
    request_stop,
)
from orchestrator.errors import AlreadyExists, ExecutorUnavailable, NoSpace, OrchestratorError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

logger = logging.getLogger(__name__)

RUN_LABEL = "retrain.run"
"""Label with the run directory."""

# Both streams go to a file on the mount, as with every other executor: an offset into it is all that a reader must
# remember, and it outlives the container. The script is text of ours; path and arguments are its positional parameters
# and never read as shell. `exec` leaves no shell behind.
_TO_CONSOLE = ("/bin/sh", "-c", 'exec "$@" >>"$0" 2>&1')
_HOME = "/tmp"  # noqa: S108  the container's own, in memory: the one place that any user may write to in any image
_KILL_SECONDS = 10
_RETRY_SECONDS = 0.5


class DockerExecutor:
    """Runs scripts in containers, as the caller's user, without capabilities.

    A program that is missing in the image is known only once it was tried: the run ends with code 127, and its console
    says why. An image is never pulled.
    """

    name = "docker"

    def __init__(
        self,
        image: str,
        *,
        cpus: float | None = None,
        shared_memory_bytes: int = 1 << 30,
        processes: int = 8192,
    ) -> None:
        """Speak to no engine yet.

        Args:
            image: for launches that name none.
            cpus: limit of a container, in cores; None for none.
            shared_memory_bytes: size of /dev/shm, through which data loaders hand batches on.
            processes: limit of processes and threads of a container.
        """
        self._image = image
        self._cpus = cpus
        self._shared_memory_bytes = shared_memory_bytes
        self._processes = processes
        self._cut_off: set[str] = set()

    def ready(self) -> None:
        """See `Executor.ready`."""
        with self._engine() as client:
            try:
                client.inspect_image(self._image)
            except ImageNotFound as error:
                raise _no_image(self._image) from error

    def start(self, launch: Launch) -> Run:
        """See `Executor.start`."""
        check(launch)
        if not launch.working_directory.is_dir():  # the engine would make it
            raise ExecutorUnavailable(f"There is no directory {launch.working_directory} to start in.")
        console = launch.run_directory / CONSOLE
        console.touch(mode=0o644)
        image = launch.image or self._image
        with self._engine() as client, _refusals(launch, image):
            identity = client.create_container(
                image,
                name=launch.name,
                entrypoint=[*_TO_CONSOLE, str(console)],
                command=list(launch.argv),
                working_dir=str(launch.working_directory),
                environment=self._variables(launch),
                user=f"{os.getuid()}:{os.getgid()}",
                labels=launch.labels | {RUN_LABEL: str(launch.run_directory)},
                host_config=self._host_config(client, launch),
            )["Id"]
            try:
                client.start(identity)
                state = client.inspect_container(identity)["State"]
            except BaseException:  # a container that did not start stays behind, with its name
                _remove(client, identity)
                raise
        return _run(launch.run_directory, identity, state)

    def find(self, run_directory: Path) -> Run | None:
        """See `Executor.find`."""
        with self._engine() as client:
            label = f"{RUN_LABEL}={run_directory}"
            for container in client.containers(all=True, filters={"label": label}):
                state = _state(client, container["Id"])
                if state is not None and state["Status"] != "created":
                    return _run(run_directory, container["Id"], state)
                _remove(client, container["Id"])
        return None

    def poll(self, run: Run) -> Exit | None:
        """See `Executor.poll`."""
        with self._engine() as client:
            state = _state(client, run.handle)
        if state is None:
            return lost(run, message="The container is gone: someone or something removed it.")
        if state["Running"]:
            return None
        result = ended(
            run,
            code=state["ExitCode"],
            ended_at=datetime.fromisoformat(state["FinishedAt"]),
            out_of_memory=state["OOMKilled"],
        )
        if run.handle in self._cut_off and result.message is not None:
            return lost(run, message=f"The Docker engine went away while the script ran. {result.message}")
        return result

    def wait(self, run: Run, *, timeout_seconds: float) -> Exit | None:
        """See `Executor.wait`."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            left = max(0.0, deadline - time.monotonic())
            try:
                self._wait(run.handle, left)
                return self.poll(run)
            except Unavailable:
                self._cut_off.add(run.handle)
                if left == 0:
                    raise
                time.sleep(min(_RETRY_SECONDS, left))

    def terminate(self, run: Run) -> None:
        """See `Executor.terminate`."""
        self._signal(run, "SIGTERM")

    def kill(self, run: Run) -> tuple[int, ...]:
        """See `Executor.kill`."""
        self._signal(run, "SIGKILL")
        self._wait(run.handle, _KILL_SECONDS)
        with self._engine() as client:
            state = _state(client, run.handle)
            if state is None or not state["Running"]:
                return ()
            logger.error("container cannot be killed", extra={"action": "kill_failed", "container": run.handle})
            processes = client.top(run.handle)
            column = processes["Titles"].index("PID")
            return tuple(sorted(int(row[column]) for row in processes["Processes"]))

    def clean(self, run: Run) -> None:
        """See `Executor.clean`."""
        with self._engine() as client:
            _remove(client, run.handle)
        forget_stop(run.run_directory)
        self._cut_off.discard(run.handle)

    def _variables(self, launch: Launch) -> dict[str, str]:
        user = _user()
        variables = {"USER": user, "LOGNAME": user, "HOME": _HOME}
        if self._cpus is not None:  # libraries count the machine's cores, not the container's
            variables["OMP_NUM_THREADS"] = str(max(1, int(self._cpus)))
        # Where NVIDIA's runtime is the default one, an image may ask for every GPU by itself.
        devices = {} if launch.gpus else {"NVIDIA_VISIBLE_DEVICES": "void"}
        return variables | launch.variables | devices | {MARKER: str(launch.run_directory)}

    def _host_config(self, client: Any, launch: Launch) -> dict[str, Any]:  # noqa: ANN401  docker-py has no types

        writable = (launch.source, launch.run_directory / CONSOLE, *launch.writable)
        mounts = dict.fromkeys(writable, False) | dict.fromkeys(launch.read_only, True)
        gpus = [DeviceRequest(driver="nvidia", device_ids=list(launch.gpus), capabilities=[["gpu"]])]
        config: dict[str, Any] = client.create_host_config(
            init=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            pids_limit=self._processes,
            mem_limit=launch.memory_bytes,
            memswap_limit=launch.memory_bytes,
            nano_cpus=None if self._cpus is None else int(self._cpus * 1e9),
            shm_size=self._shared_memory_bytes,
            tmpfs={"/tmp": "rw,exec,nosuid,nodev,mode=1777"},  # noqa: S108  exec: compilers of kernels load from it
            mounts=[Mount(str(path), str(path), type="bind", read_only=fixed) for path, fixed in mounts.items()],
            device_requests=gpus if launch.gpus else None,
        )
        return config

    def _signal(self, run: Run, signal_name: str) -> None:

        with self._engine() as client:
            state = _state(client, run.handle)
            if state is None or not state["Running"]:
                return
            request_stop(run.run_directory)
            with suppress(APIError):  # it ended meanwhile; whether it died is looked at afterwards
                client.kill(run.handle, signal_name)

    def _wait(self, handle: str, timeout_seconds: float) -> None:
        """Return when the container has ended or is gone, or the time is over."""
        with self._engine() as client:
            try:
                client.wait(handle, timeout=max(0.001, timeout_seconds))
            except (NotFound, ReadTimeout):
                return
            except ConnectionBroken as error:
                if not (error.args and isinstance(error.args[0], ReadTimeoutError)):
                    raise

    @contextmanager
    def _engine(self) -> Iterator[Any]:
        """Give a connection to the engine.

        Raises:
            Unavailable: nobody answers there, or with nonsense.
        """
        with docker_engine() as client:
            try:
                yield client.api
            except APIError as error:
                raise Unavailable(f"The Docker engine failed: {error.explanation or error}.") from error


@contextmanager
def _refusals(launch: Launch, image: str) -> Iterator[None]:
    """Turn what the engine refuses into errors that say what to do."""
    try:
        yield
    except ImageNotFound as error:
        raise _no_image(image) from error
    except APIError as error:
        raise _refusal(str(error.explanation or error), launch=launch, status=error.status_code) from error


def _no_image(image: str) -> ExecutorUnavailable:
    return ExecutorUnavailable(
        f"The image {image} is not on this machine.",
        hint=f"Get it: docker pull {image}. (Where no registry is near, deploy/base-image/build.sh makes one.)",
    )


def _refusal(explanation: str, *, launch: Launch, status: int | None) -> OrchestratorError:
    if "could not select device driver" in explanation or "nvidia" in explanation.lower():
        return ExecutorUnavailable(
            f"The Docker engine cannot give GPU {', '.join(launch.gpus)} to a container: {explanation}.",
            hint="Install the NVIDIA container toolkit, then: nvidia-ctk runtime configure --runtime=docker",
        )
    if "no space left on device" in explanation:
        return NoSpace(f"The Docker engine's disk is full: {explanation}.", hint="Free some: docker system prune.")
    if status == 409:  # noqa: PLR2004  HTTP's Conflict, which creating answers for a name alone
        return AlreadyExists(
            f"There is a container of the name {launch.name} already.",
            hint=f"Adopt it with `find`, or remove it: docker rm --force {launch.name}",
        )
    return ExecutorUnavailable(f"The Docker engine refuses to start {launch.name}: {explanation}.")


def _state(client: Any, identity: str) -> dict[str, Any] | None:  # noqa: ANN401  docker-py has no types

    try:
        state: dict[str, Any] = client.inspect_container(identity)["State"]
    except NotFound:
        return None
    return state


def _remove(client: Any, identity: str) -> None:  # noqa: ANN401  docker-py has no types

    try:
        client.remove_container(identity, force=True, v=True)
    except APIError as error:
        if error.status_code != 404:  # noqa: PLR2004  HTTP's Not Found
            logger.warning(
                "container is left behind",
                extra={"action": "remove_failed", "container": identity, "reason": str(error)},
            )


def _run(run_directory: Path, identity: str, state: dict[str, Any]) -> Run:
    return Run(
        run_directory=run_directory,
        handle=identity,
        started_at=datetime.fromisoformat(state["StartedAt"]),
    )


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
