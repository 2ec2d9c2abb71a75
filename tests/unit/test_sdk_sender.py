"""The sender against a server that can be made to refuse; what real servers do is in tests/integration."""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.errors import (
    InvalidRequest,
    NoSpace,
    ServerFailed,
    ServerUnreachable,
    StaleAttempt,
    Unavailable,
)
from orchestrator.sdk import sender as sender_module
from orchestrator.sdk.backlog import Message
from orchestrator.sdk.logger import Logger, scatter_report
from orchestrator.sdk.running import Run
from orchestrator.sdk.sender import Sender

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from orchestrator.errors import OrchestratorError


class Server:
    """Stands in for the client of a server; `fails` is raised as long as it is set."""

    def __init__(self) -> None:
        self.fails: Exception | None = None
        self.sent: list[tuple[str, Any]] = []
        self.slow_seconds = 0.0
        self.spared = ""
        self.keys: list[str | None] = []

    def get(self, path: str) -> dict[str, str]:
        if isinstance(self.fails, ServerUnreachable):
            raise self.fails
        return {"id": path}

    def post(self, path: str, body: Any, *, repeatable: bool = False, key: str | None = None) -> None:  # noqa: ANN401  JSON
        assert repeatable is (key is None)
        self.keys.append(key)
        self.put(path, body)

    def post_file(self, path: str, file: Path, *, meter: Callable[[], Callable[[bytes], object]]) -> dict[str, Any]:
        content = file.read_bytes()
        meter()(content)
        self.put(path, content)
        return {"digest": content.decode(), "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    def put(self, path: str, body: Any) -> None:  # noqa: ANN401  JSON
        time.sleep(self.slow_seconds)
        if self.fails is not None and path != self.spared:
            raise self.fails
        self.sent.append((path, body))

    def put_bytes(self, path: str, data: bytes, *, offset: int) -> dict[str, int]:
        self.put(f"{path}@{offset}", data)
        return {"length": offset + len(data)}


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def sender(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sender]:
    monkeypatch.setattr(sender_module, "GATHER_SECONDS", 0.02)
    monkeypatch.setattr(sender_module, "FIRST_DELAY_SECONDS", 0.02)
    monkeypatch.setattr(sender_module, "LAST_DELAY_SECONDS", 0.05)
    sender = Sender(server, task_id="task", directory=tmp_path)  # type: ignore[arg-type]  as a client
    sender._delay_seconds = 0.02
    yield sender
    sender.close()


def message(number: int) -> Message:
    return Message(method="PUT", path="/x", body={"number": number})


def points(server: Server) -> list[dict[str, Any]]:
    return [each for path, body in server.sent if path.endswith("/series") for each in body["points"]]


def test_points_are_sent_as_columns_in_numbered_batches(sender: Sender, server: Server) -> None:
    for step in range(3):
        sender.point("loss", "train", step=step, value=step / 2)
    sender.point("loss", "odd", step=7, value=math.nan)
    sender.point("loss", "odd", step=8, value=-math.inf)
    assert sender.flush(idle_seconds=5)
    sender.point("loss", "train", step=9, value=1.0)
    assert sender.flush(idle_seconds=5)
    batches = [body for _, body in server.sent]
    assert [body["sequence"] for body in batches] == list(range(len(batches)))
    assert len({body["writer"] for body in batches}) == 1
    columns = {each["series"]: each for each in points(server)[:2]}
    assert columns["train"]["steps"] == [0, 1, 2]
    assert columns["train"]["values"] == [0.0, 0.5, 1.0]
    assert columns["odd"]["values"] == ["NaN", "-Infinity"]


def test_what_was_reported_first_is_sent_first(sender: Sender, server: Server) -> None:
    sender.put(message(1))
    sender.point("a", "b", step=1, value=1)
    sender.put(message(2))
    sender.console.add("text")
    assert sender.flush(idle_seconds=5)
    assert [path for path, _ in server.sent] == ["/x", "/tasks/task/series", "/x", "/tasks/task/console@0"]


@pytest.mark.parametrize("error", [kind("Nobody is there.") for kind in (ServerUnreachable, NoSpace, Unavailable)])
def test_a_server_that_is_away_or_full_delays_but_loses_nothing(
    sender: Sender, server: Server, capsys: pytest.CaptureFixture[str], error: OrchestratorError
) -> None:
    server.fails = error
    begin = time.monotonic()
    for number in range(100):
        sender.put(message(number))
    assert time.monotonic() - begin < 1
    assert not sender.flush(idle_seconds=0.2)
    server.fails = None
    assert sender.flush(idle_seconds=5)
    assert [body["number"] for _, body in server.sent] == list(range(100))
    told = capsys.readouterr().err
    assert told.count("Nobody is there.") == 1
    assert told.count("answers again") == 1


def test_what_the_server_refuses_is_dropped_and_told(
    sender: Sender, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.fails = InvalidRequest("No such thing.")
    sender.put(message(1))
    assert sender.flush(idle_seconds=5)
    assert "not recorded: No such thing." in capsys.readouterr().err


def test_what_the_server_always_fails_at_is_set_aside_and_holds_nothing_up(
    sender: Sender, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.fails, server.spared = ServerFailed("The server failed: KeyError."), "/good"
    for number in (1, 2):
        sender.put(message(number))
        sender.put(Message(method="PUT", path="/good", body={"number": number}))
    assert sender.flush(idle_seconds=5)
    assert server.sent == [("/good", {"number": 1}), ("/good", {"number": 2})]
    (file,) = tmp_path.glob("*-set-aside")
    assert [json.loads(line)["body"]["number"] for line in file.read_text().splitlines()] == [1, 2]
    assert sender.set_aside == 2
    assert capsys.readouterr().err.count("the server fails at it: PUT /x") == 2


def test_a_fenced_attempt_sends_no_more(sender: Sender, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.fails = StaleAttempt()
    sender.put(message(1))
    assert sender.flush(idle_seconds=5)
    server.fails = None
    sender.put(message(2))
    sender.point("a", "b", step=1, value=1)
    assert sender.flush(idle_seconds=5)
    assert server.sent == []
    assert capsys.readouterr().err.count("not recorded") == 1


def test_flush_waits_as_long_as_it_goes_forward(sender: Sender, server: Server) -> None:
    server.slow_seconds = 0.1
    for number in range(8):
        sender.put(message(number))
    assert sender.flush(idle_seconds=0.4)
    assert len(server.sent) == 8


def test_many_threads_lose_no_point(sender: Sender, server: Server) -> None:
    def report(series: str) -> None:
        for step in range(5_000):
            sender.point("loss", series, step=step, value=step)

    threads = [threading.Thread(target=report, args=(f"s{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sender.flush(idle_seconds=5)
    for number in range(4):
        steps = [step for each in points(server) if each["series"] == f"s{number}" for step in each["steps"]]
        assert steps == list(range(5_000))


def test_a_forked_child_is_a_writer_of_its_own(sender: Sender, server: Server) -> None:
    sender.point("loss", "parent", step=0, value=0)
    assert sender.flush(idle_seconds=5)
    sender.put(message(1))
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        server.sent.clear()
        sender.point("loss", "child", step=0, value=0)
        sender.flush(idle_seconds=5)
        os.write(writable, repr([(path, body.get("sequence")) for path, body in server.sent]).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writable)
    assert os.read(readable, 1000).decode() == "[('/tasks/task/series', 0)]"
    os.close(readable)


@pytest.fixture
def logger() -> Logger:
    return Logger(Run({"id": "task"}, attempt=1, parameters=[]))


def test_arguments_that_cannot_be_recorded_are_refused_where_they_are_made(logger: Logger) -> None:
    with pytest.raises(ValueError, match="title"):
        logger.report_scalar("", "s", 1, 1)
    with pytest.raises(ValueError, match="series"):
        logger.report_scalar("t", "s\n", 1, 1)
    with pytest.raises(ValueError, match="64 bits"):
        logger.report_scalar("t", "s", 1, 2**63)
    with pytest.raises(ValueError, match="pair"):
        logger.report_scatter2d("t", "s", [(1, 2, 3)])
    with pytest.raises(TypeError):
        logger.report_scalar("t", "s", None, 1)  # type: ignore[arg-type]


def test_numbers_that_json_has_not_are_gaps_in_a_plot() -> None:
    body = scatter_report("t", "s", [(math.nan, 1), (2, math.inf)], iteration=0)
    assert body["data"] == [[None, 1.0], [2.0, None]]


def test_without_a_server_reports_go_nowhere(logger: Logger, capsys: pytest.CaptureFixture[str]) -> None:
    logger.report_scalar("t", "", 1, 1)
    logger.report_single_value("best", 1)
    logger.report_scatter2d("t", "s", [(1, 2)])
    logger.report_text("line")
    assert logger.flush()
    assert capsys.readouterr().out == "line\n"


def test_several_files_are_stored_once_whatever_fails_in_between(
    sender: Sender, server: Server, tmp_path: Path
) -> None:
    copies = {"a": tmp_path / "0", "sub/b": tmp_path / "1"}
    for name, copy in copies.items():
        copy.write_text(name)
    server.fails, server.spared = ServerUnreachable("Nobody is there."), "/blobs"
    files = {name: str(copy) for name, copy in copies.items()}
    sender.put(Message(method="POST", path="/models", body={"name": "m"}, files=files, key="once"))
    assert not sender.flush(idle_seconds=0.3)
    assert all(copy.exists() for copy in copies.values())
    server.fails = None
    assert sender.flush(idle_seconds=5)
    described = [{"path": name, "digest": name, "size_bytes": len(name)} for name in copies]
    assert server.sent == [
        *(("/blobs", name.encode()) for name in copies),
        ("/models", {"name": "m", "files": described}),
    ]
    assert len(server.keys) > 1
    assert set(server.keys) == {"once"}
    assert not any(copy.exists() for copy in copies.values())
