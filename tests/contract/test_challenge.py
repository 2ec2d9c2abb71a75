"""Champion and challenger on every database: when an alias moves by itself, and what is said when it stays."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.errors import Forbidden, InvalidRequest
from orchestrator.records.action import PromoteAction, WebhookAction
from orchestrator.records.blob import PlacedAt, StoredObject
from orchestrator.records.condition import TaskCondition
from orchestrator.records.event import Event, EventType
from orchestrator.records.manifest import raw
from orchestrator.records.model import ModelFile
from orchestrator.records.principal import Role
from orchestrator.records.task import Parameter, Task
from orchestrator.services.authenticate import authenticate
from orchestrator.services.challenge import Comparison, challenge
from orchestrator.services.create_task import create_task
from orchestrator.services.edit_model import archive_model
from orchestrator.services.promote_model import promote_model
from orchestrator.services.register_model import register_model
from orchestrator.services.tokens import create_first_token
from orchestrator.store.testing.records import THEN, a_firing, a_principal, a_trigger, digest, some_points
from orchestrator.wire import CreateTask, MoveAlias, RegisterModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.records.firing import Firing
    from orchestrator.records.model import AliasMove, ModelVersion
    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Store, Transaction

FIRST, SECOND = "1" * 32, "2" * 32
"""Evaluation versions."""


class Night:
    """Trainings that end, each with a value of the metric and a model."""

    def __init__(self, store: Store) -> None:
        self.store = store
        token = store.write(partial(create_first_token, name="admin"))
        self.admin: Principal = store.read(partial(authenticate, token=token))
        store.write(
            lambda tx: tx.blobs.add_object(StoredObject("default", "o", 3), blobs=[PlacedAt(raw(digest(1)), 0, 3)])
        )
        self.firing: Firing | None = None

    def task(self, *values: float, evaluation: str | None = None, project: str = "occupancy") -> Task:
        parameters = [Parameter(name="General/EVAL", type="string", value=evaluation)] if evaluation else []
        body = CreateTask(project=project, name="training", parameters=tuple(parameters))

        def work(tx: Transaction) -> Task:
            task = create_task(tx, self.admin, body=body)
            if values:
                points = some_points(list(range(len(values))), list(values), title="accuracy", series="test")
                tx.series.append(task.id, 1, "w" * 32, 0, [points])
            return task

        return self.store.write(work)

    def model(self, task: Task | None = None, *aliases: str, name: str = "forest", **body: Any) -> ModelVersion:  # noqa: ANN401
        """Register a version in the name of a task's attempt, or by hand."""
        attempt = (
            self.admin.changed(task_id=task.id, attempt=1, role=Role.ATTEMPT, lent_role=Role.EDITOR) if task else None
        )
        made = {"project": "occupancy", "name": name, "aliases": aliases}
        request = RegisterModel(files=(ModelFile(path="model.bin", size_bytes=3, digest=digest(1)),), **(made | body))
        return self.store.write(lambda tx: register_model(tx, attempt or self.admin, body=request)).model

    def compare(self, task: Task, *, by: Principal | None = None, **action: Any) -> Comparison:  # noqa: ANN401
        made = {"model": "forest", "title": "accuracy", "series": "test"}
        trigger = a_trigger(condition=TaskCondition(), action=PromoteAction.model_validate(made | action))
        firing = self.firing = a_firing(trigger)
        event = Event(
            id=1, type=EventType.TASK_COMPLETED, subject=task.id, project=task.project, actor=self.admin.id, at=THEN
        )
        actor = by or self.admin
        return self.store.write(lambda tx: challenge(tx, actor, trigger=trigger, firing=firing, event=event))

    def holder(self, alias: str = "production") -> int | None:
        found = self.store.read(lambda tx: tx.models.alias("occupancy", "forest", alias))
        return None if found is None else found.version

    def history(self) -> list[AliasMove]:
        return self.store.read(lambda tx: tx.models.history("occupancy", "forest"))


@pytest.fixture
def night(store: Store) -> Night:
    return Night(store)


@pytest.fixture
def champion(night: Night) -> ModelVersion:
    """Version 1, with an accuracy of 0.9 on the first evaluation version."""
    return night.model(night.task(0.5, 0.9, evaluation=FIRST), "production")


def test_the_better_one_gets_the_alias_and_the_firing_is_told_of_as_its_cause(
    night: Night, champion: ModelVersion
) -> None:
    task = night.task(0.99, 0.92)
    model = night.model(task)
    before = night.store.read(lambda tx: tx.events.last_id())
    compared = night.compare(task, margin=0.02)
    assert (compared.promoted, compared.model_id, night.holder()) == (True, model.id, 2)
    assert compared.reason == ("accuracy/test is 0.92 with version 2 and 0.9 with version 1, which is better by 0.02.")
    numbers = {"challenger": 0.92, "challenger_version": 2, "champion": 0.9, "champion_version": 1, "margin": 0.02}
    assert compared.numbers == numbers | {"metric": "accuracy/test", "sign": "max"}
    assert night.firing is not None
    move = night.history()[0]
    assert (move.from_version, move.to_version, move.firing) == (1, 2, night.firing.id)
    assert (move.reason, move.numbers, move.actor) == (compared.reason, compared.numbers, night.admin.id)
    (event,) = night.store.read(lambda tx: tx.events.after(before))
    assert (event.type, event.subject, event.cause) == (EventType.MODEL_PROMOTED, model.id, night.firing.id)
    assert (event.data["alias"], event.data["from_version"], event.data["reason"]) == ("production", 1, move.reason)
    assert champion.version == 1
    again = night.compare(task, margin=0.02)
    assert (again.promoted, again.reason) == (False, "stays: version 2 has the alias 'production' already.")
    assert len(night.history()) == 2


