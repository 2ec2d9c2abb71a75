"""Profiles versions that became final, one file after the other, in a thread that nobody waits for."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

from orchestrator.errors import NotFound
from orchestrator.profiles import ProfilerProcess, available
from orchestrator.records.event import EventType
from orchestrator.services.profile_version import Interrupted, profile_version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.records.event import Event
    from orchestrator.services.storage_access import Storages
    from orchestrator.store.protocol import Store

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 600.0
"""A version that could not be profiled is tried again after this, or when the server starts."""
_LOOKED_AT = 1000


class Profiler:
    """Profiles every version that has no profile: at the start, and as versions become final.

    Args:
        store: the database.
        storages: where bytes lie.
    """

    def __init__(self, store: Store, *, storages: Storages) -> None:
        self._store = store
        self._storages = storages
        self._process = ProfilerProcess()
        self._end = threading.Event()
        self._wake = threading.Event()
        self._failed: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name="profiler", daemon=True)
        self._unsubscribe = store.subscribe(self._hear)

    def start(self) -> None:
        """Begin, unless packages are missing that it takes."""
        missing = available()
        if missing is None:
            self._thread.start()
        else:
            logger.info(
                "datasets are not profiled: packages are missing", extra={"action": "profiler_off", "hint": missing}
            )

    def close(self) -> None:
        """End, in the middle of a file where one is being read."""
        self._unsubscribe()
        self._end.set()
        self._wake.set()
        if self._thread.is_alive():
            pid = self._process.pid
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._thread.join()

    def _hear(self, events: Sequence[Event]) -> None:
        # Other processes' commits come without their events: anything may have happened.
        if not events or any(event.type is EventType.DATASET_FINALIZED for event in events):
            self._wake.set()

    def _run(self) -> None:
        with self._process:
            while not self._end.is_set():
                self._wake.clear()
                try:
                    self._profile_all()
                except Exception:
                    logger.warning("the profiler failed", exc_info=True, extra={"action": "profiler_failed"})
                self._wake.wait(_RETRY_SECONDS)

    def _profile_all(self) -> None:
        while version_id := self._next():
            try:
                profile_version(
                    self._store,
                    storages=self._storages,
                    process=self._process,
                    version_id=version_id,
                    check=self._check,
                )
            except Interrupted:
                return
            except NotFound:
                self._failed[version_id] = time.monotonic()  # it was deleted meanwhile
            except Exception as error:
                self._failed[version_id] = time.monotonic()
                logger.warning(
                    "a version could not be profiled",
                    exc_info=True,
                    extra={"action": "profile_failed", "version_id": version_id, "error": repr(error)},
                )

    def _next(self) -> str | None:
        now = time.monotonic()
        self._failed = {key: at for key, at in self._failed.items() if now - at < _RETRY_SECONDS}
        waiting = self._store.read(lambda transaction: transaction.datasets.unprofiled(limit=_LOOKED_AT))
        return next((key for key in waiting if key not in self._failed), None)

    def _check(self) -> None:
        if self._end.is_set():
            raise Interrupted
