"""The unix socket through which a script speaks to the server.

It serves the routes of the API and adds the attempt's token, so that a script needs no network and no secret. Metrics
and reports are taken at once when the server is away and delivered later; everything else waits a while for the server
and then fails. Three more routes exist here alone, for what the node keeps for all attempts:

GET /local/datasets/{id}?part=&parts=&pattern=&pattern=…   the folder of a version, or of some of its files
GET /local/datasets/{id}/file?path=                        one file of it
GET /local/models/{id}                                     the folder with the files of a model version
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import socketserver
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs, urlsplit

from agent.spool import Write
from agent.upstream import Answer
from orchestrator.errors import ExecutorUnavailable, InvalidRequest, NotFound, OrchestratorError, ServerUnreachable
from orchestrator.sdk.copies.subset import Subset
from orchestrator.sdk.transport import BROKEN

if TYPE_CHECKING:
    import http.client
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from agent.deliveries import Deliveries
    from agent.upstream import Upstream

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 20
_IN_MEMORY_BYTES = 1 << 20
_LATER_LIMIT_BYTES = 64 << 20
PATIENCE_SECONDS = 20.0
"""How long a request that can be repeated waits for a server that is away; less than a client's own patience."""
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
_PASSED_ON = ("Content-Type", "Content-Length", "Accept", "Idempotency-Key", "Retrain-Protocol")
_PASSED_BACK = ("Content-Type", "Content-Length", "Content-Disposition", "ETag")


class LocalData(Protocol):
    """What the node keeps of dataset and model versions."""

    def folder(self, version_id: str, subset: Subset) -> Path:
        """Return the read-only folder of a version, made where it is not there."""

    def file(self, version_id: str, path: str) -> Path:
        """Return a read-only file of a version, fetched where it is not there."""

    def model(self, model_id: str) -> Path:
        """Return the read-only folder of a model version, made where it is not there."""


