from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.sdk.backlog import Backlog, Message

if TYPE_CHECKING:
    from pathlib import Path


def message(number: int) -> Message:
    return Message(method="POST", path="/x", body={"number": number, "padding": "x" * 50})


def numbers(backlog: Backlog) -> list[int]:
    found = []
    while (head := backlog.head()) is not None:
        found.append(head.body["number"])
        backlog.remove_head()
    return found


def test_order_is_kept_across_memory_and_file(tmp_path: Path) -> None:
    backlog = Backlog(tmp_path / "backlog", memory_bytes=300)
    for number in range(50):
        backlog.put(message(number))
    assert (tmp_path / "backlog").stat().st_size > 1000
    assert numbers(backlog) == list(range(50))
    assert not backlog


@given(st.lists(st.integers(-4, 6), max_size=40))
def test_what_comes_out_is_what_went_in(steps: list[int]) -> None:
    import tempfile  # noqa: PLC0415  a folder an example
    from pathlib import Path  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        backlog = Backlog(Path(folder) / "backlog", memory_bytes=250)
        put, taken = 0, []
        for step in steps:
            for _ in range(step):
                backlog.put(message(put))
                put += 1
            for _ in range(-step):
                if (head := backlog.head()) is not None:
                    taken.append(head.body["number"])
                    backlog.remove_head()
        assert taken + numbers(backlog) == list(range(put))


def test_beyond_the_disks_limit_messages_are_dropped_and_counted(tmp_path: Path) -> None:
    backlog = Backlog(tmp_path / "backlog", memory_bytes=300, file_bytes=600)
    for number in range(50):
        backlog.put(message(number))
    kept = numbers(backlog)
    assert kept == list(range(len(kept)))
    assert backlog.dropped == 50 - len(kept) > 0


def test_a_disk_that_refuses_drops_instead_of_raising(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    backlog = Backlog(tmp_path / "file" / "backlog", memory_bytes=1)
    backlog.put(message(0))
    backlog.put(message(1))
    assert backlog.dropped == 1
    assert numbers(backlog) == [0]


def test_what_waits_is_saved_in_order(tmp_path: Path) -> None:
    backlog = Backlog(tmp_path / "backlog", memory_bytes=300)
    for number in range(10):
        backlog.put(message(number))
    backlog.head()
    backlog.remove_head()
    backlog.save()
    lines = (tmp_path / "backlog").read_text().splitlines()
    assert [json.loads(line)["body"]["number"] for line in lines] == list(range(1, 10))
