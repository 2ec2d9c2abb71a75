"""A database of before windows, schedules and chains: tasks, triggers, their revisions and firings come along."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import pytest
from sqlalchemy import create_engine, make_url, text

from orchestrator.errors import AlreadyExists
from orchestrator.records.action import CloneAction
from orchestrator.records.condition import DatasetCondition, MetricBound, ScheduleCondition, TaskCondition
from orchestrator.records.firing import Firing, FiringStatus
from orchestrator.records.lifecycle import Status
from orchestrator.records.trigger import Trigger, TriggerState
from orchestrator.store.migrations import upgrading
from orchestrator.store.sql import open_store
from orchestrator.store.testing.records import SOMEBODY, THEN, a_firing, a_model, a_parameter, a_trigger, moment, new_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from orchestrator.store.protocol import Store

_AT = "2015-02-04 17:51:00.000000+00:00"
_LATER = "2015-02-04 17:51:30.000000+00:00"
_LOCAL: dict[str, object] = {at: at.removesuffix("+00:00") for at in (_AT, _LATER)}
_CONDITION = {
    "kind": "dataset",
    "project": "occupancy",
    "name": None,
    "on_tags": ["Production"],
    "required_tags": ["checked"],
}


class _Old(NamedTuple):
    url: str
    reference: str
    clone: str
    trigger: str
    removed: str
    launched: str
    failed: str


def _insert(connection: Connection, table: str, *rows: dict[str, object]) -> None:
    names = list(rows[0])
    columns, values = ", ".join(f'"{name}"' for name in names), ", ".join(f":{name}" for name in names)
    if connection.dialect.name == "sqlite":  # which keeps moments as text, in UTC
        rows = tuple({name: _LOCAL.get(str(value), value) for name, value in row.items()} for row in rows)
    connection.execute(text(f"INSERT INTO {table} ({columns}) VALUES ({values})"), list(rows))  # noqa: S608  names from below


def _task(identity: str, **fields: object) -> dict[str, object]:
    row: dict[str, object] = {"id": identity, "project": "p", "name": "training", "type": "training"}
    row |= {"status": "completed", "comment": "", "tags": '["a"]', "attempt": 1, "lost_attempts": 0, "queue": None}
    row |= {"priority": 0, "position": 0, "firing": None, "chain": "[]", "created_at": _AT, "created_by": SOMEBODY}
    return row | {"changed_at": _AT, "parent": None} | fields


def _trigger(identity: str, *, action: dict[str, object], **fields: object) -> dict[str, object]:
    row: dict[str, object] = {"id": identity, "name": "retrain", "revision": 2, "state": "active", "max_active": 1}
    row |= {"condition": json.dumps(_CONDITION), "action": json.dumps(action), "starts_after": 7}
    row |= {"created_at": _AT, "created_by": SOMEBODY, "changed_at": _LATER, "name_in_use": "retrain"}
    return row | fields


def _firing(identity: str, *, trigger: str, event: int, **fields: object) -> dict[str, object]:
    row: dict[str, object] = {"id": identity, "trigger_id": trigger, "revision": 2, "event_key": str(event)}
    row |= {"events": json.dumps([event]), "status": "launched", "task_id": None, "reason": None, "tries": 1}
    return row | {"next_try_at": None, "created_at": _AT, "changed_at": _LATER} | fields


def _filled(connection: Connection, url: str) -> _Old:
    made = _Old(url, *(new_id() for _ in _Old._fields[1:]))
    action: dict[str, object] = {"kind": "clone", "task": made.reference, "queue": "default", "name": None}
    action |= {"project": None, "parameters": {"A/x": "${dataset.id}"}, "allow_new": False, "tags": ["auto"]}
    clone = {"status": "queued", "queue": "default", "firing": made.launched, "chain": json.dumps([made.trigger])}
    _insert(connection, "tasks", _task(made.reference), _task(made.clone, parent=made.reference, **clone))
    _insert(connection, "task_tags", {"owner": made.reference, "tag": "a"})
    _insert(connection, "parameters", {"task_id": made.reference, "name": "A/x", "type": "int", "value": "3"})
    attempt: dict[str, object] = {"task_id": made.reference, "number": 1, "token_id": SOMEBODY, "claimed_at": _AT}
    attempt |= {"lease_expires_at": _LATER, "started_at": None, "ended_at": _LATER, "exit_reason": "completed"}
    _insert(connection, "attempts", attempt)
    gone = {"state": "removed", "name_in_use": None, "revision": 1}
    _insert(
        connection, "triggers", _trigger(made.trigger, action=action), _trigger(made.removed, action=action, **gone)
    )
    for number in (1, 2):
        trigger: dict[str, object] = {"id": made.trigger, "name": "retrain", "revision": number, "state": "active"}
        trigger |= {"condition": _CONDITION, "action": action, "max_active": number if number == 1 else None}
        trigger |= {"starts_after": 7, "created_at": _AT, "created_by": SOMEBODY, "changed_at": _AT}
        row = {"trigger_id": made.trigger, "revision": number, "trigger": json.dumps(trigger)}
        _insert(connection, "trigger_revisions", row)
    failed = {"status": "failed", "reason": "There is no queue.", "next_try_at": _LATER}
    firings = (
        _firing(made.launched, trigger=made.trigger, event=8, task_id=made.clone),
        _firing(made.failed, trigger=made.trigger, event=9, **failed),
    )
    _insert(connection, "firings", *firings)
    for row in firings:
        _insert(
            connection,
            "firing_events",
            {key: row[key] for key in ("trigger_id", "event_key")} | {"firing_id": row["id"]},
        )
    return made


@pytest.fixture
def old(empty_url: str) -> _Old:
    """A database that the release before made and filled."""
    url = make_url(empty_url)
    engine = create_engine(url.set(drivername="postgresql+psycopg") if url.get_backend_name() != "sqlite" else url)
    with engine.begin() as connection:
        upgrading.run(connection, target="0002")
        made = _filled(connection, empty_url)
    engine.dispose()
    return made


@pytest.fixture
def upgraded(old: _Old) -> Iterator[Store]:
    """The same database opened by this release."""
    with closing(open_store(old.url)) as store:
        yield store


def _expected(old: _Old, **fields: object) -> Trigger:
    condition = DatasetCondition(project="occupancy", on_tags=("Production",), required_tags=("checked",))
    action = CloneAction(task=old.reference, parameters={"A/x": "${dataset.id}"}, tags=("auto",))
    known = {"id": old.trigger, "name": "retrain", "revision": 2, "max_active": 1}
    known |= {"starts_after": 7, "revised_after": 7}
    times = {"created_at": THEN, "created_by": SOMEBODY, "changed_at": moment(30)}
    return Trigger.model_validate({"condition": condition, "action": action} | known | times | fields)


def test_tasks_are_what_they_were(old: _Old, upgraded: Store) -> None:
    reference, clone = (upgraded.read(lambda tx, it=it: tx.tasks.get(it)) for it in (old.reference, old.clone))  # type: ignore[misc]
    assert (reference.status, reference.tags, reference.archived_at) == (Status.COMPLETED, ("a",), None)
    assert (clone.status, clone.firing, clone.chain) == (Status.QUEUED, old.launched, (old.trigger,))
    assert upgraded.read(lambda tx: tx.tasks.find()) == [clone, reference]
    assert upgraded.read(lambda tx: tx.tasks.parameters(old.reference)) == [a_parameter("A/x", "3")]
    (attempt,) = upgraded.read(lambda tx: tx.tasks.attempts(old.reference))
    assert (attempt.number, attempt.ended_at, attempt.commit) == (1, moment(30), None)


def test_triggers_are_what_they_were_and_ask_for_nothing_new(old: _Old, upgraded: Store) -> None:
    expected = _expected(old)
    assert upgraded.read(lambda tx: tx.triggers.find()) == [expected]
    assert upgraded.read(lambda tx: tx.triggers.by_name("retrain")) == expected
    assert (expected.gates, expected.when_busy, expected.dry_run, expected.group) == (None, "skip", False, None)
    removed = upgraded.read(lambda tx: tx.triggers.get(old.removed))
    assert removed == _expected(old, id=old.removed, revision=1, state=TriggerState.REMOVED)
    assert upgraded.read(lambda tx: tx.triggers.next_due_at()) is None
    assert upgraded.read(lambda tx: tx.triggers.watched_metrics([("loss", "validation")])) == []


def test_revisions_are_read_as_they_were_registered(old: _Old, upgraded: Store) -> None:
    first, second = (upgraded.read(lambda tx, it=it: tx.triggers.revision(old.trigger, it)) for it in (1, 2))  # type: ignore[misc]
    assert first == _expected(old, revision=1, revised_after=0, changed_at=THEN)
    assert second == _expected(old, max_active=None, revised_after=0, changed_at=THEN)


def test_firings_are_what_they_were_and_those_that_failed_are_tried_again(old: _Old, upgraded: Store) -> None:
    known = {"trigger_id": old.trigger, "revision": 2, "tries": 1, "created_at": THEN, "changed_at": moment(30)}
    launched = Firing.model_validate(
        known
        | {"id": old.launched, "event_key": "8", "events": (8,), "status": FiringStatus.LAUNCHED, "task_id": old.clone}
    )
    failed = Firing.model_validate(
        known
        | {"id": old.failed, "event_key": "9", "events": (9,), "status": FiringStatus.FAILED}
        | {"reason": "There is no queue.", "next_try_at": moment(30)}
    )
    assert upgraded.read(lambda tx: tx.firings.find()) == [failed, launched]
    assert upgraded.read(lambda tx: tx.firings.of_event(old.trigger, "8")) == launched
    assert upgraded.read(lambda tx: tx.firings.with_event("9")) == [failed]
    assert upgraded.read(lambda tx: tx.firings.due(now=moment(30))) == [failed]
    assert upgraded.read(lambda tx: tx.firings.next_due_at()) == moment(30)
    assert upgraded.read(lambda tx: tx.firings.at_work(old.trigger)) == 1
    assert not upgraded.write(lambda tx: tx.firings.add(a_firing(_expected(old), 8)))


def test_what_is_new_works_on_it(old: _Old, upgraded: Store) -> None:
    present = _expected(old)
    bound = MetricBound(title="loss", series="validation", threshold=0)
    edited = present.changed(
        revision=3, condition=TaskCondition(metric=bound), debounce_seconds=5, group="g", changed_at=moment(60)
    )
    upgraded.write(lambda tx: tx.triggers.replace(edited, expected=present))
    assert upgraded.read(lambda tx: tx.triggers.find(group="g")) == [edited]
    assert upgraded.read(lambda tx: tx.triggers.watched_metrics([("loss", "validation")])) == [bound]
    with pytest.raises(AlreadyExists):
        upgraded.write(lambda tx: tx.triggers.add(a_trigger(name="retrain")))
    weekly = a_trigger(condition=ScheduleCondition(every_seconds=60), next_occurrence_at=moment(5))
    upgraded.write(lambda tx: tx.triggers.add(weekly))
    assert upgraded.read(lambda tx: tx.triggers.due(now=moment(5))) == [weekly]
    root = a_firing(weekly, event_key="schedule:x", events=(), step="one", chain_open=True)
    upgraded.write(lambda tx: tx.firings.add(root))
    assert upgraded.read(lambda tx: tx.firings.open_chains(weekly.id)) == [root]
    model = a_model(task_id=old.reference)
    upgraded.write(lambda tx: tx.models.add(model))
    assert upgraded.read(lambda tx: tx.models.get(model.id)) == model
