"""`Task`: one run of code, as scripts see it."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import TYPE_CHECKING, Any

from orchestrator.errors import InvalidRequest, ServerUnreachable
from orchestrator.records.values import decode, encode
from orchestrator.sdk.backlog import Message
from orchestrator.sdk.capture import arguments
from orchestrator.sdk.connect import Typed, left_out, read_parameters, section_of, write_parameters
from orchestrator.sdk.logger import Logger, check_name
from orchestrator.sdk.lookup import find_task
from orchestrator.sdk.notices import say
from orchestrator.sdk.running import ByHand, Run
from orchestrator.sdk.session import cache_directory, session
from orchestrator.sdk.starting import Plan, begin
from orchestrator.sdk.task_states import TaskStates

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from os import PathLike
    from typing import TypeVar

    from orchestrator.sdk.artifacts import Artifact
    from orchestrator.sdk.models.model import Model

    T = TypeVar("T")

_SHOWN = 5


class Task(TaskStates):
    """A task on the server, or the run that this process is.

    Made by `Task.init`, `Task.get_task` and `Task.clone`.
    """

    _current: Task | None = None

    def __init__(self, record: Mapping[str, Any], *, run: Run | None = None) -> None:
        super().__init__(record, run=run)
        self._connected_arguments = False
        self._told: set[str] = set()

    # Getting one

    @classmethod
    def init(  # noqa: PLR0913  the signature that ML engineers know
        cls,
        project_name: str,
        task_name: str,
        task_type: str = "training",
        tags: Iterable[str] | None = None,
        *,
        auto_connect_arg_parser: bool = True,
        auto_connect_streams: bool = True,
    ) -> Task:
        """Make this process a run and return its task; called again, return the same.

        Beneath an agent it is the agent's task, whatever the arguments say. By hand the source, packages and arguments
        are captured, and the script needs no further call: an exception marks the task failed, Ctrl-C stopped. When no
        server answers, one line says so and the run goes on without being recorded.

        Args:
            project_name: names joined by `/`.
            task_name: what people call it.
            task_type: training, testing, inference, data_processing, controller, optimizer, service or custom.
            tags: labels.
            auto_connect_arg_parser: record what argparse parses, and on an agent let the task's values overrule it.
            auto_connect_streams: by hand, record what is printed; an agent always does.

        Raises:
            OrchestratorError: the server refuses, because of a wrong token or a name that is not usable.
        """
        if cls._current is not None:
            return cls._current
        plan = Plan(
            project=project_name,
            name=task_name,
            type=task_type,
            tags=tuple(tags or ()),
            copies_streams=auto_connect_streams,
        )
        run = begin(plan)
        session.run = run
        cls._current = task = cls(run.task, run=run)
        if auto_connect_arg_parser:
            task._connect_arguments()
        return task

    @classmethod
    def current_task(cls) -> Task | None:
        """Return the run that this process is, or None before `Task.init`."""
        return cls._current

    @classmethod
    def get_task(
        cls, task_id: str | None = None, project_name: str | None = None, task_name: str | None = None
    ) -> Task:
        """Return a task by its id, or the beginning of one, or the newest by its name.

        Raises:
            NotFound: there is none.
            InvalidRequest: too little is said, or the beginning of more than one id.
        """
        if cls._current is not None and task_id == cls._current.id:
            return cls._current
        return cls(find_task(session.client(), task_id=task_id, project=project_name, name=task_name))

    @classmethod
    def clone(  # noqa: PLR0913, PLR0917  the signature that ML engineers know
        cls,
        source_task: Task | str,
        name: str | None = None,
        comment: str | None = None,
        parent: str | None = None,
        project: str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Task:
        """Return a new task with the same code and packages, status `created`.

        Args:
            source_task: the task or its id.
            name: of the clone; the source's own where it is not given.
            comment: of the clone.
            parent: id of the task that it descends from; the source's where it is not given.
            project: of the clone; the source's own where it is not given.
            parameters: `Section/name` to value, instead of the source's, whose types stay; where the source has None,
                the value's own type counts.

        Raises:
            UnknownParameter: the source has no such parameter; the message lists near ones.
        """
        typed = {key: encode(value) for key, value in (parameters or {}).items()}
        body: dict[str, Any] = {"name": name, "comment": comment, "parent": parent, "project": project}
        body["parameters"] = {key: text for key, (_, text) in typed.items()}
        # Only what differs from a text: an earlier server knows texts alone.
        types = {key: kind for key, (kind, _) in typed.items() if kind != "string"}
        if types:
            body["types"] = types
        return cls(session.client().post(f"/tasks/{_id_of(source_task)}/clone", body))

    @classmethod
    def enqueue(cls, task: Task | str, queue_name: str = "default") -> Task:
        """Put a task into a queue, for an agent to run it, and return it.

        Raises:
            NotFound: there is no such queue.
            IllegalTransition: it runs already.
        """
        record = session.client().post(f"/tasks/{_id_of(task)}/enqueue", {"queue": queue_name})
        if isinstance(task, Task):
            task._record = dict(record)  # noqa: SLF001  of this very class
            return task
        return cls(record)

    # What it is

    @property
    def name(self) -> str:
        """What people call it."""
        return str(self._record["name"])

    @property
    def project(self) -> str:
        """Where it belongs: names joined by `/`."""
        return str(self._record["project"])

    @property
    def task_type(self) -> str:
        """What kind of work it is."""
        return str(self._record["type"])

    @property
    def attempt(self) -> int:
        """Which try this is; 0 before the first."""
        return self._run.attempt if self._run is not None else int(self._record["attempt"])

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters' values by `Section/name`."""
        return self.get_parameters()

    @property
    def artifacts(self) -> dict[str, Artifact]:
        """The results that were uploaded, by name; what is still on its way is waited for."""
        if self._run is not None:
            self._run.flush()
        if self.offline:
            return {}
        from orchestrator.sdk.artifacts import Artifact  # noqa: PLC0415  many scripts have none

        fields = ("name", "kind", "filename", "digest", "size_bytes", "preview")
        client, directory = session.client(), cache_directory() / "artifacts"
        return {
            each["name"]: Artifact(**{field: each[field] for field in fields}, client=client, directory=directory)
            for each in client.get(f"/tasks/{self.id}/artifacts")["items"]
        }

    @property
    def models(self) -> dict[str, list[Model]]:
        """Models that its parameters name by id (`input`) and that it registered (`output`), each the oldest first.

        What is still on its way is waited for.
        """
        if self._run is not None:
            self._run.flush()
        if self.offline:
            return {"input": [], "output": []}
        from orchestrator.sdk.models.used import models_of  # noqa: PLC0415  many scripts have none

        return models_of(self.id, values=self.get_parameters().values())

    def get_parameters(self) -> dict[str, Any]:
        """Return the parameters' values by `Section/name`."""
        if self._run is not None:
            stored = self._run.parameters
        else:
            listed = session.client().get(f"/tasks/{self.id}/parameters")["items"]
            stored = {each["name"]: (each["type"], each["value"]) for each in listed}
        return {name: decode(*typed) for name, typed in sorted(stored.items())}

    # What a run says of itself

    def connect(self, mutable: T, name: str | None = None) -> T:
        """Record an object's values as parameters; on an agent, write the task's values into it. Return the object.

        Args:
            mutable: a module, a dict, a dataclass, a pydantic model, an argparse parser or any object with attributes.
            name: section of the parameters; `General`, or for argparse `Args`, where it is not given.

        Raises:
            TypeError: it has no named values.
            ValueError: a value of the task does not fit into the object.
        """
        if isinstance(mutable, ArgumentParser):
            self._connect_arguments()
            return mutable
        section = name or section_of(mutable)
        stored = self._agree(section, read_parameters(mutable))
        self._tell_left_out(section, left_out(mutable))
        if stored:
            write_parameters(mutable, stored)
        return mutable

    def set_parameter(self, name: str, value: Any) -> None:  # noqa: ANN401  any plain value
        """Set one parameter, `Section/name`; without a section it is in `General`."""
        self.set_parameters({name: value})

    def set_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Set parameters by `Section/name`; without a section they are in `General`. Others stay.

        Raises:
            IllegalTransition: the task is neither created nor this run.
        """
        typed = {key if "/" in key else f"General/{key}": encode(value) for key, value in parameters.items()}
        body = {"mode": "set", "parameters": _listed(typed)}
        if self._run is None:
            session.client().put(f"/tasks/{self.id}/parameters", body)
        else:
            self._run.parameters |= typed
            self._run.put(Message(method="PUT", path=f"/tasks/{self.id}/parameters", body=body))

    def get_logger(self) -> Logger:
        """Return what metrics are reported through.

        Raises:
            InvalidRequest: it is not the run of this process.
        """
        return Logger(self._own_run("report to"))

    def upload_artifact(self, name: str, artifact_object: Any) -> None:  # noqa: ANN401  what people upload
        """Keep a result. The object is written to a file at once and sent in the background.

        Args:
            name: what it is called; the newest of a name stands.
            artifact_object: a dict or list (JSON), a string, bytes, the path of a file, a NumPy array, a pandas
                DataFrame or Series, a PIL image or a matplotlib figure.

        Raises:
            TypeError: it is something else; nothing is pickled.
            FileNotFoundError: a path that is not there.
            InvalidRequest: it is not the run of this process.
        """
        run = self._own_run("upload to")
        check_name(name, what="name")
        if run.sender is None:
            return
        from orchestrator.sdk.artifacts import prepare  # noqa: PLC0415  many scripts have none

        made = prepare(name, artifact_object, directory=run.sender.directory / "artifacts")
        body = {"name": name, "kind": made.kind, "filename": made.filename, "preview": made.preview}
        run.put(Message(method="PUT", path=f"/tasks/{self.id}/artifacts", body=body, file=str(made.path)))

    def register_model(  # noqa: PLR0913  what is said of a model has many parts
        self,
        name: str,
        path: str | PathLike[str],
        framework: str | None = None,
        tags: Iterable[str] | str | None = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        comment: str = "",
        aliases: Iterable[str] | str | None = None,
    ) -> None:
        """Make a file or folder the next version of a model. It is copied at once and sent in the background.

        The version is known to be of this task and of the dataset versions that the task's parameters name.

        Args:
            name: of the model, in the task's project.
            path: a file, or a folder with all that is in it; links in it may not lead out of it.
            framework: what it was made with, such as `scikit-learn`.
            tags: labels.
            metadata: JSON values, such as the names of classes.
            comment: for people.
            aliases: names that are to stand for this version from now on, such as `production`.

        Raises:
            FileNotFoundError: there is nothing at the path.
            InvalidPath: something in the folder is no file, or a link that leads out of it; the message names it.
            TypeError: the metadata are no JSON.
            InvalidRequest: there are no files, or it is not the run of this process.
        """
        run = self._own_run("register a model for")
        from orchestrator.sdk.models.registering import register  # noqa: PLC0415  many scripts have none

        register(
            run,
            name,
            path,
            framework=framework,
            tags=tags,
            metadata=metadata,
            comment=comment,
            aliases=aliases,
        )

    def execute_remotely(self, queue_name: str = "default", *, exit_process: bool = True) -> None:
        """Stop here and go on at an agent: put this very task into a queue, then leave. On an agent, do nothing.

        Args:
            queue_name: where it waits for an agent.
            exit_process: leave this process with exit code 0; otherwise go on without being recorded.

        Raises:
            ServerUnreachable: no server answered when the run began.
            InvalidRequest: it is not the run of this process, or its source could not be captured.
        """
        run = self._own_run("hand over")
        if run.offline:
            raise ServerUnreachable(
                "The run cannot go on elsewhere, for tracking is off: no server took it when it began.",
                hint="Start one on this machine: retrain up. Or name one: retrain login URL.",
            )
        if not isinstance(run, ByHand):
            return
        if self._record.get("source") is None or self._record.get("script") is None:
            raise InvalidRequest(
                "The run cannot go on elsewhere, for its source could not be captured.",
                hint="Start it as a script: python train.py.",
            )
        run.hand_over(queue_name)
        if exit_process:
            sys.exit(0)

    def flush(self) -> bool:
        """Wait until everything reported is sent, at most until the server seems gone; return whether it is."""
        return self._own_run("flush").flush()

    def close(self) -> None:
        """End the run before the process ends; by hand the task is completed. A script needs no call of it."""
        run = self._own_run("close")
        run.end()
        if Task._current is self:
            Task._current = session.run = None
        self._run = None

    def _own_run(self, verb: str) -> Run:
        if self._run is None:
            raise InvalidRequest(
                f"Task {self.name!r} is not the run of this process, which alone can {verb} it.",
                hint="Call this on what Task.init returned.",
            )
        return self._run

    def _agree(self, section: str, values: Mapping[str, Typed]) -> dict[str, Typed]:
        """Record values that the task has not; return those that it has and that overrule the script's."""
        run = self._own_run("connect to")
        full = {f"{section}/{name}": typed for name, typed in values.items()}
        known = run.parameters
        new = {
            name: typed
            for name, typed in full.items()
            if name not in known or (known[name] != typed and not run.injects)
        }
        if new:
            run.parameters |= new
            body = {"mode": "connect" if run.injects else "set", "parameters": _listed(new)}
            run.put(Message(method="PUT", path=f"/tasks/{self.id}/parameters", body=body))
        if not run.injects:
            return {}
        return {name: run.parameters[f"{section}/{name}"] for name in values}

    def _tell_left_out(self, section: str, values: Mapping[str, str]) -> None:
        """Say once of each value that it is not recorded."""
        new = [(f"{section}/{name}", kind) for name, kind in values.items() if f"{section}/{name}" not in self._told]
        self._told |= {name for name, _ in new}
        if new:
            shown = ", ".join(f"{name} ({kind})" for name, kind in new[:_SHOWN])
            more = f" and {len(new) - _SHOWN} more" if len(new) > _SHOWN else ""
            say(f"not recorded, for they are no plain values: {shown}{more}")

    def _connect_arguments(self) -> None:
        """Record what argparse parsed and will parse."""
        if self._connected_arguments:
            return
        self._connected_arguments = True

        def on_parsed(values: dict[str, Any]) -> dict[str, Any]:
            if self._run is None:
                return values
            stored = self._agree("Args", read_parameters(values))
            self._tell_left_out("Args", left_out(values))
            write_parameters(values, stored)
            return values

        arguments.on_parsed(on_parsed)


def _id_of(task: Task | str) -> str:
    if isinstance(task, Task):
        return task.id
    return str(find_task(session.client(), task_id=task, project=None, name=None)["id"])


def _listed(typed: Mapping[str, Typed]) -> list[dict[str, str]]:
    return [{"name": name, "type": kind, "value": text} for name, (kind, text) in typed.items()]
