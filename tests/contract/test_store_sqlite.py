"""What the embedded database promises beyond the contract."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest
from blake3 import blake3
from sqlalchemy import event, make_url

from orchestrator.errors import DigestMismatch, InvalidRequest, NoSpace, Unavailable
from orchestrator.store.sql import open_store
from orchestrator.store.sql.sqlite import SqliteStore
from orchestrator.store.testing.records import a_task, an_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from sqlite3 import Cursor

    from orchestrator.store.protocol import Transaction

_WRITING = """
import itertools, sys, threading
from orchestrator.store.sql import open_store
from orchestrator.store.testing.records import an_event

store = open_store(sys.argv[1])
lock = threading.Lock()

def write(writer):
    for number in itertools.count():
        key = f"{writer}-{number}"
        store.write(lambda tx: tx.events.append(an_event(data={"key": key})))
        with lock:
            print(key, flush=True)

for writer in range(4):
    threading.Thread(target=write, args=(writer,), daemon=True).start()
threading.Event().wait()
"""


def test_a_killed_process_loses_nothing_that_it_acknowledged(sqlite_url: str) -> None:
    with subprocess.Popen([sys.executable, "-c", _WRITING, sqlite_url], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        acknowledged = [process.stdout.readline().strip() for _ in range(200)]
        process.send_signal(signal.SIGKILL)
        acknowledged += process.stdout.read().split("\n")[:-1]
    with closing(open_store(sqlite_url)) as store:
        stored = [event.data["key"] for event in store.read(lambda tx: tx.events.after(0, limit=1_000_000))]
    assert set(acknowledged) <= set(stored)
    assert len(stored) == len(set(stored))


def test_writes_that_wait_together_share_a_commit(sqlite_url: str) -> None:
    told: list[int] = []
    begun, gate = threading.Event(), threading.Event()

    def block(_: Transaction) -> None:
        begun.set()
        assert gate.wait(30)

    with closing(open_store(sqlite_url)) as store:
        store.subscribe(lambda events: told.append(len(events)))
        blocked = threading.Thread(target=store.write, args=(block,))
        blocked.start()
        assert begun.wait(30)  # from here on nobody joins its group
        append = [
            threading.Thread(target=store.write, args=(lambda tx: tx.events.append(an_event()),)) for _ in range(20)
        ]
        for thread in append:
            thread.start()
        give_up = time.monotonic() + 30
        while store._writer._jobs.qsize() < 20:
            assert time.monotonic() < give_up, "the writes do not wait"
            time.sleep(0.01)
        gate.set()
        for thread in (blocked, *append):
            thread.join()
    assert sum(told) == 20
    assert len(told) <= 2


def test_a_unit_of_work_cannot_wait_for_another(sqlite_url: str) -> None:
    with closing(open_store(sqlite_url)) as store:
        with pytest.raises(RuntimeError, match="another"):
            store.write(lambda _: store.write(lambda tx: tx.now()))
        store.write(lambda tx: tx.now())


def test_a_reader_cannot_write(sqlite_url: str) -> None:
    with closing(open_store(sqlite_url)) as store:
        with pytest.raises(Exception, match="readonly"):
            store.read(lambda tx: tx.tasks.add(a_task()))
        assert store.read(lambda tx: tx.tasks.find()) == []


def test_a_full_disk_is_named_and_the_store_goes_on(sqlite_url: str) -> None:
    with closing(open_store(sqlite_url)) as store:
        connection = store._writer._connection
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")
        connection.rollback()

        def fill(tx: Transaction) -> None:
            tx.tasks.add(a_task(comment="x" * 1_000_000))

        with pytest.raises(NoSpace, match="full"):
            store.write(fill)
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
        connection.rollback()
        store.write(fill)
        assert len(store.read(lambda tx: tx.tasks.find())) == 1


def test_nobody_else_may_look_into_the_database(tmp_path: Path) -> None:
    path = tmp_path / "home" / "deep" / "database.sqlite"
    with closing(open_store(f"sqlite:///{path}")) as store:
        store.write(lambda tx: tx.tasks.add(a_task()))
        modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_closed_store_says_so(sqlite_url: str) -> None:
    store = open_store(sqlite_url)
    store.close()
    store.close()
    with pytest.raises(Unavailable, match="closed"):
        store.write(lambda tx: tx.now())


@pytest.mark.parametrize(
    "url", ["mysql://host/database", "sqlite://", "sqlite:///:memory:", "what is this", "oracle://x"]
)
def test_a_url_that_names_no_usable_database_is_refused_with_examples(url: str) -> None:
    with pytest.raises(InvalidRequest, match=r"sqlite:////.*postgresql://"):
        open_store(url)


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("no directory")
    with pytest.raises(Unavailable, match=r"file/database\.sqlite"):
        open_store(f"sqlite:///{file}/database.sqlite")


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "database.sqlite"
    path.write_bytes(b"this is no database at all, but long enough to have a header" * 100)
    with pytest.raises(Unavailable, match=r"database\.sqlite"):
        open_store(f"sqlite:///{path}")


def test_a_damaged_block_is_named(sqlite_url: str) -> None:
    with closing(SqliteStore(make_url(sqlite_url))) as store:
        blocks = {blake3(data).digest(): data for data in (b"one", b"two")}
        store.write(lambda tx: tx.datasets.save_blocks(blocks))
        digests = list(blocks)
        connection = store._writer._connection
        connection.exec_driver_sql("UPDATE manifest_blocks SET data = x'00' WHERE digest = ?", (digests[1],))
        connection.commit()
        with pytest.raises(DigestMismatch, match=digests[1].hex()):
            store.read(lambda tx: tx.datasets.blocks(digests))
        assert store.read(lambda tx: tx.datasets.blocks(digests[:1])) == [b"one"]


@contextmanager
def _plans(store: SqliteStore) -> Iterator[list[str]]:
    """Collect how SQLite carries out what is read."""
    plan: list[str] = []

    @event.listens_for(store._readers, "before_cursor_execute")
    def explain(_: object, cursor: Cursor, statement: str, parameters: tuple[object, ...], *_rest: object) -> None:
        plan.extend(row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))

    yield plan


def test_what_a_trigger_has_at_work_is_counted_without_looking_at_every_firing(sqlite_url: str) -> None:
    with closing(SqliteStore(make_url(sqlite_url))) as store, _plans(store) as plan:
        store.read(lambda tx: tx.firings.at_work("0" * 32))
    assert any("SEARCH tasks USING INDEX ix_tasks_status" in step for step in plan), plan
    looked_at = [step for step in plan if "firings" in step]
    assert all("SEARCH firings USING" in step for step in looked_at), plan
    assert not any(step.endswith("(trigger_id=?)") for step in looked_at), plan  # alone it leads to all that ever were


@pytest.mark.parametrize(
    "work",
    [
        lambda tx: tx.blobs.places([b"1", b"2"]),
        lambda tx: tx.blobs.missing([b"1", b"2"]),
        lambda tx: tx.blobs.page(after=b"1", limit=9),
        lambda tx: tx.blobs.in_object(1),
        lambda tx: tx.blobs.object_paths("default", ["a", "b"]),
        lambda tx: tx.datasets.children(["a", "b"]),
        lambda tx: tx.datasets.file_profiles([b"1", b"2"]),
        lambda tx: tx.datasets.newest(project="p", name="n", states=["final"]),
    ],
    ids=["places", "missing", "page", "in_object", "object_paths", "children", "file_profiles", "newest"],
)
def test_large_tables_are_searched_and_never_read_whole(sqlite_url: str, work: Callable[[Transaction], object]) -> None:
    with closing(SqliteStore(make_url(sqlite_url))) as store, _plans(store) as plan:
        store.read(work)
    assert any(step.startswith("SEARCH") for step in plan), plan
    assert not any(step.startswith("SCAN") and "VIRTUAL TABLE" not in step for step in plan), plan
