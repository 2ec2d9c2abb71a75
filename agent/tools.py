"""What an agent runs attempts with, made once and handed on to every process that it forks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.environment import DockerToolchain, Environments, HostToolchain
from agent.execution.factory import executor
from agent.runs import environments_in_use
from agent.sdk_mount import sdk_directory

if TYPE_CHECKING:
    from pathlib import Path

    from agent.environment import Toolchain
    from agent.execution.base import Executor
    from agent.settings import AgentSettings

ENVIRONMENTS_LIMIT_BYTES = 50 << 30


@dataclass(frozen=True, kw_only=True)
class Tools:
    """The parts of one node."""

    settings: AgentSettings
    executor: Executor
    environments: Environments
    mirrors: Path
    """Caches of git remotes."""
    locks: Path
    """Requirements of environments, by digest."""
    sdk: Path
    """Directory that scripts import our SDK from."""

    def toolchain(self, image: str | None) -> Toolchain:
        """Return what builds environments for runs in this image, or on this machine where the executor knows none."""
        return HostToolchain() if image is None else DockerToolchain(image)


def make_tools(settings: AgentSettings) -> Tools:
    """Make the directories of an agent and what works in them.

    Raises:
        InvalidRequest: the docker executor was given no image.
        OSError: the home directory cannot be written.
    """
    directory = settings.directory
    for each in (settings.home, directory, settings.runs, directory / "mirrors", directory / "locks"):
        each.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Tools(
        settings=settings,
        executor=executor(settings.executor, image=settings.image),
        environments=Environments(
            directory / "environments",
            limit_bytes=ENVIRONMENTS_LIMIT_BYTES,
            in_use=lambda: environments_in_use(settings.runs),
        ),
        mirrors=directory / "mirrors",
        locks=directory / "locks",
        sdk=sdk_directory(directory / "sdk"),
    )
