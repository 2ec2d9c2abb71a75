from __future__ import annotations

import http.client
import json
import shutil
import socket
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent import deliveries as deliveries_module
from agent import forwarder as forwarder_module
from agent.deliveries import Deliveries
from agent.forwarder import Forwarder
from agent.spool import Spool, Write
from agent.upstream import Upstream
from orchestrator.errors import InvalidRequest, NotFound
from orchestrator.sdk.client import Client
from orchestrator.sdk.copies.subset import Subset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TASK = "a" * 32
SERIES = f"/tasks/{TASK}/series"


class Server:
    """A stand-in that can be away, fail and break off, which a real server cannot be made to do on time."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.open: set[socket.socket] = set()
        self.answer: Callable[[BaseHTTPRequestHandler], None] | None = None
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                outer.open.add(self.connection)

            def finish(self) -> None:
                outer.open.discard(self.connection)
                super().finish()

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.seen.append((self.command, self.path, dict(self.headers), body))
                if outer.answer is not None:
                    outer.answer(self)
                    return
                reply(self, 200, {"received": len(body)})

            do_POST = do_PUT = do_GET  # noqa: N815  names that the base class looks for

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            for connection in list(self.open):
                connection.shutdown(socket.SHUT_RDWR)
            self._server.server_close()
            self._server = None


def reply(handler: BaseHTTPRequestHandler, status: int, body: object) -> None:
    content = json.dumps(body).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


@pytest.fixture
def server() -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    made = Server(port)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def directory() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="fw-"))  # short: a unix socket's path has 107 bytes at most
    yield made
    shutil.rmtree(made)


class LocalData:
    """A stand-in for the node's cache."""

    def folder(self, version_id: str, subset: Subset) -> Path:
        if version_id != "d" * 32:
            raise NotFound("No such version.")
        return Path("/somewhere", str(subset))

    def file(self, version_id: str, path: str) -> Path:
        return self.folder(version_id, Subset()) / path

    def model(self, model_id: str) -> Path:
        return self.folder(model_id, Subset()) / "model"


@pytest.fixture
def forwarder(server: Server, directory: Path) -> Iterator[Forwarder]:
    upstream = Upstream(f"http://127.0.0.1:{server.port}", "rt_attempt")
    deliveries = Deliveries(upstream, Spool(directory / "spool"), set_aside=directory / "set-aside")

    made = Forwarder(
        directory / "socket",
        task_id=TASK,
        upstream=upstream,
        deliveries=deliveries,
        local_data=LocalData(),
    )
    made.start()
    deliveries.start()
    yield made
    deliveries.stop()
    made.close()
    upstream.close()


@pytest.fixture
def script(forwarder: Forwarder, directory: Path) -> Iterator[Client]:
    assert forwarder is not None
    with Client(f"unix://{directory}/socket") as client:
        yield client


def wait_until(true: Callable[[], bool], *, seconds: float = 5) -> None:
    give_up = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_a_request_goes_on_with_the_attempts_token(server: Server, script: Client) -> None:
    assert script.post("/tasks", {"name": "x"}) == {"received": 12}
    method, path, headers, body = server.seen[0]
    assert (method, path, body) == ("POST", "/api/v1/tasks", b'{"name":"x"}')
    assert headers["Authorization"] == "Bearer rt_attempt"
    assert headers["Retrain-Protocol"] == "1"
    assert len(headers["Idempotency-Key"]) == 32


def test_an_error_comes_back_as_it_is(server: Server, script: Client) -> None:
    error = {"error": {"code": "not_found", "message": "There is no such task.", "hint": None}}
    server.answer = lambda handler: reply(handler, 404, error)
    with pytest.raises(NotFound, match="There is no such task"):
        script.get("/tasks/x")


def test_a_file_of_many_chunks_goes_through_both_ways(server: Server, script: Client, directory: Path) -> None:
    content = bytes(range(256)) * 20_000
    file = directory / "file"
    file.write_bytes(content)
    assert script.put_file("/blobs/x", file) == {"received": len(content)}
    assert server.seen[0][3] == content

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    server.answer = send
    target = directory / "target"
    with target.open("wb") as opened:
        script.download("/blobs/x", opened)
    assert target.read_bytes() == content


@pytest.mark.parametrize("chunked", [True, False])
def test_a_download_that_breaks_off_breaks_off_for_the_script(
    server: Server, directory: Path, script: Client, chunked: bool
) -> None:
    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        if chunked:
            handler.send_header("Transfer-Encoding", "chunked")
        else:
            handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b"5\r\nhello\r\n")
        handler.close_connection = True

    server.answer = send
    assert script is not None
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(directory / "socket"))
    connection.request("GET", "/api/v1/blobs/x")
    with pytest.raises(http.client.IncompleteRead):
        connection.getresponse().read()
    connection.close()


