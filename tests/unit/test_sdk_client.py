from __future__ import annotations

import io
import json
import os
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator import wire
from orchestrator.errors import (
    Forbidden,
    InvalidPath,
    InvalidRequest,
    OrchestratorError,
    ServerFailed,
    ServerUnreachable,
    StaleAttempt,
)
from orchestrator.sdk import client as client_module
from orchestrator.sdk.client import Client, segment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextmanager
def serving(handle: Callable[[BaseHTTPRequestHandler], None], *, path: Path | None = None) -> Iterator[str]:
    """A stand-in that fails in ways that a real server cannot be made to."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_any(self) -> None:
            handle(self)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_any  # noqa: N815  the base class looks for these

        def log_message(self, *_: object) -> None:
            pass

        def address_string(self) -> str:
            return "-"

    class TcpServer(ThreadingHTTPServer):
        request_queue_size = 100

    class UnixServer(TcpServer):
        address_family = socket.AF_UNIX

        def server_bind(self) -> None:
            self.socket.bind(self.server_address)

        def get_request(self) -> tuple[Any, Any]:
            request, _ = self.socket.accept()
            return request, ("-", 0)

    server = TcpServer(("127.0.0.1", 0), Handler) if path is None else UnixServer(str(path), Handler)  # type: ignore[arg-type]
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}" if path is None else f"unix://{path}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answer(handler: BaseHTTPRequestHandler, body: object, *, status: int = 200) -> None:
    content = json.dumps(body).encode()
    handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def echo(handler: BaseHTTPRequestHandler) -> None:
    body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
    del handler.headers["Content-Length"]
    answer(
        handler,
        {"method": handler.command, "path": handler.path, "headers": dict(handler.headers), "body": body.decode()},
    )


def test_the_protocol_is_the_one_of_the_wire() -> None:
    assert client_module.PROTOCOL == wire.PROTOCOL


def test_requests_carry_token_protocol_and_query() -> None:
    with serving(echo) as url, Client(f"{url}/", "rt_secret\n") as client:
        got = client.get("/tasks", tag=["a b", "c"], after=None, exact=True, limit=3)
        assert got["path"] == "/api/v1/tasks?tag=a%20b&tag=c&exact=true&limit=3"
        assert got["headers"]["Authorization"] == "Bearer rt_secret"
        assert got["headers"]["Retrain-Protocol"] == str(wire.PROTOCOL)
        assert client.get("/healthz")["path"] == "/healthz"
        assert client.get("/local/datasets/x")["path"] == "/local/datasets/x"


def test_a_post_has_a_key_of_its_own_unless_it_is_repeatable() -> None:
    with serving(echo) as url, Client(url) as client:
        keys = {client.post("/tasks", {"a": 1})["headers"]["Idempotency-Key"] for _ in range(2)}
        assert len(keys) == 2
        assert "Idempotency-Key" not in client.post("/tasks", {}, repeatable=True)["headers"]


def test_a_unix_socket_is_spoken_to_like_any_server(tmp_path: Path) -> None:
    with serving(echo, path=tmp_path / "s") as url, Client(url) as client:
        assert client.post("/x", {"a": 1})["body"] == '{"a":1}'
        assert "Authorization" not in client.get("/x")["headers"]


def test_a_connection_that_went_stale_is_replaced_and_the_key_is_kept() -> None:
    seen: list[str] = []
    closed = threading.Event()

    def close_after_answer(handler: BaseHTTPRequestHandler) -> None:
        seen.append(handler.headers.get("Idempotency-Key", ""))
        if len(seen) == 2:  # the second request arrives and is never answered
            handler.close_connection = True
            closed.set()
            return
        answer(handler, {})

    with serving(close_after_answer) as url, Client(url) as client:
        client.get("/x")
        client.post("/x", {})
    assert closed.is_set()
    assert len(seen) == 3
    assert seen[1] == seen[2] != ""


def test_a_connection_is_kept_open() -> None:
    ports = set()

    def note(handler: BaseHTTPRequestHandler) -> None:
        ports.add(handler.client_address[1])
        answer(handler, {})

    with serving(note) as url, Client(url) as client:
        for _ in range(5):
            client.post("/x", {})
    assert len(ports) == 1


def test_nobody_there_is_one_line_with_the_url_and_the_command() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ServerUnreachable) as caught, Client(url) as client:
        client.get("/tasks")
    assert url in str(caught.value)
    assert "retrain up" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_answer_in_time_says_so() -> None:
    gate = threading.Event()
    with serving(lambda _handler: gate.wait(5)) as url, Client(url, timeout_seconds=0.1) as client:  # type: ignore[arg-type,return-value]
        with pytest.raises(ServerUnreachable, match="does not answer in time"):
            client.get("/tasks")
        gate.set()


def test_an_error_of_the_server_is_raised_as_the_same_class() -> None:
    def refuse(handler: BaseHTTPRequestHandler) -> None:
        answer(handler, {"error": {"code": "stale_attempt", "message": "gone", "hint": "leave"}}, status=409)

    with serving(refuse) as url, Client(url) as client, pytest.raises(StaleAttempt) as caught:
        client.post("/tasks/x/finish", {})
    assert (caught.value.message, caught.value.hint) == ("gone", "leave")


@pytest.mark.parametrize(("status", "kind"), [(403, Forbidden), (502, ServerFailed), (418, ServerFailed)])
def test_an_error_of_something_in_between_is_an_error_of_ours(status: int, kind: type[OrchestratorError]) -> None:
    def refuse(handler: BaseHTTPRequestHandler) -> None:
        answer(handler, ["<html>"], status=status)

    with serving(refuse) as url, Client(url) as client, pytest.raises(kind, match=str(status)):
        client.get("/tasks")


def test_what_is_no_json_is_no_server_of_ours() -> None:
    def page(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "6")
        handler.end_headers()
        handler.wfile.write(b"<html>")

    with serving(page) as url, Client(url) as client, pytest.raises(ServerFailed, match="no retrain server"):
        client.get("/tasks")


def test_pages_are_followed_to_the_end() -> None:
    def pages(handler: BaseHTTPRequestHandler) -> None:
        after = int(handler.path.partition("after=")[2] or 0)
        answer(handler, {"items": [{"n": after + 1}], "next": str(after + 1) if after < 3 else None})

    with serving(pages) as url, Client(url) as client:
        assert [item["n"] for item in client.pages("/tasks")] == [1, 2, 3, 4]


def test_a_file_is_sent_in_parts_and_metered(tmp_path: Path) -> None:
    file = tmp_path / "big"
    file.write_bytes(os.urandom(3_000_000))
    counted: list[int] = []
    received = []

    def take(handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers["Content-Length"])
        received.append(handler.rfile.read(length))
        del handler.headers["Content-Length"]
        answer(handler, {})

    with serving(take) as url, Client(url) as client:
        client.put_file("/blobs/x", file, meter=lambda: lambda part: counted.append(len(part)))
    assert received == [file.read_bytes()]
    assert sum(counted) == 3_000_000
    assert len(counted) == 3


def test_a_server_that_refuses_a_long_body_is_heard(tmp_path: Path) -> None:
    file = tmp_path / "big"
    file.write_bytes(bytes(20_000_000))

    def refuse(handler: BaseHTTPRequestHandler) -> None:
        content = b'{"error":{"code":"no_space","message":"The disk is full."}}'
        handler.send_response(507)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_WR)
        handler.close_connection = True

    with serving(refuse) as url, Client(url) as client, pytest.raises(OrchestratorError, match=r"full|answers"):
        client.put_file("/blobs/x", file)


def test_a_file_that_grows_while_it_is_sent_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(bytes(10))

    def grow() -> Callable[[bytes], object]:
        return lambda _part: file.write_bytes(bytes(20))

    with serving(echo) as url, Client(url) as client, pytest.raises(InvalidPath, match="changed while it was sent"):
        client.put_file("/blobs/x", file, meter=grow)


def test_a_download_that_breaks_off_is_an_error() -> None:
    def cut(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b"half")
        handler.close_connection = True

    target = io.BytesIO()
    with serving(cut) as url, Client(url) as client, pytest.raises(ServerFailed, match=r"broke off .* after 4 bytes"):
        client.download("/blobs/x", target)


def test_a_download_in_chunks_that_breaks_off_is_an_error() -> None:
    def cut(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"4\r\nhalf\r\n")
        handler.close_connection = True

    with serving(cut) as url, Client(url) as client, pytest.raises(ServerFailed, match="broke off"):
        client.download("/blobs/x", io.BytesIO())


@pytest.mark.parametrize("url", ["", "localhost:80", "ftp://x", "unix://relative/path", "http://", "http://x:port"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest, match="no server's URL"):
        Client(url)


def test_threads_share_a_client() -> None:
    with serving(echo) as url, Client(url) as client:
        results: list[str] = []
        threads = [
            threading.Thread(target=lambda n=n: results.append(client.post("/x", {"n": n})["body"]))  # type: ignore[misc]
            for n in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(results) == sorted(f'{{"n":{n}}}' for n in range(20))


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_server_of_another_kind_is_told_from_what_is_not_found(status: int) -> None:
    def refuse(handler: BaseHTTPRequestHandler) -> None:
        answer(handler, {"detail": "Not Found"}, status=status)

    with serving(refuse) as url, Client(url) as client, pytest.raises(ServerFailed, match=r"no retrain server.*URL"):
        client.get("/healthz")


def test_a_redirection_is_no_answer_and_says_where_it_points() -> None:
    def redirect(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(307)
        handler.send_header("Location", "https://elsewhere/")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with serving(redirect) as url, Client(url) as client, pytest.raises(ServerFailed, match=r"307.*https://elsewhere/"):
        client.get("/tasks")


def test_a_question_is_never_answered_by_nothing() -> None:
    def say_nothing(handler: BaseHTTPRequestHandler) -> None:
        handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        handler.send_response(200)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with serving(say_nothing) as url, Client(url) as client:
        assert client.put("/tasks/x", {}) is None
        with pytest.raises(ServerFailed, match="no retrain server"):
            client.get("/tasks")


def test_a_failure_that_this_release_does_not_know_is_the_servers() -> None:
    def refuse(handler: BaseHTTPRequestHandler) -> None:
        answer(handler, {"error": {"code": "of_next_year", "message": "odd"}}, status=500)

    with serving(refuse) as url, Client(url) as client, pytest.raises(ServerFailed, match="odd"):
        client.get("/tasks")


def test_tls_to_a_server_without_it_says_what_to_use() -> None:
    with serving(echo) as url, Client(url.replace("http:", "https:")) as client:
        with pytest.raises(ServerUnreachable) as caught:
            client.get("/tasks")
        assert f"Use http://: {url}" in str(caught.value)


def test_an_id_is_one_part_of_a_path_whatever_it_is() -> None:
    assert segment("../tasks", what="dataset_id") == "%2E%2E%2Ftasks"
    assert segment("0a", what="dataset_id") == "0a"
    with pytest.raises(InvalidRequest, match="dataset_id is empty"):
        segment("", what="dataset_id")
