"""The event log."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

from orchestrator.errors import NotFound
from orchestrator.records.event import EventType
from orchestrator.store.testing.records import an_event, each, new_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from orchestrator.records.event import Event, NewEvent
    from orchestrator.store.protocol import Store, Transaction


def _append(store: Store, *events: NewEvent) -> None:
    store.write(each(events, lambda tx: tx.events.append))


def _page(tx: Transaction, *, cursor: int) -> list[Event]:
    return tx.events.after(cursor, limit=50)


class EventContract:
    """Ids that become visible in order; listeners that hear of every commit."""

    def test_events_are_numbered_in_order_and_dated_by_the_database(self, store: Store) -> None:
        new = [an_event(data={"tags": ["é"], "n": 1}, cause=new_id()), an_event()]
        _append(store, *new)
        found = store.read(lambda tx: tx.events.after(0))
        assert [event.model_dump(exclude={"id", "at"}) for event in found] == [event.model_dump() for event in new]
        assert found[0].id < found[1].id
        assert store.read(lambda tx: tx.events.get(found[0].id)) == found[0]
        assert store.read(lambda tx: tx.events.last_id()) == found[1].id
        assert store.read(lambda tx: tx.events.after(found[0].id)) == [found[1]]
        assert store.read(lambda tx: tx.now()) >= found[0].at
        for absent in (found[1].id + 1, 1 << 80):
            with pytest.raises(NotFound):
                store.read(lambda tx, absent=absent: tx.events.get(absent))  # type: ignore[misc]

    def test_events_appear_with_the_commit_and_not_before(self, store: Store) -> None:
        def work(tx: Transaction) -> list[Event]:
            tx.events.append(an_event())
            return tx.events.after(0)

        assert store.write(work) == []
        assert len(store.read(lambda tx: tx.events.after(0))) == 1

    def test_events_are_found_newest_first_by_what_they_are(self, store: Store) -> None:
        subject = new_id()
        _append(
            store,
            an_event(subject=subject, project="a"),
            an_event(subject=subject, project="a/b", type=EventType.DATASET_TAGGED),
            an_event(project="a-b", type=EventType.TASK_FAILED),
        )
        one, two, three = store.read(lambda tx: tx.events.after(0))

        def recent(**filters: object) -> list[Event]:
            return store.read(lambda tx: tx.events.recent(**filters))  # type: ignore[arg-type]

        assert recent() == [three, two, one]
        assert recent(types=[EventType.DATASET_TAGGED, EventType.TASK_FAILED]) == [three, two]
        assert recent(subject=subject) == [two, one]
        assert recent(projects_below="a") == [two, one]
        assert recent(before=three.id, limit=1) == [two]
        assert store.read(lambda tx: tx.events.after(0, projects_below="a", limit=1)) == [one]
        assert store.read(lambda tx: tx.events.after(1 << 80)) == []

    def test_a_reader_may_ask_for_some_types_alone(self, store: Store) -> None:
        _append(
            store,
            an_event(project="a", type=EventType.DATASET_TAGGED),
            an_event(project="a"),
            an_event(project="b", type=EventType.DATASET_TAGGED),
            an_event(project="a/c", type=EventType.TASK_FAILED),
        )
        one, _, three, four = store.read(lambda tx: tx.events.after(0))

        def after(cursor: int, *types: EventType, limit: int = 10, below: str = "") -> list[Event]:
            return store.read(lambda tx: tx.events.after(cursor, types=types, limit=limit, projects_below=below))

        assert after(0, EventType.DATASET_TAGGED) == [one, three]
        assert after(0, EventType.DATASET_TAGGED, limit=1) == [one]
        assert after(one.id, EventType.TASK_FAILED, EventType.DATASET_TAGGED) == [three, four]
        assert after(0, EventType.TASK_FAILED, EventType.DATASET_TAGGED, below="a") == [one, four]
        assert after(0, EventType.MODEL_TAGGED) == []

    def test_many_events_are_had_by_their_numbers(self, store: Store) -> None:
        _append(store, an_event(), an_event(), an_event())
        one, two, three = store.read(lambda tx: tx.events.after(0))
        found = store.read(lambda tx: tx.events.many([three.id, one.id, one.id, three.id + 1, 1 << 80]))
        assert list(found.items()) == [(one.id, one), (three.id, three)]
        assert store.read(lambda tx: tx.events.many([])) == {}
        assert two.id not in found

    def test_it_is_known_to_which_subjects_something_ever_happened(self, store: Store) -> None:
        one, two, three = new_id(), new_id(), new_id()
        paused, resumed = EventType.TRIGGER_PAUSED, EventType.TRIGGER_RESUMED
        _append(store, *(an_event(subject=subject, type=paused) for subject in (one, one, three)))
        _append(store, an_event(subject=two, type=EventType.TRIGGER_REGISTERED), an_event(subject=three, type=resumed))

        def subjects(*among: str, types: Sequence[EventType] = (paused, resumed)) -> set[str]:
            return store.read(lambda tx: tx.events.subjects(among, types=types))

        assert subjects(one, two, three, new_id()) == {one, three}
        assert subjects(two, three, types=[resumed]) == {three}
        assert subjects() == subjects(two) == set()
        assert subjects(*(new_id() for _ in range(12_000)), one) == {one}

    def test_the_first_event_since_a_moment_is_found(self, store: Store) -> None:
        begun = store.read(lambda tx: tx.now())
        assert store.read(lambda tx: tx.events.first_since(begun)) is None
        for _ in range(2):
            _append(store, an_event(), an_event())
            time.sleep(0.002)
        one, two, three, four = store.read(lambda tx: tx.events.after(0))
        assert one.at == two.at < three.at == four.at

        def first_since(moment: datetime) -> int | None:
            return store.read(lambda tx: tx.events.first_since(moment))

        assert first_since(begun - timedelta(days=1)) == first_since(one.at) == one.id
        assert first_since(one.at + timedelta(microseconds=1)) == first_since(three.at) == three.id
        assert first_since(four.at + timedelta(microseconds=1)) is None

    def test_a_cursor_never_goes_back(self, store: Store) -> None:
        assert store.read(lambda tx: tx.events.cursor("scheduler")) == 0
        moves = [store.write(lambda tx, to=to: tx.events.advance("scheduler", to)) for to in (5, 3, 9, 9)]  # type: ignore[misc]
        assert moves == [5, 5, 9, 9]
        assert store.read(lambda tx: tx.events.cursor("scheduler")) == 9
        assert store.read(lambda tx: tx.events.cursor("other")) == 0

    def test_a_reader_with_a_cursor_misses_nothing(self, store: Store) -> None:
        writers, each = 8, 40
        done = threading.Event()

        def write(writer: int) -> None:
            for number in range(each):
                event = an_event(data={"writer": writer, "number": number})

                def work(tx: Transaction, event: NewEvent = event, number: int = number) -> None:
                    tx.events.append(event)
                    if number % 7 == 0:
                        time.sleep(0.003)  # a commit that takes longer than those of others
                    if number % 5 == 0:
                        tx.events.append(an_event(data={"writer": writer, "number": -1 - number}))

                store.write(work)

        def read() -> list[Event]:
            seen: list[Event] = []
            while True:
                last_look = done.wait(0.001)  # or it takes the processor from the writers
                cursor = seen[-1].id if seen else 0
                page = store.read(partial(_page, cursor=cursor))
                seen += page
                if last_look and not page:
                    return seen

        with ThreadPoolExecutor(writers + 1) as pool:
            reader = pool.submit(read)
            for future in [pool.submit(write, writer) for writer in range(writers)]:
                future.result()
            done.set()
            seen = reader.result()
        ids = [event.id for event in seen]
        assert ids == sorted(set(ids))
        assert len(seen) == writers * (each + each // 5)
        assert seen == store.read(lambda tx: tx.events.after(0, limit=10_000))

    def test_a_listener_that_fails_disturbs_nobody(self, store: Store, caplog: pytest.LogCaptureFixture) -> None:
        told = threading.Event()

        def fail(_: Sequence[Event]) -> None:
            raise ZeroDivisionError

        store.subscribe(fail)
        store.subscribe(lambda events: told.set() if events else None)
        _append(store, an_event())
        assert told.wait(5)
        _append(store, an_event())
        assert len(store.read(lambda tx: tx.events.after(0))) == 2
        assert "a listener failed" in caplog.text

    def test_listeners_hear_of_commits_that_brought_events(self, store: Store) -> None:
        heard: list[Event] = []
        told = threading.Event()

        def listener(events: Sequence[Event]) -> None:
            heard.extend(events)
            if events:
                told.set()

        end = store.subscribe(listener)
        event = an_event()
        _append(store, event)
        assert told.wait(5)
        assert [each.subject for each in heard] == [event.subject]
        assert heard == store.read(lambda tx: tx.events.after(0))
        store.write(lambda tx: tx.put_setting("quiet", 1))
        end()
        _append(store, an_event())
        assert len(heard) == 1
