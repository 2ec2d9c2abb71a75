"""What triggers tell of themselves, on every database: what waits and runs, why and why not, what they would do."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator import wire
from orchestrator.errors import Forbidden, NotFound
from orchestrator.records.event import EventType
from orchestrator.records.firing import FiringStatus
from orchestrator.records.lifecycle import Status
from orchestrator.records.principal import Permission, Role
from orchestrator.records.trigger import TriggerState
from orchestrator.services import launch as launching
from orchestrator.services.dry_run import dry_run
from orchestrator.services.event_history import reader_of
from orchestrator.services.events import advance_cursor, list_events
from orchestrator.services.fire import post_firings
from orchestrator.services.stop import stop_task
from orchestrator.services.testing import DATA, EPOCHS, SUBJECT, TriggerHouse
from orchestrator.services.tokens import revoke_token
from orchestrator.services.triggers import list_firings, list_triggers, set_trigger_state, show_trigger
from orchestrator.services.why import explain_event
from orchestrator.wire import Cursor, NewFiring, PostFirings, TriggerTest
from triggers.remote import Remote

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.records.principal import Principal
    from orchestrator.records.trigger import Trigger
    from orchestrator.store.protocol import Store
    from orchestrator.wire import EventVerdict, TriggerDetail

SCHEDULE: dict[str, Any] = {"kind": "schedule", "project": "shop", "cron": "0 * * * *"}
ON_TASKS: dict[str, Any] = {"kind": "task", "project": "shop"}
FUNCTION: dict[str, Any] = {"kind": "function", "function": "f"}
MESSAGE: dict[str, Any] = {"kind": "message", "to": ["slack:team", "mailto:a@example.com"], "subject": "${event.type}"}


@pytest.fixture
def house(store: Store, tmp_path: Path) -> TriggerHouse:
    return TriggerHouse(store, tmp_path)


def set_state(house: TriggerHouse, name: str, state: TriggerState) -> Trigger:
    return house.do(set_trigger_state, key=name, state=state, permission=Permission.EDIT)


def shown(house: TriggerHouse, name: str = "nightly", *, by: Principal | None = None) -> TriggerDetail:
    return house.do(show_trigger, by=by, key=name)


def why(house: TriggerHouse, event: int, *, every: bool = False, by: Principal | None = None) -> list[EventVerdict]:
    return house.do(explain_event, by=by, event_id=event, every=every, after=None, limit=100)


def reason(house: TriggerHouse, event: int) -> str:
    """Return why the only trigger did not fire."""
    (verdict,) = why(house, event)
    assert (verdict.fired, verdict.status, verdict.firing_id, verdict.task_id) == (False, None, None, None)
    return verdict.reason


def read_to(house: TriggerHouse, event: int, *, project: str = "") -> None:
    """Have schedulers come so far in the log."""
    house.do(advance_cursor, name=reader_of(project), body=Cursor(event=event))


def tried(house: TriggerHouse, name: str = "nightly", *, event: int | None = None) -> TriggerTest:
    return house.do(dry_run, key=name, body=wire.TestTrigger(event=event), settings=house.settings)


def test_a_trigger_shows_what_it_saw_what_waits_and_what_runs(house: TriggerHouse) -> None:
    trigger = house.register(max_active=1, when_busy="queue")
    first, second = house.tagged(), house.tagged()
    other = house.tagged("other")
    house.tagged(project="bank")
    house.event(EventType.DATASET_CREATED, project="shop")
    launched, waiting = house.fire(trigger, first, second)
    detail = shown(house)
    assert (detail.trigger, detail.active) == (trigger, 1)
    assert [firing.id for firing in detail.waiting] == [waiting.firing_id]
    assert [firing.id for firing in detail.firings] == [waiting.firing_id, launched.firing_id]
    assert [task.id for task in detail.running] == [launched.task_id]
    seen = [(verdict.event, verdict.fired, verdict.status) for verdict in detail.recent]
    assert seen == [(other, False, None), (second, True, "due"), (first, True, "launched")]
    house.run()
    assert (shown(house).running, shown(house).active) == ((), 0)


def test_what_waits_is_what_something_is_still_to_come_of(house: TriggerHouse) -> None:
    trigger = house.register(debounce_seconds=60)
    (collecting,) = house.fire(trigger, house.tagged())
    failing = house.register(
        action={"kind": "clone", "task": house.reference, "parameters": {EPOCHS: "${dataset.name}"}}
    )
    assert [firing.id for firing in shown(house).waiting] == [collecting.firing_id]
    results = house.fire(failing, house.tagged(), house.tagged())
    assert [result.outcome for result in results] == ["failed", "failed"]
    first = house.read(lambda tx: tx.firings.get(str(results[0].firing_id)))
    house.write(lambda tx: tx.firings.replace(first.changed(next_try_at=None), expected=first))
    assert [firing.id for firing in shown(house).waiting] == [collecting.firing_id, results[1].firing_id]


def test_the_last_ten_of_its_own_events_are_shown_of_however_many_others(house: TriggerHouse) -> None:
    house.register()
    events = [house.tagged() for _ in range(12)]
    for _ in range(120):
        house.tagged(project="bank")
    assert [verdict.event for verdict in shown(house).recent] == events[::-1][:10]
    house.register("clock", condition=SCHEDULE, action=FUNCTION)
    assert shown(house, "clock").recent == ()


def test_tasks_in_projects_that_one_may_not_read_are_not_shown(house: TriggerHouse) -> None:
    trigger = house.register(action={"kind": "clone", "task": house.reference, "project": "bank"})
    house.fire(trigger, house.tagged())
    assert len(shown(house).running) == 1
    narrow = shown(house, by=house.somebody(Role.VIEWER, project="shop"))
    assert (narrow.running, narrow.active) == ((), 1)
    with pytest.raises(Forbidden):
        shown(house, by=house.somebody(Role.VIEWER, project="bank"))


def test_triggers_are_listed_by_ids_and_groups_as_far_as_one_may_see_them(house: TriggerHouse) -> None:
    one, two = house.register("one", group="g"), house.register("two")
    bank = house.register("bank", condition={"kind": "dataset", "project": "bank"}, group="g")

    def listed(by: Principal | None = None, **fields: object) -> list[Trigger]:
        return house.do(list_triggers, by=by, **({"after": None, "limit": 100} | fields))

    assert listed() == [one, two, bank]
    assert listed(ids=[bank.id, one.id]) == [one, bank]
    assert listed(group="g") == [one, bank]
    assert listed(after=one.id, limit=1) == [two]
    viewer = house.somebody(Role.VIEWER, project="shop")
    assert listed(viewer) == [one, two]
    assert listed(viewer, ids=[bank.id]) == []


def test_firings_are_listed_by_status(house: TriggerHouse) -> None:
    trigger = house.register(max_active=1)
    launched, skipped = house.fire(trigger, house.tagged(), house.tagged())

    def listed(*statuses: FiringStatus, key: str | None = None) -> list[str]:
        found = house.do(list_firings, key=key, after=None, limit=10, statuses=statuses)
        return [firing.id for firing in found]

    assert listed() == listed(key="nightly") == [skipped.firing_id, launched.firing_id]
    assert listed(FiringStatus.SKIPPED, FiringStatus.FAILED) == [skipped.firing_id]
    assert listed(FiringStatus.LAUNCHED, key=trigger.id) == [launched.firing_id]
    assert listed(FiringStatus.BLOCKED) == []


def test_why_it_fired_is_said_with_the_firing(house: TriggerHouse) -> None:
    trigger = house.register()
    event = house.tagged()
    (launched,) = house.fire(trigger, event)
    (verdict,) = why(house, event)
    assert (verdict.fired, verdict.status, verdict.trigger) == (True, "launched", "nightly")
    assert (verdict.firing_id, verdict.task_id) == (launched.firing_id, launched.task_id)
    assert (verdict.event, verdict.type, verdict.subject) == (event, "dataset.tagged", SUBJECT)
    assert "was tagged go" in verdict.reason
    house.register(max_active=1)
    skipped = house.tagged()
    house.fire(house.trigger(trigger.id), skipped)
    (verdict,) = why(house, skipped)
    assert (verdict.fired, verdict.status, "busy" in verdict.reason) == (False, "skipped", True)


def test_each_event_of_a_window_is_with_its_one_firing(house: TriggerHouse) -> None:
    trigger = house.register(debounce_seconds=60)
    events = [house.tagged(), house.tagged()]
    house.fire(trigger, *events)
    verdicts = [why(house, event)[0] for event in events]
    assert len({verdict.firing_id for verdict in verdicts}) == 1
    assert {verdict.status for verdict in verdicts} == {"collecting"}


def test_the_one_reason_why_not_is_told_from_the_log(house: TriggerHouse) -> None:
    before = house.tagged()
    trigger = house.register()
    early, mismatch, foreign = house.tagged(), house.tagged("other"), house.tagged(project="bank")
    assert "registered later" in reason(house, before)
    assert reason(house, early) == "No scheduler has read this event so far."
    assert "go is missing" in reason(house, mismatch)
    assert "bank" in reason(house, foreign)
    house.passes(1)
    set_state(house, "nightly", TriggerState.PAUSED)
    paused = house.tagged()
    set_state(house, "nightly", TriggerState.ACTIVE)
    assert reason(house, paused) == "It was paused."
    read_to(house, paused)
    assert "backfill" in reason(house, early)
    house.register(condition={"kind": "dataset", "project": "shop", "on_tags": ["other"]})
    assert "go is missing" in reason(house, mismatch)  # as it was then
    assert "backfill" in reason(house, early)
    unread = house.tagged("other")
    set_state(house, "nightly", TriggerState.REMOVED)
    gone = house.tagged("other")
    assert "removed before a scheduler" in reason(house, unread)
    assert reason(house, gone) == "It had been removed."
    assert house.firings(trigger) == []


def test_an_event_is_held_against_what_the_trigger_was_when_it_happened(house: TriggerHouse) -> None:
    trigger = house.register()
    matched, other = house.tagged(), house.tagged("other")
    house.register(condition={"kind": "dataset", "project": "shop", "on_tags": ["other"]})
    assert "go is missing" in reason(house, other)
    (verdict,) = why(house, matched)  # the edit came before any scheduler: a firing was kept
    assert (verdict.fired, verdict.status) == (True, "due")
    assert verdict.firing_id == house.firings(trigger)[0].id


def test_only_triggers_that_look_at_such_events_are_told_of_unless_all_are_asked_for(house: TriggerHouse) -> None:
    house.register("tags")
    house.register("tasks", condition=ON_TASKS, action=FUNCTION)
    house.register("clock", condition=SCHEDULE, action=FUNCTION)
    bank = house.register("bank", condition={"kind": "dataset", "project": "bank"}, action=FUNCTION)
    event = house.tagged()
    assert [verdict.trigger for verdict in why(house, event)] == ["tags"]
    assert [verdict.trigger for verdict in why(house, event, every=True)] == ["tags", "tasks", "clock", "bank"]
    viewer = house.somebody(Role.VIEWER, project="shop")
    assert [verdict.trigger for verdict in why(house, event, every=True, by=viewer)] == ["tags", "tasks", "clock"]
    page = house.do(explain_event, event_id=event, every=True, after=None, limit=2)
    rest = house.do(explain_event, event_id=event, every=True, after=page[-1].trigger_id, limit=2)
    assert [verdict.trigger for verdict in (*page, *rest)] == ["tags", "tasks", "clock", "bank"]
    house.register("bank", condition=ON_TASKS, action=FUNCTION)
    finalized = house.event(EventType.DATASET_FINALIZED, project="bank", data={"name": "d", "tags": []})
    assert house.trigger(bank.id).revision == 2
    assert "bank" not in {verdict.trigger for verdict in why(house, finalized)}
    with pytest.raises(NotFound):
        why(house, finalized + 1)
    with pytest.raises(Forbidden):
        why(house, finalized, by=viewer)


def test_the_place_of_schedulers_of_a_project_counts_for_its_triggers(house: TriggerHouse) -> None:
    house.register()
    event = house.tagged()
    read_to(house, event, project="bank")
    assert "No scheduler" in reason(house, event)
    read_to(house, event, project="shop")
    assert "backfill" in reason(house, event)


@pytest.mark.parametrize("project", ["", "shop/a b"])
def test_the_place_that_is_asked_for_is_the_one_that_schedulers_keep(project: str) -> None:
    class SomeClient:
        def get(self, path: str, **_: object) -> dict[str, str]:
            assert path == "/tokens/self"
            return {"project": project}

    remote = Remote(SomeClient())  # type: ignore[arg-type]
    assert remote._place_path() == f"/events/cursors/{reader_of(project)}"


def test_a_reader_of_some_types_moves_past_all_others(house: TriggerHouse) -> None:
    begin = house.read(lambda tx: tx.events.last_id())
    tagged = [house.tagged() for _ in range(3)]
    house.event(EventType.TASK_CREATED, project="shop")
    last = house.event(EventType.TASK_CREATED, project="bank")
    wanted = [EventType.DATASET_TAGGED]

    def read(after: int, limit: int, *types: EventType, by: Principal | None = None) -> tuple[list[int], int]:
        found = house.do(list_events, by=by, after=after, limit=limit, types=types)
        return [event.id for event in found.events], found.next

    assert read(begin, 2, *wanted) == (tagged[:2], tagged[1])
    assert read(tagged[1], 2, *wanted) == (tagged[2:], last)
    assert read(tagged[2], 2, *wanted) == ([], last)
    assert read(last + 5, 2, *wanted) == ([], last + 5)
    assert read(begin, 9, EventType.TASK_CREATED) == ([last - 1, last], last)
    scheduler = house.somebody(Role.SCHEDULER, project="shop")
    assert read(begin, 9, EventType.TASK_CREATED, by=scheduler) == ([last - 1], last)


def test_a_dry_run_of_a_clone_is_what_would_be_made(house: TriggerHouse) -> None:
    assert "has happened so far" in tried_without_events(house)
    early = house.tagged("other")
    event = house.tagged()
    house.tagged("other")
    house.tagged(project="bank")
    said = tried(house)
    assert (said.event, said.matches, said.name, said.queue) == (event, True, "n 1.0.0", "services")
    assert said.parameters == {DATA: SUBJECT}
    assert said.would == (
        f"It would clone task shop/training ({house.reference}) as 'n 1.0.0' into queue 'services' of project shop."
    )
    said = tried(house, event=early)
    assert (said.event, said.matches, said.would, "go is missing" in said.reason) == (early, False, None, True)
    assert house.tasks() == []
    assert house.firings(house.read(lambda tx: tx.triggers.find())[0]) == []


def tried_without_events(house: TriggerHouse) -> str:
    action = {"kind": "clone", "task": house.reference, "queue": "services", "name": "n ${dataset.version}"}
    house.register(action=action | {"parameters": {DATA: "${dataset.id}"}})
    said = tried(house)
    assert (said.event, said.matches) == (None, False)
    return said.reason


def test_a_dry_run_says_what_would_go_wrong(house: TriggerHouse) -> None:
    editor = house.somebody()
    action = {"kind": "clone", "task": house.reference, "parameters": {EPOCHS: "${dataset.name}"}}
    house.register("typed", by=editor, action=action)
    trigger = house.register("gone", by=editor)
    house.tagged()
    assert "Args/epochs" in tried(house, "typed").reason
    for changes in ({"queue": "nowhere"}, {"task": "0" * 32}):
        broken = trigger.changed(action=trigger.action.changed(**changes))
        house.write(lambda tx, broken=broken: tx.triggers.replace(broken, expected=trigger))  # type: ignore[misc]
        said = tried(house, "gone")
        assert (said.matches, said.would, "would fail" in said.reason) == (True, None, True)
    house.do(revoke_token, principal_id=editor.id)
    assert "revoked" in tried(house, "typed").reason


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"action": FUNCTION}, "call the function 'f'"),
        ({"action": MESSAGE}, "send a message to slack:team, mailto:a@example.com: dataset.tagged"),
        ({"action": {"kind": "webhook", "url": "https://a.example/x"}}, "POST to https://a.example/x."),
        ({"action": {"kind": "webhook", "url": "https://a.example/x", "secret": "s"}}, "signed with the secret 's'"),
        ({"gates": {"min_rows": 5, "columns": {"CO2": {"max_psi": 0.2}}}}, "gates (min_rows 5, max_psi 0.2 of CO2)"),
        ({"debounce_seconds": 60}, "collect events until none came for 60 s, then clone"),
        ({"dry_run": True}, "note down, and not do, this: clone"),
    ],
)
def test_a_dry_run_says_the_whole_action_in_a_sentence(
    house: TriggerHouse, fields: dict[str, object], told: str
) -> None:
    house.register(**fields)  # type: ignore[arg-type]
    event = house.tagged()
    said = tried(house)
    assert (said.event, said.matches) == (event, True)
    assert told in str(said.would)
    set_state(house, "nightly", TriggerState.PAUSED)
    assert "do nothing while it is paused; else" in str(tried(house).would)


def test_a_dry_run_of_a_chain_names_its_steps(house: TriggerHouse) -> None:
    steps = [{"step": name, "task": house.reference, "parameters": {EPOCHS: "7"}} for name in ("one", "two", "three")]
    steps[1]["parameters"] = {DATA: "${steps.one.id}"}
    house.register(action={"kind": "chain", "steps": steps})
    house.tagged()
    said = tried(house)
    assert (said.name, said.parameters) == ("training (nightly: one)", {EPOCHS: "7"})
    assert "begin a chain with one: clone task" in str(said.would)
    assert "go on with two, three" in str(said.would)


def test_a_dry_run_of_a_promotion_and_of_running_the_reference_itself_again(house: TriggerHouse) -> None:
    promote = {"kind": "promote", "model": "m", "title": "loss", "series": "v", "sign": "min", "margin": 0.5}
    house.register("promote", condition=ON_TASKS, action=promote)
    clone = {"kind": "clone", "task": house.reference, "reuse": True}
    trigger = house.register(action=clone)
    event = house.tagged()
    assert "itself again, in queue 'default'" in str(tried(house).would)
    house.fire(trigger, event)
    house.run()
    said = tried(house, "promote")
    assert "compare loss/v of the model 'm'" in str(said.would)
    assert "alias 'production'" in str(said.would)
    assert "less by 0.5 at least" in str(said.would)


def test_a_dry_run_of_a_schedule_is_of_its_next_time(house: TriggerHouse) -> None:
    clone = {"kind": "clone", "task": house.reference, "parameters": {DATA: "${schedule.time}"}}
    house.register(condition=SCHEDULE, action=clone)
    said = tried(house)
    assert (said.event, said.matches) == (None, True)
    assert said.parameters == {DATA: (house.now + timedelta(hours=1)).isoformat()}
    assert not tried(house, event=house.tagged()).matches
    house.register("past", condition={**SCHEDULE, "cron": None, "at": ["2020-01-01T00:00:00Z"]}, action=FUNCTION)
    assert not tried(house, "past").matches


def test_a_failed_firing_waits_while_its_trigger_is_paused(house: TriggerHouse) -> None:
    trigger = house.register()
    missing = trigger.changed(action=trigger.action.changed(queue="nowhere"))
    house.write(lambda tx: tx.triggers.replace(missing, expected=trigger))
    assert house.fire(trigger, house.tagged())[0].outcome == "failed"
    set_state(house, "nightly", TriggerState.PAUSED)
    house.passes(10)
    house.due()
    (waiting,) = house.firings(trigger)
    assert (waiting.status, waiting.tries, waiting.next_try_at) == ("failed", 1, house.now + timedelta(seconds=10))
    house.register()
    set_state(house, "nightly", TriggerState.ACTIVE)
    house.passes(10)
    house.due()
    assert house.firings(trigger)[0].status == "launched"


def test_what_happened_during_a_pause_is_skipped_though_nobody_looked_until_it_was_over(house: TriggerHouse) -> None:
    trigger = house.register()
    before = house.tagged()
    during = []
    for _ in range(2):
        set_state(house, "nightly", TriggerState.PAUSED)
        during.append(house.tagged())
        set_state(house, "nightly", TriggerState.ACTIVE)
        after = house.tagged()
    results = [house.fire(trigger, event)[0] for event in (before, *during, after)]
    assert [result.outcome for result in results] == ["launched", "skipped", "skipped", "launched"]
    assert results[1].reason == "paused"


def test_a_firing_that_failed_for_want_of_rights_goes_when_somebody_takes_the_trigger_over(
    house: TriggerHouse,
) -> None:
    leaver = house.somebody()
    trigger = house.register(by=leaver)
    house.do(revoke_token, principal_id=leaver.id)
    (refused,) = house.fire(trigger, house.tagged())
    assert (refused.outcome, "again" in str(refused.reason)) == ("failed", True)
    assert house.register().revision == 2
    house.passes(10)
    house.due()
    assert house.firings(trigger)[0].status == "launched"


def test_stopping_what_it_runs_leaves_nothing_running(house: TriggerHouse) -> None:
    trigger = house.register()
    (launched,) = house.fire(trigger, house.tagged())
    house.do(stop_task, task_id=launched.task_id)
    assert (shown(house).active, shown(house).running) == (0, ())


def test_schedulers_at_once_launch_every_match_once(house: TriggerHouse) -> None:
    trigger = house.register(action={"kind": "clone", "task": house.reference, "parameters": {DATA: "${event.id}"}})
    events = [house.tagged() for _ in range(60)]
    scheduler = house.admin.changed(role=Role.SCHEDULER)
    start = threading.Barrier(3)

    def post(number: int) -> list[str]:
        mine = events if number % 2 else events[::-1]
        start.wait()
        return [
            result.outcome
            for at in range(0, len(mine), 9)
            for result in house.fire(trigger, *mine[at : at + 9], by=scheduler)
        ]

    with ThreadPoolExecutor(3) as pool:
        outcomes = [outcome for run in pool.map(post, range(3)) for outcome in run]
    assert outcomes.count("launched") == 60
    assert outcomes.count("duplicate") == 120
    tasks = house.tasks()
    assert len({task.firing for task in tasks}) == len(tasks) == 60
    assert {house.parameters(task.id)[DATA] for task in tasks} == {str(event) for event in events}


def test_an_action_of_an_earlier_release_that_is_no_clone_fails_alone_with_the_reason(house: TriggerHouse) -> None:
    bad, good = house.register("bad"), house.register("good")
    broken = bad.changed(action=bad.action.changed(name="two\nlines of ${dataset.id}"))
    house.write(lambda tx: tx.triggers.replace(broken, expected=bad))
    event = house.tagged()
    outcomes = [house.fire(trigger, event)[0] for trigger in (bad, good)]
    assert [result.outcome for result in outcomes] == ["failed", "launched"]
    assert "name" in str(outcomes[0].reason)
    said = tried(house, "bad", event=event)
    assert (said.matches, "would fail" in said.reason) == (True, True)


@pytest.mark.parametrize("error", [ValueError("half \ud800 and \0"), KeyError("x"), OverflowError(), RecursionError()])
@pytest.mark.parametrize("step", ["prepare_clone", "announce_clone"])
def test_a_launch_that_fails_over_its_data_takes_nothing_with_it(
    house: TriggerHouse, monkeypatch: pytest.MonkeyPatch, error: Exception, step: str
) -> None:
    bad, good = house.register("bad"), house.register("good")
    do = getattr(launching, step)

    def failing(*arguments: object, **rest: object) -> object:
        chain = rest.get("chain") or getattr(rest["task"], "chain", None)
        if chain == (bad.id,):
            raise error
        return do(*arguments, **rest)

    monkeypatch.setattr(launching, step, failing)
    event = house.tagged()
    new = [NewFiring(trigger_id=each.id, revision=1, event=event) for each in (bad, good)]
    results = house.do(post_firings, body=PostFirings(firings=tuple(new)), settings=house.settings)
    assert [result.outcome for result in results] == ["failed", "launched"]
    assert type(error).__name__ in str(results[0].reason)
    (task,) = house.tasks()
    assert (task.id, task.status) == (results[1].task_id, Status.QUEUED)
    house.passes(10)
    house.due()
    assert house.firings(bad)[0].tries == 2