class Forwarder:
    """Listens for the script.

    Args:
        path: of the unix socket; its directory is made, for its owner alone.
        task_id: of the attempt.
        upstream: the server.
        deliveries: takes the writes that may come later.
        local_data: the node's copies of dataset and model versions.
    """

    def __init__(
        self,
        path: Path,
        *,
        task_id: str,
        upstream: Upstream,
        deliveries: Deliveries,
        local_data: LocalData,
    ) -> None:
        self.upstream = upstream
        self.deliveries = deliveries
        self.local_data = local_data
        self.later = re.compile(rf"/api/v1/tasks/{task_id}/(series|reports)")
        make_private(path.parent)
        path.unlink(missing_ok=True)
        self._server = _Server(str(path), self)
        self._thread: threading.Thread | None = None
        self._closed = False

    def start(self) -> None:
        """Serve in threads; until then connections wait."""
        self._thread = threading.Thread(target=self._accept, name="forwarder", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Serve no more."""
        self._closed = True
        with socket.socket(socket.AF_UNIX) as knock:
            knock.connect(self._server.server_address)
        if self._thread is not None:
            self._thread.join()
        self._server.server_close()

    def _accept(self) -> None:
        while not self._closed:  # unlike serve_forever it sleeps until somebody knocks
            self._server.handle_request()


def make_private(directory: Path) -> None:
    """Make a directory that its owner alone may enter.

    Raises:
        ExecutorUnavailable: another user made it first.
    """
    directory.mkdir(mode=0o700, exist_ok=True)
    if directory.stat().st_uid != os.getuid():
        raise ExecutorUnavailable(
            f"{directory} belongs to another user.",
            hint="Remove it, or choose a shorter home: --home DIR or RETRAIN_HOME.",
        )
    directory.chmod(0o700)


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, path: str, forwarder: Forwarder) -> None:
        self.forwarder = forwarder
        super().__init__(path, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002  the base class's
        logger.exception("a request of the script failed", extra={"action": "request_failed"})  # noqa: LOG004  the base class calls it from its except clause


class _Handler(BaseHTTPRequestHandler):
    """One connection of the script's."""

    server: _Server
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = False

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:  # the script went away in the middle
            self.close_connection = True

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002, ANN401  the base class's
        logger.debug(format, *arguments)

    def __getattr__(self, name: str) -> Callable[[], None]:
        # The base class looks for `do_` and the method's name: all methods are passed on alike.
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def _serve(self) -> None:
        try:
            if self.headers.get("Transfer-Encoding"):
                raise InvalidRequest("The body's length is missing.", hint="Send Content-Length.")
            length = int(self.headers.get("Content-Length") or 0)
            if self.path.startswith("/local/"):
                self._discard(length)
                self._local()
            elif not self.path.startswith(("/api/v1/", "/healthz")):
                raise NotFound(f"There is no {self.path} here.")
            elif self.command == "POST" and self.server.forwarder.later.fullmatch(self.path):
                self._later(length)
            else:
                self._forward(length)
        except OrchestratorError as error:
            self.close_connection = True  # its body may not have been read
            self._send(_failure(error))

    def _local(self) -> None:
        asked = urlsplit(self.path)
        found = re.fullmatch(r"/local/(?:datasets/([0-9a-f]{32})(/file)?|models/([0-9a-f]{32}))", asked.path)
        if found is None or self.command != "GET":
            raise NotFound(
                f"There is no {self.path} here.",
                hint="GET /local/datasets/{id}, /local/datasets/{id}/file?path= or /local/models/{id}",
            )
        query = parse_qs(asked.query, keep_blank_values=True)
        local = self.server.forwarder.local_data
        if found[3]:
            path = local.model(found[3])
        elif found[2]:
            path = local.file(found[1], query.get("path", [""])[-1])
        else:
            path = local.folder(found[1], _subset(query))
        self._send(
            Answer(HTTPStatus.OK, {"Content-Type": "application/json"}, json.dumps({"path": str(path)}).encode())
        )

    def _later(self, length: int) -> None:
        if length > _LATER_LIMIT_BYTES:
            raise InvalidRequest(f"A batch of {length >> 20} MiB is too large.", hint="Send it in parts.")
        write = Write(method=self.command, path=self.path, headers=self._headers(), body=self.rfile.read(length))
        self._send(self.server.forwarder.deliveries.submit(write))

    def _forward(self, length: int) -> None:
        """Pass on the request and its answer; one that can be repeated waits for a server that is away."""
        stream = length > _IN_MEMORY_BYTES
        body: bytes | None = None if stream or not length else self.rfile.read(length)
        harmless = self.command in {"GET", "HEAD", "PUT"} or "Idempotency-Key" in self.headers
        give_up = time.monotonic() + (PATIENCE_SECONDS if harmless and not stream else 0)
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            try:
                connection, response = self.server.forwarder.upstream.ask(
                    self.command,
                    self.path,
                    headers=self._headers(),
                    body=self._parts(length) if stream else body,
                )
            except BROKEN as error:
                if time.monotonic() >= give_up:
                    raise ServerUnreachable(f"The server does not answer the agent ({error}).") from error
                time.sleep(pause_seconds)
                pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)
            else:
                break
        if stream and response.status >= HTTPStatus.BAD_REQUEST:
            self.close_connection = True  # the rest of the body may not have been read
        try:
            self._relay(response)
        finally:
            self.server.forwarder.upstream.release(connection, response)

    def _relay(self, response: http.client.HTTPResponse) -> None:
        self.send_response(response.status)
        for name in _PASSED_BACK:
            if name in response.headers:
                self.send_header(name, response.headers[name])
        measured = response.length is not None or self.command == "HEAD"
        if not measured:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            while part := response.read(_CHUNK_BYTES):
                self.wfile.write(part if measured else b"%x\r\n%b\r\n" % (len(part), part))
            broken = measured and bool(response.length)
        except BROKEN:
            broken = True
        if broken:  # the script must notice, too
            self.close_connection = True
        elif not measured:
            self.wfile.write(b"0\r\n\r\n")

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name in _PASSED_BACK:
            if name in answer.headers and name != "Content-Length":
                self.send_header(name, answer.headers[name])
        if answer.status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def _headers(self) -> dict[str, str]:
        return {name: self.headers[name] for name in _PASSED_ON if name in self.headers}

    def _parts(self, length: int) -> Iterator[bytes]:
        while length and (part := self.rfile.read(min(length, _CHUNK_BYTES))):
            length -= len(part)
            yield part

    def _discard(self, length: int) -> None:
        for _ in self._parts(length):
            pass


def _subset(query: dict[str, list[str]]) -> Subset:
    try:
        part, parts = (int(query[name][-1]) if name in query else None for name in ("part", "parts"))
    except ValueError:
        raise InvalidRequest("part and parts are whole numbers.") from None
    return Subset(part=part, parts=parts, patterns=tuple(query.get("pattern", ())))


def _failure(error: OrchestratorError) -> Answer:
    body = {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
    return Answer(error.status, {"Content-Type": "application/json"}, json.dumps(body).encode())
