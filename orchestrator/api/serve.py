"""The server process: opens what a server is made of, answers until it is told to end, closes everything."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import fcntl
import logging
import signal
import socket
import threading
from typing import TYPE_CHECKING

import uvicorn

from orchestrator.api.app import create_app
from orchestrator.api.bell import Bell
from orchestrator.api.profiler import Profiler
from orchestrator.api.sweeper import Sweeper
from orchestrator.errors import Conflict, InvalidRequest, Unauthenticated
from orchestrator.queues import RqQueue
from orchestrator.records.dataset import DEFAULT_STORAGE
from orchestrator.services.authenticate import authenticate
from orchestrator.services.queues import create_missing_queues
from orchestrator.services.storage_access import Storages
from orchestrator.services.tokens import create_first_token
from orchestrator.settings import Server, read_credentials, write_credentials
from orchestrator.store.sql import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from orchestrator.api.hub import Hub
    from orchestrator.queues import Queue
    from orchestrator.settings import Settings
    from orchestrator.store.protocol import Store

logger = logging.getLogger(__name__)

_KEEP_ALIVE_SECONDS = 75
"""Longer than agents and scripts leave a connection alone, so that they need not open one for every request."""

_GRACE_SECONDS = 1


def serve(
    settings: Settings, *, ready: Callable[[str], None] | None = None, end: threading.Event | None = None
) -> None:
    """Serve until SIGTERM or SIGINT, or until the event is set where this is not the main thread.

    Args:
        settings: where state lies and where to listen.
        ready: called with the URL when requests are answered and the administrator's token is in its file.
        end: set from another thread to end the server.

    Raises:
        Conflict: a server runs in this home already.
        InvalidRequest: there is no Redis to ring through, or the address cannot be had.
        DatabaseTooNew: a later release wrote the database.
    """
    if settings.redis_url is None:
        raise InvalidRequest(
            "REDIS_URL is not set.", hint="Set it, such as redis://:PASSWORD@HOST:6379/0, or use: retrain up."
        )
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (
        _alone(settings.home),
        _placed(settings) as (placed, sockets),
        contextlib.closing(open_store(settings.database_url)) as store,
        contextlib.closing(RqQueue(settings.redis_url)) as queue,
    ):
        storages = Storages(store, default_url=settings.blobs_url)
        storages.register_default()
        storages.of(DEFAULT_STORAGE).sweep_uploads()
        store.write(create_missing_queues)
        app = create_app(store, storages=storages, settings=placed)
        app.state.parts.uploads.sweep()
        with _threads(store, queue=queue, storages=storages, settings=placed):
            server = _Server(
                uvicorn.Config(
                    app,
                    host=placed.host,
                    port=placed.port,
                    loop="asyncio",
                    http="httptools",
                    ws="none",
                    lifespan="off",
                    log_config=None,
                    access_log=False,
                    server_header=False,
                    date_header=False,
                    timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                    timeout_graceful_shutdown=_GRACE_SECONDS,
                ),
                hub=app.state.parts.hub,
                on_start=lambda url: _announce(store, url=url, settings=placed, ready=ready),
                end=end,
            )
            server.run(sockets=sockets)


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Keep a second server out of a home: it would write the same SQLite file and send everybody to its own address."""
    with (home / "server.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                f"A server runs already in {home}.",
                hint="Use it, or give this one a home of its own: RETRAIN_HOME.",
            ) from None
        yield


@contextlib.contextmanager
def _placed(settings: Settings) -> Iterator[tuple[Settings, list[socket.socket] | None]]:
    """Take a free port where any will do, before anything needs to know it: triggers fill in addresses of the server.

    Yields:
        Settings with the port, and what listens there already.
    """
    if settings.port:
        yield settings, None
        return
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listening = socket.create_server((settings.host, 0), family=family)
    except OSError:
        raise _unusable(settings.host, settings.port) from None
    with listening:
        yield dataclasses.replace(settings, port=listening.getsockname()[1]), [listening]


def _unusable(host: str, port: int) -> InvalidRequest:
    return InvalidRequest(
        f"{host}:{port} cannot be listened on.",
        hint="Another server may run there; choose another with --port or RETRAIN_PORT.",
    )


def keep_admin_token(store: Store, *, url: str, settings: Settings) -> None:
    """Write the server's address and an administrator's token to the file that `settings` names, mode 0600.

    The token that is there stays as long as it is valid. Who can delete that file can write the database, too: making
    a new one in its place gives nothing away.
    """
    path = settings.admin_token_file
    present = read_credentials(path)
    token = present.token if present else ""
    try:
        store.read(lambda transaction: authenticate(transaction, token=token))
    except Unauthenticated:
        token = store.write(lambda transaction: create_first_token(transaction, name="administrator"))
    if present != Server(url=url, token=token):
        write_credentials(path, Server(url=url, token=token))


@contextlib.contextmanager
def _threads(store: Store, *, queue: Queue, storages: Storages, settings: Settings) -> Iterator[None]:
    bell = Bell(store, queue=queue)
    sweeper = Sweeper(store, queue=queue, settings=settings)
    profiler = Profiler(store, storages=storages)
    bell.start()
    sweeper.start()
    profiler.start()
    try:
        yield
    finally:
        profiler.close()
        sweeper.close()
        bell.close()


def _announce(store: Store, *, url: str, settings: Settings, ready: Callable[[str], None] | None) -> None:
    keep_admin_token(store, url=url, settings=settings)
    logger.info("server is up", extra={"action": "server_up", "url": url})
    if ready is not None:
        ready(url)


class _Server(uvicorn.Server):
    """Uvicorn that wakes up only for requests, lets long polls go when it ends, and dies of no signal itself."""

    def __init__(
        self, config: uvicorn.Config, *, hub: Hub, on_start: Callable[[str], None], end: threading.Event | None
    ) -> None:
        super().__init__(config)
        self._hub = hub
        self._on_start = on_start
        self._end = end
        self._over = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the event loop: uvicorn would raise them again, and nothing after it would be closed."""
        loop = asyncio.get_running_loop()
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._over.set)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then tell where."""
        host, port = self.config.host, self.config.port
        try:
            await super().startup(sockets=sockets)
        except SystemExit:
            raise _unusable(host, port) from None
        self.server_state.default_headers = self.config.encoded_headers
        bound = self.servers[0].sockets[0].getsockname()[1]
        name = f"[{host}]" if ":" in host else host
        await asyncio.get_running_loop().run_in_executor(None, self._on_start, f"http://{name}:{bound}")

    async def main_loop(self) -> None:
        """Sleep until the end; uvicorn's own looks around ten times a second."""
        if self._end is not None:
            loop = asyncio.get_running_loop()
            threading.Thread(target=self._wait_for_end, args=(self._end, loop), name="end", daemon=True).start()
        await self._over.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let long polls go first."""
        self._hub.close()
        await super().shutdown(sockets=sockets)

    def _wait_for_end(self, end: threading.Event, loop: asyncio.AbstractEventLoop) -> None:
        end.wait()
        loop.call_soon_threadsafe(self._over.set)
