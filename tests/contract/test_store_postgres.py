"""What PostgreSQL promises beyond the contract."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import psycopg
import pytest

from orchestrator.api.hub import Hub
from orchestrator.errors import Conflict, InvalidRequest, Unavailable
from orchestrator.services.reconcile import begin_sweep
from orchestrator.settings import Settings
from orchestrator.store.protocol import object_lock
from orchestrator.store.sql import open_store
from orchestrator.store.testing.records import a_pack, a_task, a_version, an_entry, an_event, blob, filled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from orchestrator.records.event import Event
    from orchestrator.store.protocol import Store, Transaction

pytestmark = pytest.mark.postgres


@pytest.fixture
def stores(postgres_url: str) -> Iterator[tuple[Store, Store]]:
    """Two stores on one database, as two API processes have."""
    with closing(open_store(postgres_url)) as one, closing(open_store(postgres_url)) as other:
        yield one, other


def _break_connections(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )


def test_another_processs_commit_wakes_listeners_at_once(stores: tuple[Store, Store]) -> None:
    one, other = stores
    told: list[Sequence[Event]] = []
    woken = threading.Event()

    def listener(events: Sequence[Event]) -> None:
        told.append(events)
        woken.set()

    other.subscribe(listener)
    assert woken.wait(5)  # it listens from here on
    woken.clear()
    one.write(lambda tx: tx.events.append(an_event()))
    assert woken.wait(5)
    assert told == [(), ()]


def test_a_listener_whose_connection_broke_is_told_again(postgres_url: str, stores: tuple[Store, Store]) -> None:
    one, other = stores
    woken = threading.Event()
    other.subscribe(lambda _: woken.set())
    assert woken.wait(5)
    woken.clear()
    _break_connections(postgres_url)
    assert woken.wait(5)
    woken.clear()
    one.write(lambda tx: tx.events.append(an_event()))
    assert woken.wait(5)


def test_a_duty_is_had_by_one_process_at_a_time(stores: tuple[Store, Store]) -> None:
    one, other = stores

    def work(tx: Transaction) -> tuple[bool, bool]:
        return tx.claim_duty("sweep"), other.write(lambda theirs: theirs.claim_duty("sweep"))

    assert one.write(work) == (True, False)
    assert other.write(lambda tx: tx.claim_duty("sweep"))


def test_of_two_servers_one_sweeps_in_a_period(stores: tuple[Store, Store], tmp_path: Path) -> None:
    one, other = stores
    sweep = partial(begin_sweep, settings=Settings(home=tmp_path))
    assert one.write(lambda tx: (tx.claim_duty("reconcile"), other.write(sweep))) == (True, False)
    assert one.write(sweep)
    assert not other.write(sweep)
    one.write(lambda tx: tx.put_setting("last_sweep_at", (tx.now() - timedelta(seconds=5)).isoformat()))
    assert other.write(sweep)
    assert not one.write(sweep)


def test_whoever_waits_is_woken_by_what_another_process_commits(stores: tuple[Store, Store]) -> None:
    one, other = stores
    hub = Hub(other)

    async def wait() -> bool:
        with hub.waiting(subject="whatever") as waiter:
            while await waiter.wait(0.3):  # it is told once when it begins to listen
                pass
            one.write(lambda tx: tx.events.append(an_event()))
            return await waiter.wait(5)

    assert asyncio.run(wait())
    hub.close()


def test_broken_connections_are_replaced_without_a_word(postgres_url: str, stores: tuple[Store, Store]) -> None:
    one, _ = stores
    task = a_task()
    one.write(lambda tx: tx.tasks.add(task))
    _break_connections(postgres_url)
    assert one.read(lambda tx: tx.tasks.get(task.id)) == task
    _break_connections(postgres_url)
    one.write(lambda tx: tx.tasks.add(a_task()))
    assert len(one.read(lambda tx: tx.tasks.find())) == 2


def test_transactions_that_wait_for_each_other_in_a_ring_both_succeed(stores: tuple[Store, Store]) -> None:
    one, _ = stores
    first, second = a_task(), a_task()
    one.write(lambda tx: [tx.tasks.add(task) for task in (first, second)])
    both_hold_one = threading.Barrier(2, timeout=5)
    tries: list[int] = []

    def take(order: tuple[str, str]) -> None:
        def work(tx: Transaction) -> None:
            tries.append(1)
            tx.tasks.get(order[0], lock=True)
            if len(tries) <= 2:
                both_hold_one.wait()
            tx.tasks.get(order[1], lock=True)

        one.write(work)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(take, [(first.id, second.id), (second.id, first.id)]))
    assert len(tries) > 2


def test_blocks_are_not_swept_under_a_unit_that_takes_them_over(stores: tuple[Store, Store]) -> None:
    one, other = stores
    parent, child = a_version(), a_version()
    one.write(lambda tx: [tx.datasets.add(version) for version in (parent, child)])
    manifest = one.write(lambda tx: filled(tx, parent, an_entry("a"), an_entry("b")))
    one.write(lambda tx: tx.datasets.drop_manifest(parent.id))
    sweeping = threading.Event()

    def sweep() -> int:
        sweeping.set()
        return other.write(lambda tx: tx.datasets.sweep_blocks(kept=set()))

    def take_over(tx: Transaction) -> Future[int]:
        tx.datasets.put_manifest(child.id, manifest)
        swept = pool.submit(sweep)
        assert sweeping.wait(5)
        with pytest.raises(TimeoutError):
            swept.result(0.3)  # it waits for this unit's end
        return swept

    with ThreadPoolExecutor(1) as pool:
        assert one.write(take_over).result(5) == 0
        entries = one.read(lambda tx: list(manifest.entries(load=tx.datasets.blocks)))
        assert entries == [an_entry("a"), an_entry("b")]
        one.write(lambda tx: tx.datasets.drop_manifest(child.id))
        assert other.write(lambda tx: tx.datasets.sweep_blocks(kept=set())) == 1
    with pytest.raises(Conflict, match="gone"):
        one.write(lambda tx: tx.datasets.put_manifest(child.id, manifest))


def test_a_blob_that_is_being_stored_again_is_not_removed(stores: tuple[Store, Store]) -> None:
    one, other = stores
    stored, placed = a_pack("packs/1", 1, 2)
    again, in_it = a_pack("packs/2", 1)
    one.write(lambda tx: tx.blobs.add_object(stored, blobs=placed))
    now = one.write(lambda tx: (tx.blobs.condemn([blob(1)], at=tx.now()), tx.now())[1])
    removing = threading.Event()

    def remove() -> list[bytes]:
        removing.set()
        return other.write(lambda tx: tx.blobs.remove_condemned([blob(1), blob(2)], before=now + timedelta(hours=1)))

    def add(tx: Transaction) -> Future[list[bytes]]:
        tx.blobs.add_object(again, blobs=in_it)
        removed = pool.submit(remove)
        assert removing.wait(5)
        with pytest.raises(TimeoutError):
            removed.result(0.3)
        return removed

    with ThreadPoolExecutor(1) as pool:
        assert one.write(add).result(5) == []


def test_a_blob_that_is_being_put_into_a_draft_is_neither_condemned_nor_removed(stores: tuple[Store, Store]) -> None:
    one, other = stores
    stored, placed = a_pack("packs/1", 1)
    one.write(lambda tx: tx.blobs.add_object(stored, blobs=placed))
    condemning = threading.Event()

    def condemn() -> list[bytes]:
        condemning.set()
        other.write(lambda tx: tx.blobs.condemn([blob(1)], at=tx.now()))
        return other.write(lambda tx: tx.blobs.remove_condemned([blob(1)], before=tx.now() + timedelta(hours=1)))

    def rely(tx: Transaction) -> Future[list[bytes]]:
        tx.blobs.revive([blob(1)])
        assert tx.blobs.missing([blob(1)]) == []
        removed = pool.submit(condemn)
        assert condemning.wait(5)
        with pytest.raises(TimeoutError):
            removed.result(0.3)  # it waits for this unit's end; by the next mark the draft names it
        return removed

    with ThreadPoolExecutor(1) as pool:
        assert one.write(rely).result(5) == [blob(1)]


def test_what_one_process_holds_another_waits_for_or_does_without(stores: tuple[Store, Store]) -> None:
    one, other = stores
    with one.hold("collect", wait=False) as alone, other.hold("collect", wait=False) as second:
        assert (alone, second) == (True, False)
    with other.hold("collect", wait=False) as free:
        assert free


def test_what_was_held_when_the_connection_broke_can_be_held_again(
    postgres_url: str, stores: tuple[Store, Store]
) -> None:
    one, other = stores
    with one.hold("collect"):
        _break_connections(postgres_url)
    with other.hold("collect", wait=False) as held:
        assert held
    with one.hold("collect", wait=False) as held:
        assert held


def test_an_object_is_not_recorded_while_another_process_decides_whether_to_delete_it(
    stores: tuple[Store, Store],
) -> None:
    one, other = stores
    stored, placed = a_pack("packs/1", 1)
    with ThreadPoolExecutor(1) as pool:
        with one.hold(object_lock(stored.storage, stored.path)):
            added = pool.submit(other.write, lambda tx: tx.blobs.add_object(stored, blobs=placed))
            with pytest.raises(TimeoutError):
                added.result(0.3)
            assert one.read(lambda tx: tx.blobs.object_paths(stored.storage, [stored.path])) == set()
        assert added.result(5) == 1


def test_what_postgres_cannot_keep_is_refused(stores: tuple[Store, Store]) -> None:
    one, _ = stores
    with pytest.raises(InvalidRequest, match="NUL"):
        one.read(lambda tx: tx.tasks.find(name="a\0b"))
    with pytest.raises(InvalidRequest, match="maximum"):
        one.write(lambda tx: tx.events.advance("".join(map(chr, range(0x4E00, 0x6E00))), 1))


def test_a_server_that_is_not_there_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.store.sql.postgres._PATIENCE_SECONDS", 0)
    with pytest.raises(Unavailable, match=r"postgresql.*127\.0\.0\.1:1/retrain") as failure:
        open_store("postgresql://me:secret@127.0.0.1:1/retrain")
    assert "secret" not in str(failure.value)
