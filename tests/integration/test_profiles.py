"""The process that profiles files: it may crash, hang, idle, and loses at most the file in its hands."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.cli.demo.room import simulate_days
from orchestrator.profiles import ProfilerProcess, available
from orchestrator.records.drift import compare_profiles

if TYPE_CHECKING:
    from orchestrator.records.profile import FileProfile


@pytest.fixture
def days(tmp_path: Path) -> list[Path]:
    """Six days of a room, one CSV file each."""
    files = []
    for name, data in simulate_days(6).items():
        file = tmp_path / name
        file.write_bytes(data)
        files.append(file)
    return files


def ask(profiler: ProfilerProcess, file: Path) -> FileProfile:
    return profiler.profile(file, name=file.name, size_bytes=file.stat().st_size)


def kill_while_it_reads(profiler: ProfilerProcess) -> threading.Thread:
    def kill() -> None:
        while profiler.pid is None:
            time.sleep(0.01)
        time.sleep(0.2)
        os.kill(profiler.pid or 0, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def test_what_reads_strangers_files_has_no_keys_and_bounded_memory(
    days: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRAIN_DATABASE_URL", "postgresql://u:hush@db/x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    with ProfilerProcess() as profiler:
        assert ask(profiler, days[0]).error is None
        process = Path(f"/proc/{profiler.pid}")
        environ = (process / "environ").read_bytes()
        limits = dict(re.findall(r"^(Max [a-z ]+?) {2,}(\d+)", (process / "limits").read_text(), re.MULTILINE))
    assert b"hush" not in environ
    assert b"DATABASE_URL" not in environ
    assert limits["Max address space"] == str(4 << 30)
    assert (limits["Max core file size"], limits["Max file size"]) == ("0", "0")


def test_versions_are_profiled_merged_and_compared(days: list[Path]) -> None:
    with ProfilerProcess() as profiler:
        profiles = [(file.name, ask(profiler, file)) for file in days]
        first, second = profiler.merge(profiles[:5]), profiler.merge(profiles)
        later = profiler.merge(profiles[5:], files=9)
    assert (second.files, second.profiled_files, second.tables[0].rows) == (6, 6, 6 * 1440)
    types = {column.name: column.type for column in second.tables[0].columns}
    assert types["date"] == "time"
    assert types["Occupancy"] == "integer"
    assert later.partial
    same = {column.name: column.verdict for column in compare_profiles(second, first).tables[0].columns}
    assert same["Temperature"] != "large"
    saturday = {column.name: column.verdict for column in compare_profiles(later, first).tables[0].columns}
    assert saturday["Occupancy"] == "large"  # nobody works at the weekend


def test_a_file_is_read_from_inside_a_larger_one(days: list[Path], tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    pack.write_bytes(b"".join(file.read_bytes() for file in days))
    with ProfilerProcess() as profiler:
        alone = ask(profiler, days[1])
        offset, size = days[0].stat().st_size, days[1].stat().st_size
        packed = profiler.profile(pack, name="day.csv", size_bytes=size, offset=offset)
        assert packed.table is not None
        assert alone.table is not None
        assert (packed.table.rows, packed.table.head) == (1440, alone.table.head)


def test_a_process_that_is_killed_loses_one_file_alone(days: list[Path], tmp_path: Path) -> None:
    slow = tmp_path / "slow.csv"
    slow.write_bytes(b"a,b\n" + b"1,2\n" * 10_000_000)
    with ProfilerProcess() as profiler:
        assert ask(profiler, days[0]).error is None
        killer = kill_while_it_reads(profiler)
        lost = ask(profiler, slow)
        assert (lost.error, lost.transient) == ("the process that read it ended by SIGKILL", True)
        killer.join()
        assert ask(profiler, days[1]).error is None


def test_a_file_that_takes_too_long_is_given_up(days: list[Path], tmp_path: Path) -> None:
    pipe = tmp_path / "endless.csv"
    os.mkfifo(pipe)  # to open it waits for a writer, as a parser in a loop would for nothing
    with ProfilerProcess(file_seconds=2) as profiler:
        assert profiler.profile(pipe, name="a.csv", size_bytes=10).error == "it took longer than 2 seconds to read"
        assert ask(profiler, days[0]).error is None


def test_a_file_that_is_gone_is_an_error_of_its_own(days: list[Path], tmp_path: Path) -> None:
    with ProfilerProcess() as profiler:
        gone = profiler.profile(tmp_path / "gone.csv", name="gone.csv", size_bytes=10)
        assert "No such file" in (gone.error or "")
        before = profiler.pid
        assert ask(profiler, days[0]).error is None
        assert profiler.pid == before


def test_an_idle_process_ends_and_the_next_request_starts_another(days: list[Path]) -> None:
    with ProfilerProcess(idle_seconds=1) as profiler:
        assert ask(profiler, days[0]).error is None
        first = profiler.pid
        time.sleep(1.5)
        assert first is not None
        assert os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT) is not None
        assert ask(profiler, days[0]).error is None
        assert profiler.pid != first


def test_the_process_ends_with_whoever_asked(days: list[Path]) -> None:
    with ProfilerProcess() as profiler:
        ask(profiler, days[0])
        pid = profiler.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid or 0, 0)


def test_thousands_of_files_are_merged(days: list[Path]) -> None:
    with ProfilerProcess() as profiler:
        profile = ask(profiler, days[0])
        merged = profiler.merge((f"{place}.csv", profile) for place in range(1000))
    assert (merged.files, merged.tables[0].rows) == (1000, 1_440_000)


def test_the_server_needs_none_of_the_parts() -> None:
    code = (
        "import sys\n"
        "import orchestrator.profiles, orchestrator.records.drift, orchestrator.cli.dataset_preview\n"
        "parts = {'pyarrow', 'numpy', 'PIL', 'datasketches', 'tinytag'} & set(sys.modules)\n"
        "assert not parts, parts\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_missing_is_named_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert available() is None
    monkeypatch.setattr("orchestrator.profiles.client._PARTS", ("a_part_that_nobody_has",))
    assert available() == "pip install 'retrain-orchestrator[previews]'"
