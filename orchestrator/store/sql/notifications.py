"""What other processes committed, heard through PostgreSQL's LISTEN."""

from __future__ import annotations

import logging
import os
import select
import threading
from typing import TYPE_CHECKING, cast

import psycopg
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from orchestrator.store.sql.listeners import Listeners

logger = logging.getLogger(__name__)

CHANNEL = "retrain_events"

_PAUSE_SECONDS = 1.0
"""Between two tries to connect again."""


class Notifications:
    """A thread with a connection of its own that tells of other processes' commits.

    After a connection broke the listeners are told once too often rather than once too seldom.

    Args:
        engine: makes the connection; it does not count in the pool.
        origin: notifications that carry this text are this process's own.
        listeners: are told, without the events.
    """

    def __init__(self, engine: Engine, *, origin: str, listeners: Listeners) -> None:
        self._engine = engine
        self._origin = origin
        self._listeners = listeners
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._wake_reader, self._wake_writer = os.pipe()

    def start(self) -> None:
        """Begin to listen; done again, it changes nothing."""
        with self._lock:
            if self._thread is None and not self._ending.is_set():
                self._thread = threading.Thread(target=self._serve, name="store-listener", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the thread and its connection; done again, it changes nothing."""
        with self._lock:
            if self._ending.is_set():
                return
            self._ending.set()
        os.write(self._wake_writer, b"\0")
        if self._thread is not None:
            self._thread.join()
        os.close(self._wake_reader)
        os.close(self._wake_writer)

    def _serve(self) -> None:
        while not self._ending.is_set():
            try:
                self._follow()
            except (psycopg.Error, DBAPIError) as error:
                extra = {"action": "database_listener_lost", "error": str(error)}
                logger.warning("the database's notifications broke off; connecting again", extra=extra)
                self._ending.wait(_PAUSE_SECONDS)

    def _follow(self) -> None:
        pooled = self._engine.raw_connection()
        connection = cast("psycopg.Connection", pooled.driver_connection)
        pooled.detach()
        try:
            connection.autocommit = True
            connection.execute(f"LISTEN {CHANNEL}")
            self._listeners.tell(())
            readable = select.poll()
            readable.register(connection.fileno(), select.POLLIN)
            readable.register(self._wake_reader, select.POLLIN)
            while True:
                readable.poll()
                if self._ending.is_set():
                    return
                told = [notification.payload for notification in connection.notifies(timeout=0)]
                if any(payload != self._origin for payload in told):
                    self._listeners.tell(())
        finally:
            pooled.close()
