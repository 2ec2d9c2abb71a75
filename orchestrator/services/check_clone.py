"""Whether a clone that a trigger is to make can be made, as far as can be known before there is an event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from orchestrator.errors import InvalidRequest, NotFound
from orchestrator.records.lifecycle import Status
from orchestrator.services.clone import prepare_clone
from orchestrator.services.enqueue import check_queue
from orchestrator.services.launch import explain
from orchestrator.wire import CloneTask
from triggers import templates

if TYPE_CHECKING:
    from orchestrator.records.action import CloneAction
    from orchestrator.records.base import Id
    from orchestrator.records.principal import Principal
    from orchestrator.records.task import Parameter, Task
    from orchestrator.store.protocol import Transaction
    from triggers.templates import Scope

_SOME_COMMIT = "0" * 40
_SOMETHING = "x"


class CloneChecks:
    """Checks clones for one actor; what several of them need is read once.

    Args:
        transaction: reads the references and queues.
        actor: whoever registers, with whose rights the clones will be made.
    """

    def __init__(self, transaction: Transaction, actor: Principal) -> None:
        self._transaction = transaction
        self._actor = actor
        self._references: dict[Id, tuple[Task, list[Parameter]]] = {}
        self._queues: set[str] = set()

    def check(self, action: CloneAction, *, scope: Scope) -> None:
        """Check that a clone can be made and queued.

        Raises:
            NotFound: the reference or the queue does not exist; the hint says which there are.
            Forbidden: the actor may not read the reference, or not edit where the clone is to be.
            UnknownParameter: an override names no parameter of the reference.
            UnknownTemplateName: a template names nothing.
            InvalidRequest: what holds no template does not fit where it stands, a template stands where none is filled
                or cannot become a line, or parts of the action exclude each other.
        """
        reference, present = self._reference(action.task)
        _check_parts(action, reference=reference)
        _check_templates(action, scope=scope)
        if action.queue not in self._queues:
            check_queue(self._transaction, name=action.queue)
            self._queues.add(action.queue)
        prepare_clone(
            self._actor,
            reference=(reference, present),
            body=_as_far_as_known(action, present=present),
            now=self._transaction.now(),
            chain=(),
        )

    def _reference(self, task_id: Id) -> tuple[Task, list[Parameter]]:
        if task_id not in self._references:
            try:
                task = self._transaction.tasks.get(task_id)
            except NotFound:
                raise NotFound(f"There is no task {task_id} to clone.", hint="See: retrain task list.") from None
            self._references[task_id] = task, self._transaction.tasks.parameters(task_id)
        return self._references[task_id]


def _check_parts(action: CloneAction, *, reference: Task) -> None:
    if action.commit is not None and action.branch is not None:
        raise InvalidRequest(
            f"Both commit {action.commit!r} and branch {action.branch!r} are to be run.", hint="Give one of them."
        )
    if not action.reuse:
        return
    for field in ("name", "project"):
        if getattr(action, field) is not None:
            raise InvalidRequest(
                f"With reuse the reference task itself runs again, and its {field} stays.",
                hint=f"Leave {field} out, or have it cloned: without reuse.",
            )
    if reference.status is Status.PUBLISHED:
        raise InvalidRequest(
            f"Task {reference.id} is published, and what it made must stay: it cannot be run again itself.",
            hint="Have it cloned: without reuse.",
        )


def _check_templates(action: CloneAction, *, scope: Scope) -> None:
    for line in (action.name, *action.tags, action.commit, action.branch, action.image):
        if line is not None:
            templates.check_line(line, scope=scope)
    for text in action.parameters.values():
        templates.check(text, scope=scope)
    templates.refuse(action.queue, field="queue")
    templates.refuse(action.project or "", field="project")
    for name in action.parameters:
        templates.refuse(name, field="name of a parameter")


def _as_far_as_known(action: CloneAction, *, present: list[Parameter]) -> CloneTask:
    """Return the clone with something that fits in place of what is known only when the trigger fires."""
    kept = {parameter.name: parameter.value for parameter in present}

    def known(text: str | None, *, otherwise: str) -> str | None:
        if text is None:
            return None
        return otherwise if templates.names(text) else templates.fill(text, {})

    tags = [tag for text in action.tags if not templates.names(text) for tag in templates.fill(text, {}).split(",")]
    try:
        return CloneTask(
            name=known(action.name, otherwise=_SOMETHING),
            project=action.project,
            tags=tuple(tag for tag in tags if tag),
            # Until there is a value the reference's own stands for it.
            parameters={
                name: kept.get(name, text) if templates.names(text) else templates.fill(text, {})
                for name, text in action.parameters.items()
            },
            allow_new=action.allow_new,
            queue=action.queue,
            priority=action.priority,
            commit=known(action.commit, otherwise=_SOME_COMMIT),
            branch=known(action.branch, otherwise=_SOMETHING),
            image=known(action.image, otherwise=_SOMETHING),
        )
    except ValidationError as error:
        raise InvalidRequest(
            f"The clone cannot be made as written: {explain(error)}.",
            hint="A commit is its whole id; names have 1 to 255 characters, tags at most 128.",
        ) from error
