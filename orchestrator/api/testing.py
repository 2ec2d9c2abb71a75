"""A real server for tests, in a thread: `with running_server(tmp_path) as server: server.url, server.token`."""

from __future__ import annotations

import contextlib
import http.client
import json
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from orchestrator.api.serve import serve
from orchestrator.redis_server import RedisServer
from orchestrator.settings import Settings, read_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator

_START_SECONDS = 30


class RunningServer(NamedTuple):
    """Where it is, and an administrator's token."""

    url: str
    token: str
    redis_url: str
    settings: Settings


@contextlib.contextmanager
def running_server(home: Path, **settings: Any) -> Iterator[RunningServer]:  # noqa: ANN401  any field of Settings
    """Run a server on a free port with its own Redis until the context ends.

    Args:
        home: an empty directory, or one that such a server used before.
        **settings: fields of `Settings`; with `redis_url` no Redis is started.

    Raises:
        Exception: what kept the server from starting.
    """
    with contextlib.ExitStack() as stack:
        if "redis_url" not in settings:
            # Not below the home: the path of a unix socket has at most 107 bytes, and tests lie deep.
            redis = RedisServer(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="redis-"))))
            redis.start()
            stack.callback(redis.stop)
            settings["redis_url"] = redis.url
        chosen = Settings(home=home, **({"port": 0} | settings))
        up, end, urls, failures = threading.Event(), threading.Event(), [], []

        def ready(url: str) -> None:
            urls.append(url)
            up.set()

        def run() -> None:
            try:
                serve(chosen, ready=ready, end=end)
            except BaseException as error:  # noqa: BLE001  carried over to the thread of the test
                failures.append(error)
                up.set()

        thread = threading.Thread(target=run, name="server")
        thread.start()
        try:
            if not up.wait(_START_SECONDS):
                raise TimeoutError(f"the server was not up after {_START_SECONDS} s")
            if failures:
                raise failures[0]
            credentials = read_credentials(chosen.admin_token_file)
            assert credentials is not None  # noqa: S101  it is written before `ready`
            yield RunningServer(urls[0], credentials.token, str(chosen.redis_url), chosen)
        finally:
            end.set()
            thread.join()


class Reply(NamedTuple):
    """A status and the JSON that came with it; None where none did."""

    status: int
    body: Any


class Requests:
    """Sends requests as they are and returns what comes back, errors too.

    Args:
        url: the server's.
        token: sent as bearer; none is sent where it is empty.
    """

    def __init__(self, url: str, *, token: str = "") -> None:
        self._address = urlsplit(url).netloc
        self._token = token

    def using(self, token: str) -> Requests:
        """Return the same with another token."""
        return Requests(f"http://{self._address}", token=token)

    def send(self, method: str, path: str, *, body: Any = None, headers: dict[str, str] | None = None) -> Reply:  # noqa: ANN401  JSON is any
        """Send one request on a connection of its own.

        Args:
            method: of HTTP.
            path: below `/api/v1`, or beginning with `/api` or `/healthz`.
            body: bytes are sent as they are, anything else as JSON.
            headers: further ones.
        """
        sent: dict[str, str] = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        data: bytes | None = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if body is not None:
            sent["Content-Type"] = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        connection = http.client.HTTPConnection(self._address, timeout=_START_SECONDS)
        with contextlib.closing(connection):
            absolute = path if path.startswith(("/api", "/healthz")) else f"/api/v1{path}"
            connection.request(method, absolute, data, sent | (headers or {}))
            response = connection.getresponse()
            received = response.read()
        is_json = response.headers.get_content_type() == "application/json" and received
        return Reply(response.status, json.loads(received) if is_json else received or None)

    def get(self, path: str) -> Reply:
        """GET."""
        return self.send("GET", path)

    def post(self, path: str, body: Any = None, **headers: str) -> Reply:  # noqa: ANN401  JSON is any
        """POST; `idempotency_key="…"` becomes the header of that name."""
        return self.send("POST", path, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def put(self, path: str, body: Any = None) -> Reply:  # noqa: ANN401  JSON is any
        """PUT."""
        return self.send("PUT", path, body=body)
