"""Tasks: making, finding, cloning, queueing and stopping them."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api.answers import answer, answer_list, answer_page
from orchestrator.api.caller import Editor, EditorOrOwnAttempt, Operator, Reader
from orchestrator.api.routes.queries import DEFAULT_LIMIT, After, Filter, Key, Limit
from orchestrator.records.lifecycle import Status
from orchestrator.records.task import Parameter, Task, TaskType
from orchestrator.services.archive_task import archive_task, unarchive_task
from orchestrator.services.clone import clone_task
from orchestrator.services.create_task import create_task
from orchestrator.services.edit_task import edit_task
from orchestrator.services.enqueue import dequeue_task, enqueue_task
from orchestrator.services.parameters import list_parameters, put_parameters
from orchestrator.services.publish_task import publish_task
from orchestrator.services.read_tasks import list_tasks, show_task
from orchestrator.services.reset_task import reset_task
from orchestrator.services.start import start_task
from orchestrator.services.stop import stop_task
from orchestrator.services.tag import tag_task
from orchestrator.wire import (
    Claim,
    CloneTask,
    CreateTask,
    EditTags,
    EditTask,
    EnqueueTask,
    Page,
    PutParameters,
    StartTask,
    TaskDetail,
)

router = APIRouter(tags=["tasks"])


@router.post("/tasks", status_code=201, response_model=Task)
def create(body: CreateTask, caller: Editor) -> Response:
    """Make a task in `created`."""
    return caller.create(create_task, body=body)


@router.get("/tasks", response_model=Page[Task])
def find(  # noqa: PLR0913  a filter is made of many optional parts
    *,
    caller: Reader,
    project: Filter = None,
    name: Filter = None,
    status: Status | None = None,
    type: TaskType | None = None,  # noqa: A002  the field's own word
    tag: Filter = None,
    parent: Filter = None,
    queue: Filter = None,
    archived: bool = False,
    after: After = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """Find tasks, newest first; `project` takes in those below it, `archived=true` those in the archive, too."""
    tasks = caller.read(
        list_tasks,
        project=project,
        name=name,
        status=status,
        type=type,
        tag=tag,
        parent=parent,
        queue=queue,
        archived=archived,
        after=after,
        limit=limit + 1,
    )
    return answer_page(tasks, limit=limit, key=lambda task: task.id)


@router.get("/tasks/{task_id}", response_model=TaskDetail)
def show(task_id: Key, caller: Reader) -> Response:
    """Show a task, its parameters, artifacts and attempts, and who listens to its queue."""
    return answer(caller.read(show_task, task_id=task_id, seen_seconds=caller.settings.agent_seen_seconds))


@router.patch("/tasks/{task_id}", response_model=Task)
def edit(task_id: Key, body: EditTask, caller: Editor) -> Response:
    """Change what a task is called, and how it was made while it is `created`."""
    return answer(caller.write(edit_task, task_id=task_id, body=body))


@router.post("/tasks/{task_id}/tags", response_model=Task)
def tag(task_id: Key, body: EditTags, caller: Editor) -> Response:
    """Add and remove tags; one call is one event."""
    return caller.post(tag_task, task_id=task_id, body=body)


@router.get("/tasks/{task_id}/parameters", response_model=Page[Parameter])
def parameters(task_id: Key, caller: Reader) -> Response:
    """List a task's parameters, sorted by name."""
    return answer_list(caller.read(list_parameters, task_id=task_id))


@router.put("/tasks/{task_id}/parameters", response_model=Page[Parameter])
def write_parameters(task_id: Key, body: PutParameters, caller: EditorOrOwnAttempt) -> Response:
    """Write parameters while the task is `created`, or as its own attempt; all of them are answered."""
    return answer_list(caller.write(put_parameters, task_id=task_id, body=body))


@router.post("/tasks/{task_id}/clone", status_code=201, response_model=Task)
def clone(task_id: Key, body: CloneTask, caller: Editor) -> Response:
    """Make a task of the same code and environment with other parameters, and enqueue it where a queue is named."""
    return caller.create(clone_task, task_id=task_id, body=body)


@router.post("/tasks/{task_id}/enqueue", response_model=Task)
def enqueue(task_id: Key, body: EnqueueTask, caller: Operator) -> Response:
    """Put a task into a queue; an attempt that sends it for its own task hands it over to an agent and ends."""
    return caller.post(enqueue_task, task_id=task_id, body=body)


@router.post("/tasks/{task_id}/dequeue", response_model=Task)
def dequeue(task_id: Key, caller: Operator) -> Response:
    """Take a task out of its queue."""
    return caller.post(dequeue_task, task_id=task_id)


@router.post("/tasks/{task_id}/stop", response_model=Task)
def stop(task_id: Key, caller: Operator) -> Response:
    """Stop a queued task, or ask a running one to stop."""
    return caller.post(stop_task, task_id=task_id)


@router.post("/tasks/{task_id}/publish", response_model=Task)
def publish(task_id: Key, caller: Editor) -> Response:
    """Publish a completed task: it never changes again."""
    return caller.post(publish_task, task_id=task_id)


@router.post("/tasks/{task_id}/archive", response_model=Task)
def archive(task_id: Key, caller: Editor) -> Response:
    """Leave a task out of lists; one that is queued or runs is refused."""
    return caller.post(archive_task, task_id=task_id)


@router.post("/tasks/{task_id}/unarchive", response_model=Task)
def unarchive(task_id: Key, caller: Editor) -> Response:
    """Take a task into lists again."""
    return caller.post(unarchive_task, task_id=task_id)


@router.post("/tasks/{task_id}/reset", response_model=Task)
def reset(task_id: Key, caller: Editor) -> Response:
    """Make a task that ended `created` again, to be edited and run once more; what its attempts reported stays."""
    return caller.post(reset_task, task_id=task_id)


@router.post("/tasks/{task_id}/start", status_code=200, response_model=Claim)
def start(task_id: Key, body: StartTask, caller: Editor) -> Response:
    """Begin a run by hand; the token in the answer is shown this once."""
    return caller.post_secret(start_task, task_id=task_id, body=body, settings=caller.settings)
