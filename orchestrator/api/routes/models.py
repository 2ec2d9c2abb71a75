"""Model versions: registering, finding and promoting them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from orchestrator.api.answers import answer, answer_page
from orchestrator.api.caller import Editor, Reader
from orchestrator.api.routes.queries import DEFAULT_LIMIT, After, Filter, Filters, Key, Limit
from orchestrator.records.model import AliasMove
from orchestrator.services.edit_model import archive_model, publish_model, tag_model, unarchive_model
from orchestrator.services.promote_model import promote_model, roll_back
from orchestrator.services.read_models import list_models, list_moves, newest_model, show_model
from orchestrator.services.register_model import register_model
from orchestrator.wire import EditTags, ListedModel, ModelDetail, MoveAlias, Page, RegisterModel, RollBack

router = APIRouter(prefix="/models", tags=["models"])

Wanted = Annotated[str, Query(min_length=1, max_length=255)]
Number = Annotated[int | None, Query(ge=1, le=2**63 - 1)]


@router.post("", status_code=201, response_model=ModelDetail)
def register(body: RegisterModel, caller: Editor) -> Response:
    """Make the next version of a model of stored files; sent by an attempt it is that of its task."""
    return caller.create(register_model, body=body)


@router.get("", response_model=Page[ListedModel])
def find(  # noqa: PLR0913  a filter is made of many optional parts
    *,
    caller: Reader,
    project: Filter = None,
    name: Filter = None,
    tag: Filter = None,
    alias: Filter = None,
    task: Filter = None,
    archived: Annotated[bool, Query(description="Archived ones, too.")] = False,
    after: After = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """Find versions, newest first; `project` takes in those below it."""
    models = caller.read(
        list_models,
        project=project,
        name=name,
        tag=tag,
        alias=alias,
        task_id=task,
        archived=archived,
        after=after,
        limit=limit + 1,
    )
    return answer_page(models, limit=limit, key=lambda model: model.id)


@router.get("/newest", response_model=ModelDetail)
def newest(  # noqa: PLR0913  a filter is made of many optional parts
    *,
    caller: Reader,
    project: Wanted,
    name: Wanted,
    alias: Filter = None,
    version: Number = None,
    tag: Filters = [],  # noqa: B006  FastAPI copies it
    published: bool = False,
) -> Response:
    """Get the version that has an alias or a number, else the newest, in exactly this project."""
    found = caller.read(
        newest_model, project=project, name=name, alias=alias, version=version, tags=tag, published=published
    )
    return answer(found)


@router.get("/history", response_model=Page[AliasMove])
def history(  # noqa: PLR0913  a page of a list, and whose
    *,
    caller: Reader,
    project: Wanted,
    name: Wanted,
    alias: Filter = None,
    after: After = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """List who moved a model's aliases, when, from where to where and why, newest first."""
    moves = caller.read(list_moves, project=project, name=name, alias=alias, after=after, limit=limit + 1)
    return answer_page(moves, limit=limit, key=lambda move: move.id)


@router.post("/rollback", response_model=ModelDetail)
def rollback(body: RollBack, caller: Editor) -> Response:
    """Have an alias stand for what it stood for before its last move that is in force; again, for the one before."""
    return caller.post(roll_back, body=body)


@router.get("/{model_id}", response_model=ModelDetail)
def show(model_id: Key, caller: Reader) -> Response:
    """Show a version and the aliases that it has."""
    return answer(caller.read(show_model, model_id=model_id))


@router.post("/{model_id}/tags", response_model=ModelDetail)
def tag(model_id: Key, body: EditTags, caller: Editor) -> Response:
    """Add and remove tags; one call is one event."""
    return caller.post(tag_model, model_id=model_id, body=body)


@router.post("/{model_id}/publish", response_model=ModelDetail)
def publish(model_id: Key, caller: Editor) -> Response:
    """Publish a version."""
    return caller.post(publish_model, model_id=model_id)


@router.post("/{model_id}/archive", response_model=ModelDetail)
def archive(model_id: Key, caller: Editor) -> Response:
    """Leave a version out of lists; who names it, or an alias that it has, can use it as before."""
    return caller.post(archive_model, model_id=model_id)


@router.post("/{model_id}/unarchive", response_model=ModelDetail)
def unarchive(model_id: Key, caller: Editor) -> Response:
    """Take a version into lists again."""
    return caller.post(unarchive_model, model_id=model_id)


@router.post("/{model_id}/promote", response_model=ModelDetail)
def promote(model_id: Key, body: MoveAlias, caller: Editor) -> Response:
    """Have an alias stand for this version from now on."""
    return caller.post(promote_model, model_id=model_id, body=body)
