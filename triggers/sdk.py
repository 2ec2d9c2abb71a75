"""`TriggerScheduler`: triggers declared in a script, kept on the server, served from here or from a service task.

The standard library and `orchestrator` alone are imported here; what serves is imported when it starts.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
from typing import TYPE_CHECKING, Any

from orchestrator.errors import CaptureError, InvalidRequest
from orchestrator.records.values import encode
from orchestrator.sdk.client import Client
from orchestrator.settings import find_server

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


Definition = dict[str, Any]
"""The body of `PUT /triggers`."""


class TriggerScheduler:
    """Declares triggers and serves them.

    Triggers live on the server under their names: registering again updates, and any scheduler serves them all.

    Args:
        polling_frequency_minutes: how often to look for events where the server cannot say at once that there are some.
        pooling_frequency_minutes: the same, by the name that scripts written for ClearML use.
    """

    def __init__(
        self, polling_frequency_minutes: float = 1.0, *, pooling_frequency_minutes: float | None = None
    ) -> None:
        minutes = polling_frequency_minutes if pooling_frequency_minutes is None else pooling_frequency_minutes
        if minutes <= 0:
            raise ValueError(f"polling_frequency_minutes must be more than 0, not {minutes}")
        self.polling_seconds = 60.0 * minutes
        self._definitions: dict[str, Definition] = {}

    def add_dataset_trigger(  # noqa: PLR0913  the names are those that people know
        self,
        *,
        schedule_task_id: str,
        schedule_queue: str = "default",
        trigger_project: str = "",
        trigger_name: str | None = None,
        trigger_on_tags: Sequence[str] | None = None,
        trigger_required_tags: Sequence[str] | None = None,
        name: str | None = None,
        target_project: str | None = None,
        add_tag: str | bool | None = None,
        single_instance: bool = False,
        max_active: int | None = None,
        task_parameters: Mapping[str, Any] | None = None,
        task_overrides: Mapping[str, Any] | None = None,
        allow_new_parameters: bool = False,
    ) -> None:
        """Clone a reference task and enqueue the clone whenever a dataset version matches.

        Without `trigger_on_tags` a version that becomes final matches; with it, each tagging that completes the tags.

        Args:
            schedule_task_id: the reference task.
            schedule_queue: where the clone waits.
            trigger_project: datasets of this project and all below it, also later ones; empty for all.
            trigger_name: shell pattern that the dataset's name must match as a whole.
            trigger_on_tags: the version has all of these, and the event added at least one.
            trigger_required_tags: the version has all of these.
            name: of the trigger; one is made from its content where it is not given.
            target_project: of the clone; the reference's where it is not given.
            add_tag: a tag for the clone; True for the trigger's name.
            single_instance: skip events while a task of this trigger is queued or running.
            max_active: skip events while so many are.
            task_parameters: `Section/name` to value; text may hold templates such as `${dataset.id}`.
            task_overrides: the same, and `queue`, `project`, `name` and `tags` of the clone.
            allow_new_parameters: add parameters that the reference does not have instead of refusing them.

        Raises:
            InvalidRequest: the name is taken by another trigger of this scheduler, or an override changes nothing that
                there is. What only the server can know (task, queue, parameters, templates) is checked on `start`.
        """
        if single_instance and max_active not in (None, 1):
            raise InvalidRequest(f"single_instance allows one active task, max_active {max_active}.", hint="Give one.")
        action: Definition = {
            "kind": "clone",
            "task": schedule_task_id,
            "queue": schedule_queue,
            "parameters": {},
            "allow_new": allow_new_parameters,
            "tags": [],
        }
        if target_project is not None:
            action["project"] = target_project
        for key, value in {**(task_parameters or {}), **(task_overrides or {})}.items():
            _override(action, key, value)
        definition: Definition = {
            "condition": {
                "kind": "dataset",
                "project": trigger_project,
                "name": trigger_name,
                "on_tags": _tags(trigger_on_tags),
                "required_tags": _tags(trigger_required_tags),
            },
            "action": action,
            "max_active": 1 if single_instance else max_active,
        }
        name = name or _name_for(definition)
        if add_tag:
            action["tags"].append(name if add_tag is True else add_tag)
        if name in self._definitions:
            raise InvalidRequest(f"There is a trigger {name!r} here already.", hint="Give each a name of its own.")
        self._definitions[name] = {"name": name, **definition}

    @property
    def definitions(self) -> list[Definition]:
        """What `start` registers: bodies of `PUT /triggers`."""
        return list(self._definitions.values())

    def register(self) -> None:
        """Register the triggers at the server that this environment names, and do nothing else.

        Raises:
            InvalidRequest: a trigger names a parameter or a template that does not exist.
            NotFound: the reference task or the queue does not exist.
            ServerUnreachable: there is no server to register at.
        """
        server = find_server()
        with Client(server.url, server.token or None) as client:
            for definition in self.definitions:
                client.put("/triggers", definition)

    def start(self) -> None:
        """Register the triggers, then serve all that the server has, in the main thread.

        On SIGTERM, which ends a service, it returns, and so does the script when nothing follows.

        Raises:
            KeyboardInterrupt: Ctrl-C, after what was begun has ended cleanly.
            CaptureError: a package that serving needs is not installed.
            OrchestratorError: see `register`.
        """
        run_scheduler = _import_run_scheduler()
        self.register()
        # This is what the script is from now on, so it says what it does; a script's own choice of handlers stands.
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
        server = find_server()
        if run_scheduler(server.url, server.token or None, polling_seconds=self.polling_seconds) == signal.SIGINT:
            raise KeyboardInterrupt

    def start_remotely(self, queue: str = "services") -> None:
        """Register the triggers, then serve them from a service task: this script, run by an agent.

        By hand the script ends here and goes on there; at the agent this serves as `start` does. The packages that it
        needs there are those that are installed here: `retrain-orchestrator[scheduler]`.

        Args:
            queue: where the service task waits; `retrain up` and agents keep a lane for `services`.

        Raises:
            CaptureError: a package that serving needs is not installed.
            OrchestratorError: see `register`.
        """
        _import_run_scheduler()  # an agent has what is captured here, and nothing beside it
        from orchestrator import Task  # noqa: PLC0415  whoever serves from here needs nothing that captures a script

        if not os.environ.get("RETRAIN_TASK_ID"):
            self.register()  # what is wrong with a trigger is said here, not in a console far away
        task = Task.current_task() or Task.init(
            project_name="services", task_name="trigger scheduler", task_type="service"
        )
        task.execute_remotely(queue_name=queue)
        self.start()


def _import_run_scheduler() -> Callable[..., signal.Signals]:
    """Return `triggers.scheduler.run_scheduler`, which needs pydantic and APScheduler.

    Raises:
        CaptureError: one of them is not installed.
    """
    try:
        from triggers.scheduler import run_scheduler  # noqa: PLC0415  declaring triggers needs none of its packages
    except ModuleNotFoundError as error:
        raise CaptureError(
            f"Serving triggers needs the package {error.name}, which is not installed here.",
            hint="Install it: pip install 'retrain-orchestrator[scheduler]'",
        ) from error
    return run_scheduler


def _override(action: Definition, key: str, value: object) -> None:
    """Write one override into the action."""
    if "/" in key:
        action["parameters"][key] = encode(value)[1]
    elif key in {"queue", "project", "name"}:
        action[key] = value
    elif key == "tags":
        action["tags"] += _tags(value)
    else:
        raise InvalidRequest(
            f"{key!r} cannot be overridden.",
            hint=f"Parameters are Section/name, such as General/{key}; beside them: queue, project, name, tags.",
        )


def _tags(value: Any) -> list[str]:  # noqa: ANN401  a tag or several
    return [value] if isinstance(value, str) else list(value or ())


def _name_for(definition: Definition) -> str:
    """Return a name that another trigger does not have and that the same one gets again."""
    digest = hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()
    return f"dataset trigger {digest[:12]}"
