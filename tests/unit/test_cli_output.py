from __future__ import annotations

import logging
import math
import socket
from datetime import UTC, datetime, timedelta

import click
import pytest
from click.testing import CliRunner

from orchestrator.cli.daemon_log import log_to_stderr
from orchestrator.cli.options import split_assignment
from orchestrator.cli.output import ago, expiry, print_fields, size, when
from orchestrator.cli.progress import progress
from orchestrator.cli.server import for_others
from orchestrator.cli.table import fit, print_list
from orchestrator.cli.task_metrics import sparkline


def printed(command: object) -> str:
    return CliRunner().invoke(click.command()(command)).stdout


def test_columns_are_aligned_and_nothing_is_cut() -> None:
    items = [{"id": "a", "tags": ["x", "y"]}, {"id": "b" * 300, "tags": []}]

    def show() -> None:
        print_list(items, as_json=False, headings=("ID", "TAGS"), row=lambda item: (item["id"], item["tags"]))

    lines = printed(show).splitlines()
    assert [line.index("TAGS" if number == 0 else "x, y") for number, line in enumerate(lines[:2])] == [302, 302]
    assert lines[2].rstrip() == "b" * 300


def test_a_narrow_terminal_shows_one_line_a_row_and_ids_that_are_unique() -> None:
    ids = [f"019f00000000700{digit}{'a' * 16}" for digit in (0, 0, 1)]
    ids[1] = ids[1][:20] + "b" * 12
    lines = [["ID", "TASK", "TYPE", "STATUS"], *([one, "project/" + "n" * 90, "training", "queued"] for one in ids)]
    shown = fit(lines, expendable=("TYPE",), width=80)
    assert shown[0] == ["ID", "TASK", "STATUS"]
    assert [line[0] for line in shown[1:]] == [one[:21] for one in ids]
    assert all(len("  ".join(line)) <= 80 for line in shown)
    assert shown[1][1].endswith("n…")


def test_a_wide_terminal_shows_every_column_and_cuts_nothing() -> None:
    lines = [["ID", "TASK", "TYPE"], ["a" * 32, "project/name", "training"], ["", "other", ""]]
    assert fit(lines, expendable=("TYPE",), width=80) == [lines[0], ["a" * 13, *lines[1][1:]], lines[2]]


def test_a_server_that_listens_everywhere_is_called_by_a_name_that_others_can_use() -> None:
    assert for_others("http://127.0.0.1:8420") == "http://127.0.0.1:8420"
    for url in ("http://0.0.0.0:8420", "http://[::]:8420"):
        assert for_others(url).startswith(f"http://{socket.gethostname()}:8420 ")


def test_a_list_says_when_there_is_more() -> None:
    asked = []

    def items() -> object:
        for number in range(1000):
            asked.append(number)
            yield {"id": number}

    def show() -> None:
        print_list(items(), as_json=False, headings=("ID",), row=lambda item: (item["id"],), limit=3)

    result = CliRunner().invoke(click.command()(show))
    assert result.stdout.split() == ["ID", "0", "1", "2"]
    assert "--limit" in result.stderr
    assert len(asked) == 4


def test_json_shows_all_where_no_limit_is_given() -> None:
    def show() -> None:
        print_list(({"id": n} for n in range(60)), as_json=True, headings=("ID",), row=lambda item: (item["id"],))

    assert printed(show).count('"id"') == 60


def test_fields_without_a_value_are_left_out() -> None:
    def show() -> None:
        print_fields([("name", "x"), ("queue", None), ("tags", []), ("attempt", 2)])

    assert printed(show) == "name     x\nattempt  2\n"


def test_control_characters_of_others_do_not_reach_the_terminal() -> None:
    def show() -> None:
        print_fields([("value", "a\x1b[2Jb\nc"), ("tags", ["\x9b1m"])])

    assert printed(show) == "value  a\\x1b[2Jb\\nc\ntags   \\x9b1m\n"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 << 20, "5.0 MiB"), (3 << 40, "3.0 TiB")]
)
def test_sizes_are_told_in_the_unit_that_fits(count: int, text: str) -> None:
    assert size(count) == text


def test_times_are_told_as_people_do() -> None:
    now = datetime.now(UTC)
    assert ago((now - timedelta(seconds=30)).isoformat()) == "30 s ago"
    assert ago((now - timedelta(hours=5)).isoformat()) == "5 h ago"
    assert ago((now + timedelta(hours=1)).isoformat()) == "0 s ago"
    assert ago(None) == when(None) == ""
    assert expiry(None) == "never"
    assert expiry((now + timedelta(days=3, hours=1)).isoformat()) == "in 3 d"
    assert expiry((now - timedelta(days=3)).isoformat()) == "3 d ago"
    assert when("2026-01-02T03:04:05Z").startswith("2026-01-0")


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ([], ""),
        ([1.0, 1.0], "▁▁"),
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"),
        ([0.0, math.nan, 1.0], "▁ █"),
        ([math.inf, math.nan], ""),
    ],
)
def test_a_course_is_drawn_as_bars(values: list[float], drawn: str) -> None:
    assert sparkline(values) == drawn


def test_a_long_course_is_drawn_in_few_cells() -> None:
    assert sparkline([float(n) for n in range(10_000)], cells=8) == "▁▂▃▄▅▆▇█"


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("General/TREES=80", ("General/TREES", "80")),
        ("Args/x=a=b", ("Args/x", "a=b")),
        ("Args/x=", ("Args/x", "")),
        ("Args/a/b=$(id)", ("Args/a/b", "$(id)")),
    ],
)
def test_an_assignment_is_split_at_its_first_equals_sign(text: str, pair: tuple[str, str]) -> None:
    assert split_assignment(text) == pair


@pytest.mark.parametrize("text", ["TREES=80", "General/TREES", "", "/=", "=x"])
def test_what_is_no_assignment_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(click.BadParameter, match="General/TREES=80"):
        split_assignment(text)


def test_progress_is_plain_lines_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with progress("sending") as show:
        show(1, 10, 0)
        monkeypatch.setattr("orchestrator.cli.progress.LINE_SECONDS", 0.0)
        monkeypatch.setattr("orchestrator.cli.progress._rate", lambda count, **_: count / 2)
        show(1024, 2048, 0)
        show(1024, 0, 3000)
    assert capsys.readouterr().err == (
        "sending: 1.0 KiB of 2.0 KiB (512 B/s)\nsending: 1.0 KiB (512 B/s), 3,000 files (1,500/s)\n"
    )


def test_a_daemon_logs_a_line_an_event_with_what_it_was_about(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(logging.root, "level", logging.WARNING)
    log_to_stderr()
    logging.getLogger("triggers").info(
        "task claimed", extra={"action": "task_claimed", "task_id": "abc", "slot": None, "color_message": "\x1b[1mtask"}
    )
    line = capsys.readouterr().err
    assert line.endswith("+00:00 INFO triggers task claimed action=task_claimed task_id=abc\n")
