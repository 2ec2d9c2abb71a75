"""Sends what a run reports from a thread of its own: whoever reports never waits for the network, nor hears of it."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
import weakref
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import (
    NoSpace,
    OrchestratorError,
    ServerFailed,
    ServerUnreachable,
    StaleAttempt,
    Unauthenticated,
    Unavailable,
)
from orchestrator.sdk.backlog import Backlog, Message
from orchestrator.sdk.blobs import store_file
from orchestrator.sdk.console import ConsoleCopy
from orchestrator.sdk.notices import say
from orchestrator.sdk.series import SeriesBuffer

if TYPE_CHECKING:
    from orchestrator.sdk.client import Client

logger = logging.getLogger(__name__)

GATHER_SECONDS = 1.0
"""Reports are gathered for so long before they are sent."""
BATCH_POINTS = 10_000
CONSOLE_BYTES = 1 << 20
FIRST_DELAY_SECONDS, LAST_DELAY_SECONDS = 0.5, 15.0
CHILD_IDLE_SECONDS = 10.0
NOTICE_SECONDS = 1.5
PASSING = (ServerUnreachable, ServerFailed, Unavailable, NoSpace)
"""What may go better the next time."""
FAILURES = 5
"""So many failures of the server in a row are the fault of what is sent, if it answers something else meanwhile."""
OVER = (StaleAttempt, Unauthenticated)
"""What says that this attempt writes no more."""


class Sender:
    """The way to the server for one run in one process.

    A child made by `fork` begins anew: it is a writer of its own and sends what it reports itself.

    Args:
        client: speaks for the attempt.
        task_id: the run's task.
        directory: where what does not fit in memory goes.
    """

    def __init__(self, client: Client, *, task_id: str, directory: Path) -> None:
        self.directory = directory
        self.over = False
        """Whether the server takes nothing more of this attempt."""
        self.set_aside = 0
        """How many messages the server failed at again and again; they are in the directory, and nothing sends them."""
        self.console = ConsoleCopy(directory / "console", on_text=self._notice)
        self._client = client
        self._path = f"/tasks/{task_id}"
        self._owner = os.getpid()
        self._begin()
        os.register_at_fork(after_in_child=partial(_begin_in_child, weakref.ref(self)))

    def _begin(self) -> None:
        self._writer = os.urandom(16).hex()
        self._sequence = 0
        self._series = SeriesBuffer()
        self._backlog = Backlog(self.directory / f"backlog-{os.getpid()}")
        self._stored: dict[str, dict[str, Any]] = {}
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._asleep = False
        self._hurry = False
        self._closed = False
        self._progress = 0
        self._failures = 0
        self._try_again_at = 0.0
        self._delay_seconds = FIRST_DELAY_SECONDS

    def point(self, title: str, series: str, *, step: int, value: float) -> None:
        """Report one point of a series."""
        if self.over or self._closed:
            return
        with self._condition:
            self._series.add(title, series, step=step, value=value)
            if self._series.count >= BATCH_POINTS:
                self._take_series()
            if self._asleep or self._thread is None:
                self._notice()

    def put(self, message: Message) -> None:
        """Report something else; it is sent after what was reported before it."""
        if self.over or self._closed:
            return
        with self._condition:
            self._take_series()
            self._backlog.put(message)
        self._notice()

    def flush(self, *, idle_seconds: float, notice: str | None = None) -> bool:
        """Wait until everything is sent, for as long as it goes forward, and return whether it is.

        Args:
            idle_seconds: give up when nothing could be sent for so long.
            notice: a line that is printed when it takes long.
        """
        seen, deadline = -1, 0.0
        notice_at = time.monotonic() + NOTICE_SECONDS
        self._try_again_at = 0.0
        self._notice()
        while not self.is_empty():
            if self._progress != seen:
                seen, deadline = self._progress, time.monotonic() + idle_seconds
            elif time.monotonic() >= deadline:
                return False
            if notice is not None and time.monotonic() >= notice_at:
                say(notice)
                notice = None
            if self._thread is None or not self._thread.is_alive():
                self._send_all()
            with self._condition:
                self._hurry = True
                self._condition.notify_all()
                if not self.is_empty():
                    self._condition.wait(min(0.1, idle_seconds))
        return True

    def close(self) -> bool:
        """Send no more; return whether everything was sent, and leave on disk what was not."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        complete = self.is_empty()
        if not complete:
            self._take_series()
            self._backlog.save()
        self.console.close()
        return complete

    def is_empty(self) -> bool:
        """Tell whether nothing waits to be sent."""
        if self.over:
            return True
        return not (self._series.count or self._backlog or self._console_waits())

    def _console_waits(self) -> bool:
        return os.getpid() == self._owner and self.console.waiting_bytes > 0

    def _notice(self) -> None:
        """Wake the thread that sends, or start it."""
        if self._closed or self.over:
            return
        with self._condition:
            if self._thread is None:
                thread = threading.Thread(target=self._work, name="retrain-sender", daemon=True)
                with contextlib.suppress(RuntimeError):  # the interpreter ends: `flush` sends what is left itself
                    thread.start()
                    self._thread = thread
            elif self._asleep:
                self._condition.notify_all()

    def _work(self) -> None:
        while self._wait_for_work():
            self._send_all()
            with self._condition:
                self._condition.notify_all()

    def _wait_for_work(self) -> bool:
        """Wait until something is to be sent, and a little longer so that more comes along; False at the end."""
        with self._condition:
            while self.is_empty() and not self._closed:
                self._asleep = True
                self._condition.wait()
            self._asleep = False
            self._condition.wait_for(lambda: self._hurry or self._closed, timeout=GATHER_SECONDS)
            self._hurry = False
            while (patience := self._try_again_at - time.monotonic()) > 0 and not self._closed:
                self._condition.wait(timeout=patience)
            return not self._closed

    def _take_series(self) -> None:
        """Turn the points so far into a message; the caller holds the condition."""
        if not self._series.count:
            return
        body = {"writer": self._writer, "sequence": self._sequence, "points": self._series.take()}
        self._sequence += 1
        self._backlog.put(Message(method="POST", path=f"{self._path}/series", body=body))

    def _send_all(self) -> None:
        with self._condition:
            self._take_series()
        try:
            while (message := self._backlog.head()) is not None:
                try:
                    self._send(message)
                except ServerFailed as error:
                    self._failures += 1
                    if self._failures < FAILURES or not self._answers_else():
                        raise
                    self._set_aside(message, error=error)
                else:
                    self._failures = 0
                self._backlog.remove_head()
                self._progress += 1
            while self._console_waits():
                offset, data = self.console.next_part(CONSOLE_BYTES)
                answer = self._client.put_bytes(f"{self._path}/console", data, offset=offset)
                self.console.sent_until((answer or {}).get("length", offset + len(data)))
                self._progress += 1
        except PASSING as error:
            self._later(error)
        except OVER as error:
            self.over = True
            self._backlog.clear()
            say(f"from here on the run is not recorded: {error}")
        else:
            self._recovered()

    def _send(self, message: Message) -> None:
        """Send one message; say so and go on when the server will never take it."""
        try:
            body = message.body
            if message.file is not None:
                body = body | self._store(message.file)
            if message.files is not None:
                body = body | {"files": [{"path": name} | self._store(file) for name, file in message.files.items()]}
            if message.method == "PUT":
                self._client.put(message.path, body)
            elif message.key is None:
                self._client.post(message.path, body, repeatable=True)
            else:
                self._client.post(message.path, body, key=message.key)
            self._discard(message)
        except (*PASSING, *OVER):
            raise
        except (OrchestratorError, OSError) as error:
            say(f"not recorded: {error}")
        except Exception:  # training must outlive any fault of its bookkeeping
            logger.warning("a report could not be sent", exc_info=True, extra={"action": "report_lost"})

    def _store(self, file: str) -> dict[str, Any]:
        """Store a file's bytes, once for all tries to send what they belong to; return digest and size."""
        if file not in self._stored:
            digest, size_bytes = store_file(self._client, Path(file), on_bytes=self._step)
            self._stored[file] = {"digest": digest, "size_bytes": size_bytes}
        return self._stored[file]

    def _discard(self, message: Message) -> None:
        """Remove the copies of what was sent."""
        for file in [*([message.file] if message.file is not None else []), *(message.files or {}).values()]:
            Path(file).unlink(missing_ok=True)
            self._stored.pop(file, None)

    def _answers_else(self) -> bool:
        """Tell whether the server answers a question about the task."""
        try:
            self._client.get(self._path)
        except OVER:
            raise
        except OrchestratorError:
            return False
        return True

    def _set_aside(self, message: Message, *, error: ServerFailed) -> None:
        """Keep in a file what the server always fails at: it must hold up neither what follows nor the script's end."""
        self.set_aside += 1
        say(f"not recorded, for the server fails at it: {message.method} {message.path}: {error}")
        self._backlog.set_aside(message)

    def _step(self, _part: bytes) -> None:
        self._progress += 1

    def _later(self, error: OrchestratorError) -> None:
        if self._delay_seconds == FIRST_DELAY_SECONDS:
            say(f"{error.message} The run goes on; what it reports is kept and sent later.")
        self._try_again_at = time.monotonic() + self._delay_seconds
        self._delay_seconds = min(2 * self._delay_seconds, LAST_DELAY_SECONDS)

    def _recovered(self) -> None:
        if self._delay_seconds > FIRST_DELAY_SECONDS:
            self._delay_seconds = FIRST_DELAY_SECONDS
            say("The server answers again; everything so far is sent.")
        if self._backlog.dropped:
            say(f"{self._backlog.dropped} reports are lost: neither server nor disk could take them.")
            self._backlog.dropped = 0

    def begin_in_child(self) -> None:
        """Begin anew after a fork."""
        if self._closed:
            return
        self._begin()
        self.console.begin_in_child()
        util = sys.modules.get("multiprocessing.util")
        if util is not None:  # its children leave by os._exit, which no atexit function survives
            util.register_after_fork(self, Sender._flush_at_end_of_child)

    def _flush_at_end_of_child(self) -> None:
        util = sys.modules["multiprocessing.util"]
        util.Finalize(None, self.flush, kwargs={"idle_seconds": CHILD_IDLE_SECONDS}, exitpriority=1)


def _begin_in_child(reference: weakref.ref[Sender]) -> None:
    sender = reference()  # what is registered for forks stays forever; senders do not
    if sender is not None:
        sender.begin_in_child()