@pytest.mark.parametrize(
    ("values", "action", "words"),
    [
        ((0.9,), {}, "which is no better"),
        ((0.99, 0.89), {}, "which is no better"),
        ((0.91,), {"margin": 0.02}, "better by 0.01 and so by less than 0.02"),
        ((0.91,), {"sign": "min"}, "which is no better"),
        ((), {}, "the task of version 2 has no value for accuracy/test"),
        ((0.99, float("nan")), {}, "the task of version 2 has the value nan"),
        ((float("inf"),), {}, "the task of version 2 has the value inf"),
        ((0.99,), {"series": "other"}, "the task of version 2 has no value for accuracy/other"),
    ],
)
def test_one_that_is_not_better_leaves_the_alias_where_it_is(
    night: Night,
    champion: ModelVersion,
    values: tuple[float, ...],
    action: dict[str, Any],
    words: str,
) -> None:
    task = night.task(*values)
    night.model(task)
    compared = night.compare(task, **action)
    assert (compared.promoted, night.holder()) == (False, champion.version)
    assert compared.reason.startswith("stays: ")
    assert words in compared.reason
    assert len(night.history()) == 1


def test_less_is_better_where_it_is_said(night: Night, champion: ModelVersion) -> None:
    task = night.task(0.3)
    night.model(task)
    assert night.compare(task, sign="min", margin=0.6).promoted
    assert night.holder() == champion.version + 1


@pytest.mark.parametrize(
    ("evaluation", "promoted", "words"),
    [(FIRST, True, "better"), (SECOND, False, f"on {SECOND} and"), (None, False, "on nothing that is named")],
)
def test_only_what_was_evaluated_on_the_same_version_is_compared(
    night: Night,
    champion: ModelVersion,
    evaluation: str | None,
    promoted: bool,
    words: str,
) -> None:
    task = night.task(0.95, evaluation=evaluation)
    night.model(task)
    compared = night.compare(task, evaluation="General/EVAL")
    assert (compared.promoted, night.holder()) == (promoted, 2 if promoted else champion.version)
    assert words in compared.reason
    assert (compared.numbers["evaluation"], compared.numbers["champion_evaluation"]) == (evaluation, FIRST)


def test_where_nobody_has_the_alias_it_is_given_at_once_but_not_to_one_without_a_number(night: Night) -> None:
    diverged = night.task(float("nan"))
    night.model(diverged)
    assert not night.compare(diverged).promoted
    task = night.task(0.1)
    night.model(task)
    compared = night.compare(task, evaluation="General/EVAL", margin=0.5)
    assert (compared.promoted, night.holder(), night.holder("canary")) == (True, 2, None)
    assert compared.numbers["champion"] is None
    assert night.compare(task, alias="canary").promoted


def test_a_holder_without_a_number_keeps_the_alias(night: Night) -> None:
    by_hand = night.model(None, "production")
    task = night.task(0.99)
    night.model(task)
    compared = night.compare(task)
    assert (compared.promoted, night.holder()) == (False, by_hand.version)
    assert "version 1, which has the alias 'production', has no value" in compared.reason


def test_the_challenger_is_the_newest_that_the_task_made_of_that_name_in_its_own_project(
    night: Night, champion: ModelVersion
) -> None:
    task = night.task(0.95)
    compared = night.compare(task)
    assert (compared.promoted, compared.model_id) == (False, None)
    assert f"task {task.id} registered no model 'forest'" in compared.reason
    night.model(task, name="other")
    night.model(task, project="occupancy/below")
    assert night.compare(task).model_id is None
    night.model(task)
    newest, archived = night.model(task), night.model(task)
    night.store.write(partial(archive_model, actor=night.admin, model_id=archived.id))
    compared = night.compare(task)
    assert (compared.promoted, compared.model_id, night.holder()) == (True, newest.id, newest.version)
    assert champion.version == 1


def test_whoever_registered_the_trigger_has_to_be_allowed_to_edit(night: Night, champion: ModelVersion) -> None:
    task = night.task(0.95)
    night.model(task)
    for somebody in (a_principal(role=Role.OPERATOR), a_principal(project="elsewhere")):
        with pytest.raises(Forbidden):
            night.compare(task, by=somebody)
    assert night.holder() == champion.version


def test_another_action_promotes_nothing(night: Night) -> None:
    trigger = a_trigger(condition=TaskCondition(), action=WebhookAction(url="https://example.com/"))
    event = Event(id=1, type=EventType.TASK_COMPLETED, subject=night.task().id, actor=night.admin.id, at=THEN)
    with pytest.raises(InvalidRequest, match="webhook"):
        night.store.write(lambda tx: challenge(tx, night.admin, trigger=trigger, firing=a_firing(trigger), event=event))


def test_what_somebody_promotes_by_hand_is_the_next_champion(
    night: Night, champion: ModelVersion, store: Store
) -> None:
    worse = night.model(night.task(0.7))
    promote: Callable[[Transaction], object] = partial(
        promote_model, actor=night.admin, model_id=worse.id, body=MoveAlias()
    )
    store.write(promote)
    task = night.task(0.8)
    night.model(task)
    assert night.compare(task).promoted
    assert night.holder() == champion.version + 2
