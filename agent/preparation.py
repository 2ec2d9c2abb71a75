"""From a claim to what is started: the exact source, the exact packages, the variables of the attempt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.checkout import checkout
from agent.execution.base import Launch
from agent.patience import patiently
from agent.runs import remove_tree
from orchestrator.errors import RebuildError

if TYPE_CHECKING:
    from pathlib import Path

    from agent.api import AttemptApi
    from agent.environment import Environment
    from agent.runs import RunDirectory
    from agent.tools import Tools
    from orchestrator.records.source import Packages, Script
    from orchestrator.wire import Claim

_MODULE = "-m "


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """The steps before a script can be started; each can be taken again from its beginning."""

    run: RunDirectory
    claim: Claim
    api: AttemptApi
    tools: Tools

    @property
    def image(self) -> str | None:
        """The image to run in; None where the executor runs processes."""
        if self.tools.settings.executor == "process":
            return None
        container = self.claim.task.container
        return container.image if container is not None else self.tools.settings.image

    def source(self) -> str | None:
        """Rebuild the source tree; return the commit that it was rebuilt from, where there is one.

        Raises:
            RebuildError: it is not to be had, or not the captured one; or the task has none.
        """
        source = self.claim.task.source
        if source is None or self.claim.task.script is None:
            raise RebuildError(
                "The task has no script.",
                hint="Run it once by hand, or clone a task that was run: its code comes along.",
            )
        if self.image is None and self.claim.task.container is not None:
            self.run.say(f"this agent runs processes; the image {self.claim.task.container.image} is not used")
        remove_tree(self.run.source)
        self.run.source.mkdir()
        rebuilt = checkout(source, into=self.run.source, mirrors=self.tools.mirrors, fetch_blob=self._fetch_blob)
        if source.tree is None:
            of_branch = "" if source.commit is not None else f" of branch {source.branch}"
            self.run.say(f"the source is commit {rebuilt.commit}{of_branch} of {source.repository}")
        if rebuilt.left_empty:
            self.run.say(f"submodules of that commit were not captured and stay empty: {', '.join(rebuilt.left_empty)}")
        return rebuilt.commit

    def environment(self) -> Environment:
        """Find or build the environment.

        Raises:
            RebuildError: it cannot be built.
            NoSpace: the disk is full.
        """
        packages = self.claim.task.packages
        if packages is None:
            raise RebuildError(
                "The task has no list of packages.", hint="Run it once by hand, or clone a task that was run."
            )
        return self.tools.environments.ensure(
            packages, lock=self._lock(packages), toolchain=self.tools.toolchain(self.image), progress=self.run.say
        )

    def launch(self, environment: Environment) -> Launch:
        """Write the task's file and return what to start."""
        task, attempt = self.claim.task, self.claim.attempt
        script = task.script
        if script is None:
            raise RebuildError("The task has no script.")
        values = self.claim.model_dump_json(include={"task", "parameters", "attempt"})
        self.run.task_file.write_text(values, encoding="utf-8")
        datasets = self.tools.settings.home / "cache" / "datasets"
        datasets.mkdir(parents=True, exist_ok=True)
        launch = Launch(
            run_directory=self.run.path,
            source=self.run.source,
            argv=(str(environment.python), *arguments(script, source=self.run.source)),
            working_directory=self.run.source / script.working_directory,
            name=f"retrain-{task.id}-{attempt.number}",
            variables={
                "RETRAIN_TASK_ID": task.id,
                "RETRAIN_ATTEMPT": str(attempt.number),
                "RETRAIN_URL": f"unix://{self.run.socket}",
                "RETRAIN_SDK": str(self.tools.sdk),
                "RETRAIN_TASK_FILE": str(self.run.task_file),
                "PYTHONUNBUFFERED": "1",  # what is printed stands in the console at once
            },
            read_only=(environment.path, self.tools.sdk, datasets),
            writable=tuple({self.run.attempt, self.run.socket.parent}),
            image=self.image,
            gpus=self._gpus(),
            labels={"retrain.task": task.id, "retrain.attempt": str(attempt.number)},
        )
        if task.container is not None:
            return replace(launch, memory_bytes=task.container.memory_bytes)
        return launch

    def _gpus(self) -> tuple[str, ...]:
        slots = {slot.name: slot for slot in self.tools.settings.slots}
        slot = slots.get(self.claim.attempt.slot or "")
        return slot.gpus if slot is not None else ()

    def _lock(self, packages: Packages) -> bytes | None:
        if packages.lock is None:
            return None
        path = self.tools.locks / packages.lock.removeprefix("blake3:")
        if not path.exists():
            self._fetch_blob(packages.lock, path)
        return path.read_bytes()

    def _fetch_blob(self, digest: str, target: Path) -> None:
        patiently(lambda: self.api.fetch_blob(digest, target), seconds=self.tools.settings.orphan_timeout_seconds)


def arguments(script: Script, *, source: Path) -> tuple[str, ...]:
    """Return what an interpreter is given to start a script."""
    if script.entry_point.startswith(_MODULE):
        return ("-m", script.entry_point.removeprefix(_MODULE).strip(), *script.arguments)
    return (str(source / script.entry_point), *script.arguments)
