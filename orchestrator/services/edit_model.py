"""What can still be changed about a model version: its tags, whether it is published, and whether lists show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import Conflict
from orchestrator.records.event import EventType
from orchestrator.records.model import ModelState
from orchestrator.records.principal import Permission
from orchestrator.services.announce import announce_model
from orchestrator.services.read_models import detail_of
from orchestrator.services.tag import apply_tags

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import EditTags, ModelDetail


def tag_model(transaction: Transaction, actor: Principal, *, model_id: Id, body: EditTags) -> ModelDetail:
    """Add and remove tags of a version; one call is one event.

    Raises:
        NotFound: there is no such version.
        Forbidden: the actor may not edit in its project.
        InvalidRequest: a tag is to be added and removed.
    """
    model = transaction.models.get(model_id)
    actor.require(Permission.EDIT, model.project)
    tags, added, removed = apply_tags(model.tags, body=body)
    if added or removed:
        tagged = model.changed(tags=tags, changed_at=transaction.now())
        transaction.models.replace(tagged, expected=model)
        model = tagged
        announce_model(transaction, actor, type=EventType.MODEL_TAGGED, model=model, added=added, removed=removed)
    return detail_of(transaction, model)


def publish_model(transaction: Transaction, actor: Principal, *, model_id: Id) -> ModelDetail:
    """Publish a version.

    Raises:
        NotFound: there is no such version.
        Forbidden: the actor may not edit in its project.
        Conflict: it is published already.
    """
    model = transaction.models.get(model_id)
    actor.require(Permission.EDIT, model.project)
    if model.state is ModelState.PUBLISHED:
        raise Conflict(f"{model.project}/{model.name} {model.version} is published already.")
    now = transaction.now()
    published = model.changed(state=ModelState.PUBLISHED, published_at=now, changed_at=now)
    transaction.models.replace(published, expected=model)
    announce_model(transaction, actor, type=EventType.MODEL_PUBLISHED, model=published)
    return detail_of(transaction, published)


def archive_model(transaction: Transaction, actor: Principal, *, model_id: Id) -> ModelDetail:
    """Leave a version out of lists and keep it from being promoted; who names it, or an alias that it has, can use it.

    Raises:
        NotFound: there is no such version.
        Forbidden: the actor may not edit in its project.
    """
    return _put_away(transaction, actor, model_id=model_id, archived=True)


def unarchive_model(transaction: Transaction, actor: Principal, *, model_id: Id) -> ModelDetail:
    """Take a version into lists again.

    Raises:
        NotFound: there is no such version.
        Forbidden: the actor may not edit in its project.
    """
    return _put_away(transaction, actor, model_id=model_id, archived=False)


def _put_away(transaction: Transaction, actor: Principal, *, model_id: Id, archived: bool) -> ModelDetail:
    model = transaction.models.get(model_id)
    actor.require(Permission.EDIT, model.project)
    transaction.models.lock_name(model.project, model.name)  # nobody is to promote it meanwhile
    model = transaction.models.get(model_id)
    if archived is (model.archived_at is None):
        now = transaction.now()
        edited = model.changed(archived_at=now if archived else None, changed_at=now)
        transaction.models.replace(edited, expected=model)
        model = edited
        if archived:
            announce_model(transaction, actor, type=EventType.MODEL_ARCHIVED, model=model)
    return detail_of(transaction, model)
