"""A real server for tests, in a thread: `with running_server(tmp_path) as server: server.url, server.token`."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.api.serve import serve
from orchestrator.redis_server import RedisServer
from orchestrator.settings import Settings, read_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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
            redis = RedisServer(home / "redis")
            home.mkdir(parents=True, exist_ok=True)
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
