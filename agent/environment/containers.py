"""Building inside a container of the image in which the environment will run."""

from __future__ import annotations

import os
import shlex
from collections import deque
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from agent.environment.toolchain import DESCRIPTION, KEPT_LINES, Interpreter, Outcome, Work, minor, nearest
from orchestrator.errors import ExecutorUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_OF_THE_HOST = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "CC", "CXX", "LD_LIBRARY_PATH", "PKG_CONFIG_PATH", "SSL_CERT_DIR"}
)
"""Variables that name places of the host; the image has its own."""

_LABEL = "retrain.build"
"""Marks the containers that build, with the root that they write to."""


class DockerToolchain:
    """Builds in containers of one image.

    Everything lies at the same absolute path as on the host. The containers are those of the agent's own user and
    have the image's default network.
    """

    def __init__(self, image: str, *, network: str | None = None) -> None:
        """Build in containers of `image` that are attached to `network`, the engine's default if it is None."""
        self._image = image
        self._network = network
        self._image_id: str | None = None

    def base(self) -> str:
        """See `Toolchain.base`. Looked up once: a tag that moves meanwhile is for the next run."""
        if self._image_id is None:
            with _engine() as engine:
                self._image_id = self._look_up(engine)
        return self._image_id

    def stamp(self, executable: str) -> str:
        """See `Toolchain.stamp`. What lies in an image never changes."""
        return executable

    def describe(self, python: str, *, implementation: str) -> Interpreter:
        """See `Toolchain.describe`. Looks at the image's `PATH`."""
        own = ("python" if implementation == "cpython" else implementation) + minor(python)
        program = shlex.quote(DESCRIPTION)
        tries = (f"if command -v {name} >/dev/null; then {name} -I -c {program}; fi" for name in (own, "python3"))
        work = Work(commands=(("/bin/sh", "-c", "; ".join(tries)),), variables={}, writable=())
        outcome = self.run(work, on_line=_ignore)
        found = [Interpreter.parse(line) for line in outcome.lines if line.startswith("{")]
        return nearest(found, python=python, implementation=implementation, place=f"the image {self._image}")

    def run(self, work: Work, *, on_line: Callable[[str], None]) -> Outcome:
        """See `Toolchain.run`.

        Raises:
            ExecutorUnavailable: the image cannot be started.
            Unavailable: the engine does not answer.
        """
        lines: deque[str] = deque(maxlen=KEPT_LINES)
        with _engine() as engine, self._container(engine, work=work) as container:
            container.start()
            with closing(container.logs(stream=True, follow=True)) as chunks:
                for line in _lines(chunks):
                    lines.append(line)
                    on_line(line)
            code = int(container.wait()["StatusCode"])
        return Outcome(code=code, lines=tuple(lines))

    @contextmanager
    def _container(self, engine: Any, *, work: Work) -> Iterator[Any]:  # noqa: ANN401  docker-py has no types
        from docker.types import Mount  # noqa: PLC0415  half a second that a process executor does not need

        root = str(work.writable[0]) if work.writable else ""
        # One whose builder was killed runs to its end and stays; a day is longer than any build.
        engine.containers.prune(filters={"label": f"{_LABEL}={root}", "until": "24h"})
        readable = (path for path in work.readable if not any(path.is_relative_to(own) for own in work.writable))
        mounts = [Mount(target=str(path), source=str(path), type="bind") for path in work.writable]
        mounts += [Mount(str(path), str(path.resolve()), type="bind", read_only=True) for path in readable]
        variables = {name: value for name, value in work.variables.items() if name not in _OF_THE_HOST}
        container = engine.containers.create(
            self.base(),
            entrypoint=["/bin/sh", "-c", " && ".join(shlex.join(command) for command in work.commands)],
            environment=variables | {"HOME": "/tmp"},  # noqa: S108  a container's own
            user=f"{os.getuid()}:{os.getgid()}",
            mounts=mounts,
            labels={_LABEL: root},
            network=self._network,
            working_dir="/",
            init=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
        )
        try:
            yield container
        finally:
            container.remove(force=True)

    def _look_up(self, engine: Any) -> str:  # noqa: ANN401  as above
        from docker.errors import ImageNotFound  # noqa: PLC0415  as above

        try:
            return str(engine.images.get(self._image).id)
        except ImageNotFound:
            raise ExecutorUnavailable(
                f"There is no image {self._image} on this machine.", hint=f"Get it with: docker pull {self._image}"
            ) from None


@contextmanager
def _engine() -> Iterator[Any]:
    from docker.errors import APIError  # noqa: PLC0415  as above

    from agent.engine import docker_engine  # noqa: PLC0415  as above

    with docker_engine() as engine:
        try:
            yield engine
        except APIError as error:
            reason = error.explanation or error
            raise ExecutorUnavailable(f"The Docker engine refused to build an environment: {reason}") from error


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Cut what a container prints, in pieces of any length, into lines."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.decode(errors="replace").rstrip() for line in whole)
    if rest:
        yield rest.decode(errors="replace").rstrip()


def _ignore(_line: str) -> None:
    """Descriptions are read when all of them are there."""
