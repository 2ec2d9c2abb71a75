from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.spool import Spool, Write
from orchestrator.errors import NoSpace

if TYPE_CHECKING:
    from pathlib import Path


def write(number: int) -> Write:
    return Write(method="POST", path=f"/{number}", headers={"Content-Type": "application/json"}, body=bytes([number]))


def drain(spool: Spool) -> list[Write]:
    found = []
    while (first := spool.first()) is not None:
        found.append(first)
        spool.delivered()
    return found


def test_writes_come_out_in_the_order_in_which_they_went_in(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    for number in range(5):
        spool.append(write(number))
    assert drain(spool) == [write(number) for number in range(5)]
    assert spool.empty


def test_the_next_process_goes_on_where_the_last_one_was(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    for number in range(3):
        spool.append(write(number))
    spool.delivered()
    again = Spool(tmp_path / "spool")
    again.append(write(3))
    assert drain(again) == [write(1), write(2), write(3)]
    assert Spool(tmp_path / "spool").empty


@pytest.mark.parametrize("cut", [1, 3, 20])
def test_an_entry_that_was_cut_off_is_as_if_it_never_was(tmp_path: Path, cut: int) -> None:
    spool = Spool(tmp_path / "spool")
    spool.append(write(1))
    whole = (tmp_path / "spool" / "entries-0").read_bytes()
    (tmp_path / "spool" / "entries-0").write_bytes(whole + whole[:cut])
    again = Spool(tmp_path / "spool")
    again.append(write(2))
    assert drain(again) == [write(1), write(2)]


def test_what_was_delivered_makes_room_on_the_disk(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.append(write(1))
    spool.delivered()
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_full_spool_says_so_and_keeps_what_it_has(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", limit_bytes=250)
    spool.append(write(1))
    spool.append(write(2))
    with pytest.raises(NoSpace):
        spool.append(write(3))
    assert drain(spool) == [write(1), write(2)]


def test_a_spool_that_never_runs_empty_takes_no_more_disk_than_what_waits(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", file_bytes=500)
    spool.append(write(0))
    most = 0
    for number in range(1, 200):
        spool.append(write(number))
        assert spool.first() == write(number - 1)
        spool.delivered()
        most = max(most, sum(path.stat().st_size for path in (tmp_path / "spool").iterdir()))
    assert most < 1500
    again = Spool(tmp_path / "spool", file_bytes=500)
    assert drain(again) == [write(199)]
    assert list((tmp_path / "spool").iterdir()) == []


def test_the_next_process_goes_on_in_the_midst_of_many_files(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", file_bytes=200)
    for number in range(20):
        spool.append(write(number))
    for _ in range(7):
        spool.delivered()
    (tmp_path / "spool" / "entries-0").write_bytes(b"of a process that was killed before it removed this")
    again = Spool(tmp_path / "spool", file_bytes=200)
    again.append(write(20))
    assert drain(again) == [write(number) for number in range(7, 21)]
    assert list((tmp_path / "spool").iterdir()) == []
