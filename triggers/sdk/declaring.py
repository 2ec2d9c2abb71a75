"""What both schedulers share: triggers by name, registered at the server, served from here or from a service task."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
from typing import TYPE_CHECKING, Any

from orchestrator.errors import CaptureError, InvalidRequest
from orchestrator.sdk.client import Client
from orchestrator.sdk.notices import say
from orchestrator.settings import find_server
from triggers.sdk.actions import Made, action_of, acts, promotion_of, tag_clones, tag_for
from triggers.sdk.limits import gate_name, gates_of, limits_of, windows_of
from triggers.sdk.promotions import home_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Definition = dict[str, Any]
"""The body of `PUT /triggers`."""


class Declaring:
    """Declares triggers and serves them.

    Args:
        polling_frequency_minutes: how often to look for events where the server cannot say at once that there are some.
        force_create_task_name: of the service task of `start_remotely`.
        force_create_task_project: likewise.

    Raises:
        ValueError: the frequency is none.
    """

    def __init__(
        self,
        *,
        polling_frequency_minutes: float,
        force_create_task_name: str | None = None,
        force_create_task_project: str | None = None,
    ) -> None:
        if polling_frequency_minutes <= 0:
            raise ValueError(f"polling_frequency_minutes must be more than 0, not {polling_frequency_minutes}")
        self.polling_seconds = 60.0 * polling_frequency_minutes
        self._service = (force_create_task_project or "services", force_create_task_name)
        self._definitions: dict[str, Definition] = {}
        self._functions: dict[str, Callable[..., Any]] = {}
        self._promotions: dict[str, Definition] = {}
        """By name the actions that make the tasks that each promotion waits for."""

    @property
    def definitions(self) -> list[Definition]:
        """What `start` registers: bodies of `PUT /triggers`."""
        return list(self._definitions.values())

    @property
    def functions(self) -> dict[str, Callable[..., Any]]:
        """What `start` can call, by the names that the definitions say."""
        return dict(self._functions)

    def register(self) -> None:
        """Register the triggers at the server that this environment names, and do nothing else.

        Raises:
            InvalidRequest: a trigger names a parameter or a template that does not exist.
            NotFound: the reference task or the queue does not exist.
            ServerUnreachable: there is no server to register at.
        """
        server = find_server()
        with Client(server.url, server.token or None) as client:
            self.register_with(client)

    def register_with(self, client: Client) -> list[Definition]:
        """Register the triggers at the server that a client speaks to, and return them as it keeps them.

        Raises:
            OrchestratorError: see `register`.
        """
        for name, action in self._promotions.items():
            self._definitions[name]["condition"]["project"] = home_of(client, action)
        return [client.put("/triggers", definition) for definition in self.definitions]

    def start(self, *, also: Sequence[Declaring] = ()) -> None:
        """Register the triggers, then serve all that the server has, in the main thread.

        On SIGTERM, which ends a service, it returns, and so does the script when nothing follows.

        Args:
            also: other schedulers of this script, whose triggers are registered and functions called here, too.

        Raises:
            KeyboardInterrupt: Ctrl-C, after what was begun has ended cleanly.
            CaptureError: a package that serving needs is not installed.
            OrchestratorError: see `register`.
        """
        run_scheduler = _import_run_scheduler()
        functions: dict[str, Callable[..., Any]] = {}
        for scheduler in (self, *also):
            scheduler.register()
            functions |= scheduler.functions
        # This is what the script is from now on, so it says what it does; a script's own choice of handlers stands.
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
        server = find_server()
        heard = run_scheduler(
            server.url, server.token or None, polling_seconds=self.polling_seconds, functions=functions
        )
        if heard == signal.SIGINT:
            raise KeyboardInterrupt

    def start_remotely(self, queue: str = "services", *, also: Sequence[Declaring] = ()) -> None:
        """Register the triggers, then serve them from a service task: this script, run by an agent.

        By hand the script ends here and goes on there; at the agent this serves as `start` does, functions included.
        The packages that it needs there are those that are installed here: `retrain-orchestrator[scheduler]`.

        Args:
            queue: where the service task waits; `retrain up` and agents keep a lane for `services`.
            also: see `start`.

        Raises:
            CaptureError: a package that serving needs is not installed.
            OrchestratorError: see `register`.
        """
        _import_run_scheduler()  # an agent has what is captured here, and nothing beside it
        from orchestrator import Task  # noqa: PLC0415  whoever serves from here needs nothing that captures a script

        if not os.environ.get("RETRAIN_TASK_ID"):
            for scheduler in (self, *also):
                scheduler.register()  # what is wrong with a trigger is said here, not in a console far away
        project, name = self._service
        task = Task.current_task() or Task.init(
            project_name=project, task_name=name or "trigger scheduler", task_type="service"
        )
        if not os.environ.get("RETRAIN_TASK_ID"):
            say(f"goes on in queue {queue!r} as task {task.id}; see: retrain task logs -f {task.id}")
        task.execute_remotely(queue_name=queue)
        self.start(also=also)

    def _declare(self, condition: Definition, options: Mapping[str, Any], *, queue: str | None, kind: str) -> str:
        """Keep a trigger and return its name.

        Args:
            condition: what it waits for.
            options: the keywords that every trigger takes.
            queue: where clones wait.
            kind: the word for it in a name that is made.

        Raises:
            InvalidRequest: a keyword is wrong, or the name is taken by another trigger of this scheduler.
        """
        given = options.get("name")
        promotion = None if options.get("promote") is None else promotion_of(options["promote"])
        if promotion is not None and condition["kind"] == "task" and not acts(options):
            made, promotion = Made(promotion), None
        else:
            made = action_of(options, queue=queue, named=bool(given))
        if promotion is not None and made.action["kind"] not in {"clone", "chain"}:
            raise InvalidRequest(
                f"promote compares what a task made, and a {made.action['kind']} makes none.", hint="Leave it out."
            )
        tag = tag_for(options.get("add_tag", True), name=given)
        if tag is not None:
            tag_clones(made.action, tag)
        definition = {"condition": condition, "action": made.action, **limits_of(options), **windows_of(options)}
        gates, gate = gates_of(options.get("require"), name=given or "")
        if gates is not None:
            definition["gates"] = gates
        if gate is not None and not given:
            raise InvalidRequest("A trigger with a function as a gate needs a name.", hint='Give name="…".')
        name = given or f"{kind} {_digest([definition, promotion])}"
        self._add(name, definition)
        if made.function is not None:
            made.action["function"] = name
            self._functions[name] = made.function
        if gate is not None:
            self._functions[gate_name(name)] = gate
        if promotion is not None:
            condition = {"kind": "task", "project": "", "trigger": name, "on_status": ["completed"]}
            self._add(f"{name} promotion", {"condition": condition, "action": promotion})
            self._promotions[f"{name} promotion"] = made.action
        return name

    def _add(self, name: str, definition: Definition) -> None:
        if name in self._definitions:
            raise InvalidRequest(f"There is a trigger {name!r} here already.", hint="Give each a name of its own.")
        self._definitions[name] = {"name": name, **definition}


def _digest(parts: object) -> str:
    """Return what tells this trigger from others and is the same again for the same one."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


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
