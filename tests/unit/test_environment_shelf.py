from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from agent.environment.holds import alone, alone_if_free, share
from agent.environment.memory import Memory
from agent.environment.shelf import COMPLETE, Shelf

if TYPE_CHECKING:
    from pathlib import Path

KEYS = ("aaaa", "bbbb", "cccc")


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "root")


def put(shelf: Shelf, key: str, *, size: int = 1000, used: int = 0) -> None:
    with alone(shelf.lock(key)), shelf.slot(key) as building:
        (building / "lib/package").mkdir(parents=True)
        (building / "lib/package/module.py").write_bytes(b"x" * size)
        shelf.publish(building, key=key)
    os.utime(shelf.lock(key), ns=(used, used))


def standing(shelf: Shelf) -> set[str]:
    return {path.name for path in shelf.ready.iterdir()}


def test_what_is_published_is_whole_and_knows_its_size(shelf: Shelf) -> None:
    put(shelf, "aaaa", size=1234)
    assert shelf.has("aaaa")
    assert json.loads((shelf.ready / "aaaa" / COMPLETE).read_text()) == {"size_bytes": 1234}
    assert not list(shelf.building.iterdir())


def test_directories_are_not_writable(shelf: Shelf) -> None:
    put(shelf, "aaaa")
    assert (shelf.ready / "aaaa/lib/package").stat().st_mode & 0o222 == 0


def test_a_build_that_fails_leaves_nothing(shelf: Shelf) -> None:
    def fail() -> None:
        with shelf.slot("aaaa") as building:
            building.mkdir()
            (building / "half").touch()
            raise RuntimeError("the build failed")

    with pytest.raises(RuntimeError, match="the build failed"):
        fail()
    assert not shelf.has("aaaa")
    assert not list(shelf.building.iterdir())
    assert not list(shelf.trash.iterdir())


def test_a_directory_without_its_mark_is_no_environment_and_is_replaced(shelf: Shelf) -> None:
    (shelf.ready / "aaaa/lib").mkdir(parents=True)
    (shelf.ready / "aaaa/lib/stale").touch()
    assert not shelf.has("aaaa")
    put(shelf, "aaaa")
    assert shelf.has("aaaa")
    assert not (shelf.ready / "aaaa/lib/stale").exists()


def test_the_longest_unused_go_first_and_only_as_many_as_needed(shelf: Shelf) -> None:
    for number, key in enumerate(KEYS):
        put(shelf, key, used=number + 1)
    assert shelf.evict(limit_bytes=2500) == 1000
    assert standing(shelf) == {"bbbb", "cccc"}
    assert shelf.evict(limit_bytes=2500) == 0


def test_using_an_environment_keeps_it_longer(shelf: Shelf) -> None:
    for number, key in enumerate(KEYS):
        put(shelf, key, used=number + 1)
    share(shelf.lock("aaaa")).release()
    shelf.evict(limit_bytes=1000)
    assert standing(shelf) == {"aaaa"}


def test_what_is_held_is_never_evicted(shelf: Shelf) -> None:
    for key in KEYS:
        put(shelf, key)
    with share(shelf.lock("aaaa")), share(shelf.lock("aaaa")):
        assert shelf.evict(limit_bytes=0) == 2000
        assert standing(shelf) == {"aaaa"}
    shelf.evict(limit_bytes=0)
    assert standing(shelf) == set()


def test_what_is_in_use_is_not_evicted_though_nobody_holds_it(shelf: Shelf) -> None:
    for key in KEYS:
        put(shelf, key)
    assert shelf.evict(limit_bytes=0, in_use=lambda: {"aaaa"}) == 2000
    assert standing(shelf) == {"aaaa"}


def test_a_process_that_inherited_the_hold_keeps_the_environment(shelf: Shelf) -> None:
    put(shelf, "aaaa")
    hold = share(shelf.lock("aaaa"))
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], pass_fds=(hold.fileno(),)) as process:
        hold.release()
        shelf.evict(limit_bytes=0)
        assert shelf.has("aaaa")
        process.send_signal(signal.SIGKILL)
        process.wait()
    shelf.evict(limit_bytes=0)
    assert not shelf.has("aaaa")


def test_a_released_hold_has_no_descriptor(shelf: Shelf) -> None:
    hold = share(shelf.lock("aaaa"))
    hold.release()
    hold.release()
    with pytest.raises(ValueError, match="released"):
        hold.fileno()


def test_leftovers_of_killed_processes_are_cleared_but_no_running_build(shelf: Shelf) -> None:
    (shelf.building / "aaaa.00").mkdir()
    (shelf.building / "bbbb.00").mkdir()
    (shelf.trash / "old").mkdir()
    (shelf.trash / "old/file").touch()
    with alone(shelf.lock("bbbb")):
        shelf.evict(limit_bytes=10**9)
    assert [path.name for path in shelf.building.iterdir()] == ["bbbb.00"]
    assert not list(shelf.trash.iterdir())


def test_whoever_waits_is_told(shelf: Shelf) -> None:
    told: list[str] = []
    path = shelf.lock("aaaa")
    with alone(path), alone_if_free(path) as locked:
        assert not locked
    with alone(path, waiting=lambda: told.append("never")):
        pass
    assert told == []


def test_memory_is_written_whole_and_replaced(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "memory")
    assert memory.recall("lock") is None
    memory.keep("lock", content=b"one")
    memory.keep("lock", content=b"two")
    assert memory.recall("lock") == b"two"
    assert [path.name for path in (tmp_path / "memory").iterdir()] == ["lock"]