def test_metrics_are_taken_while_the_server_is_away_and_delivered_in_order(server: Server, script: Client) -> None:
    script.post(SERIES, {"n": 0}, repeatable=True)
    server.stop()
    for number in (1, 2, 3):
        assert script.post(SERIES, {"n": number}, repeatable=True) == {"spooled": True}
    server.start()
    script.post(SERIES, {"n": 4}, repeatable=True)
    wait_until(lambda: len(server.seen) >= 5)
    assert [json.loads(body)["n"] for _, _, _, body in server.seen] == [0, 1, 2, 3, 4]


def test_metrics_are_kept_while_the_server_fails(server: Server, script: Client) -> None:
    server.answer = lambda handler: reply(handler, 500, {})
    assert script.post(SERIES, {"n": 1}, repeatable=True) == {"spooled": True}
    server.answer = None
    server.seen.clear()
    wait_until(lambda: len(server.seen) == 1)
    assert json.loads(server.seen[0][3]) == {"n": 1}


def test_what_the_server_refuses_for_good_holds_nothing_up(
    server: Server, forwarder: Forwarder, script: Client
) -> None:
    server.stop()
    script.post(SERIES, {"n": 1}, repeatable=True)
    server.answer = lambda handler: reply(handler, 422, {})
    server.start()
    assert forwarder.deliveries.wait(5)


def test_what_the_server_always_fails_at_is_set_aside_and_holds_nothing_up(
    server: Server, forwarder: Forwarder, script: Client, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries_module, "FAILURES", 2)
    server.answer = lambda handler: reply(handler, 500 if handler.path.endswith("reports") else 200, {})
    for number in (1, 2):
        script.post(f"/tasks/{TASK}/reports", {"n": number}, repeatable=True)
        script.post(SERIES, {"n": number}, repeatable=True)
    assert forwarder.deliveries.wait(5)
    assert [json.loads(body)["n"] for _, path, _, body in server.seen if path.endswith("series")] == [1, 2]
    kept = [Write.decoded(line) for line in (directory / "set-aside").read_bytes().splitlines()]
    assert [json.loads(write.body)["n"] for write in kept] == [1, 2]


@pytest.mark.parametrize("status", [500, 503])
def test_nothing_is_set_aside_while_the_server_fails_at_everything(
    server: Server, forwarder: Forwarder, script: Client, directory: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(deliveries_module, "FAILURES", 1)
    server.answer = lambda handler: reply(handler, status, {})
    script.post(SERIES, {"n": 1}, repeatable=True)
    assert not forwarder.deliveries.wait(0.5)
    server.answer = None
    assert forwarder.deliveries.wait(5)
    assert not (directory / "set-aside").exists()


def test_a_question_waits_for_a_server_that_restarts(server: Server, script: Client) -> None:
    server.stop()
    threading.Timer(0.3, server.start).start()
    assert script.get("/tasks/x") == {"received": 0}


def test_a_server_that_stays_away_is_named(server: Server, script: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarder_module, "PATIENCE_SECONDS", 0.1)
    server.stop()
    with pytest.raises(Exception, match="does not answer") as raised:
        script.get("/tasks/x")
    assert raised.value.code == "server_unreachable"  # type: ignore[attr-defined]


def test_data_is_answered_by_the_node_itself(server: Server, script: Client) -> None:
    assert script.get(f"/local/datasets/{'d' * 32}") == {"path": "/somewhere"}
    assert script.get(f"/local/datasets/{'d' * 32}", part=1, parts=3, pattern=["b", "a*"]) == {
        "path": "/somewhere/a* b part 1 of 3"
    }
    assert script.get(f"/local/datasets/{'d' * 32}/file?path=sub%2Fa%20b") == {"path": "/somewhere/sub/a b"}
    assert script.get(f"/local/models/{'d' * 32}") == {"path": "/somewhere/model"}
    with pytest.raises(InvalidRequest):
        script.get(f"/local/datasets/{'d' * 32}", part="x", parts=3)
    with pytest.raises(NotFound):
        script.get(f"/local/datasets/{'e' * 32}")
    assert server.seen == []


@pytest.mark.parametrize("path", ["/", "/metrics", "/local/tasks/1", "http://elsewhere/api/v1/tasks"])
def test_nothing_but_the_api_is_reached(server: Server, script: Client, directory: Path, path: str) -> None:
    assert script is not None
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(directory / "socket"))
    connection.request("GET", path)
    assert connection.getresponse().status == 404
    connection.close()
    assert server.seen == []
