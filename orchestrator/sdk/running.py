"""The run that this process is: by hand, beneath an agent's supervisor, or without a server."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orchestrator.errors import OrchestratorError, StaleAttempt
from orchestrator.sdk.console import Tee
from orchestrator.sdk.exits import Ending, ExitWatch
from orchestrator.sdk.notices import say
from orchestrator.sdk.sender import PASSING, Sender

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.sdk.backlog import Message
    from orchestrator.sdk.client import Client
    from orchestrator.sdk.connect import Typed

JOIN_FILE = "RETRAIN_JOIN_FILE"
"""Set by a run by hand for the processes that its script spawns through multiprocessing: how to report for it."""
IDLE_SECONDS = 10.0
"""At the end a run by hand waits for the server until nothing went forward for so long."""
ORPHAN_SECONDS = 24 * 3600.0
"""The same under an agent: nobody waits at a terminal, and the agent ends what takes too long."""


class Run:
    """A run without a server: nothing is recorded, everything else works.

    Attributes:
        task: the task's record as JSON values.
        attempt: which try this is.
        parameters: the task's, by full name.
        injects: whether the task's parameters overrule the script's own values.
        client: speaks for the attempt; None where there is no server.
    """

    client: Client | None = None
    sender: Sender | None = None
    injects = False

    def __init__(self, task: dict[str, Any], *, attempt: int, parameters: list[dict[str, Any]]) -> None:
        self.task = task
        self.attempt = attempt
        self.parameters: dict[str, Typed] = {each["name"]: (each["type"], each["value"]) for each in parameters}

    @property
    def offline(self) -> bool:
        """Whether nothing is recorded because no server answered at the start."""
        return self.client is None

    def point(self, title: str, series: str, *, step: int, value: float) -> None:
        """Report one point of a series."""
        if self.sender is not None:
            self.sender.point(title, series, step=step, value=value)

    def put(self, message: Message) -> None:
        """Report something else."""
        if self.sender is not None:
            self.sender.put(message)

    def flush(self) -> bool:
        """Wait until what was reported is sent, at most until the server seems gone; return whether it is."""
        return self.sender is None or self.sender.flush(idle_seconds=IDLE_SECONDS)

    def end(self, ending: Ending | None = None) -> None:
        """Send what is left and close; a run by hand tells the server how it ended."""


class Recorded(Run):
    """A run whose attempt another process keeps alive: an agent's supervisor, or the parent of a spawned child."""

    injects = True
    idle_seconds = ORPHAN_SECONDS

    def __init__(self, claim: dict[str, Any], *, client: Client, directory: Path) -> None:
        super().__init__(claim["task"], attempt=claim["attempt"]["number"], parameters=claim["parameters"])
        self.client = client
        self.directory = directory
        self.sender: Sender = Sender(client, task_id=self.task["id"], directory=directory)
        self.watch = ExitWatch()
        self.watch.install()
        self._process = os.getpid()
        self._ended = False
        atexit.register(self.end)

    def end(self, ending: Ending | None = None) -> None:
        """Send what is left and close."""
        if self._ended or os.getpid() != self._process:
            return
        self._ended = True
        self.watch.remove()
        atexit.unregister(self.end)
        complete = False
        try:
            self._prepare_end()
            notice = "sending what the run reported; Ctrl-C leaves the rest unsent"
            complete = self.sender.flush(idle_seconds=self.idle_seconds, notice=notice)
            patience_seconds = IDLE_SECONDS / 2 if complete else 0.0
            complete &= self._tell_end(ending or self.watch.ending(), patience_seconds=patience_seconds)
        except KeyboardInterrupt:
            complete = False
        if self.sender.close() and complete and not self.sender.set_aside:
            shutil.rmtree(self.directory, ignore_errors=True)
        else:
            self._keep_rest()
        if self.client is not None:
            self.client.close()

    def _keep_rest(self) -> None:
        """Say what becomes of what could not be sent: with the attempt, or the parent, its directory goes."""
        say("some of what the run reported could not be sent, and is lost")

    def _prepare_end(self) -> None:
        """Stop what would report more."""

    def _tell_end(self, ending: Ending, *, patience_seconds: float) -> bool:  # noqa: ARG002  for those who say it
        """Tell the server how it ended, where that is this process's to say; return whether it knows."""
        return True


class ByHand(Recorded):
    """A run that a person started: this process keeps the attempt's lease and says how it ended."""

    injects = False
    idle_seconds = IDLE_SECONDS

    def __init__(
        self, claim: dict[str, Any], *, client: Client, heart_client: Client, directory: Path, copies_streams: bool
    ) -> None:
        directory.mkdir(mode=0o700, parents=True)
        super().__init__(claim, client=client, directory=directory)
        self._heartbeat_seconds = claim["heartbeat_seconds"]
        self._heart_client = heart_client
        self._over = threading.Event()
        self._stop_requested = False
        self._handed_over = False
        self._tee = Tee(self.sender.console) if copies_streams else None
        if self._tee is not None:
            self._tee.install()
        self._join_file = directory / "join.json"
        self._offer_to_children(claim, url=client.url)
        threading.Thread(target=self._beat, name="retrain-heartbeat", daemon=True).start()

    def hand_over(self, queue: str) -> None:
        """Put the task into a queue, for an agent to go on with, and end this attempt.

        Raises:
            OrchestratorError: the server refuses; the run goes on here.
        """
        if self.client is not None:
            self.sender.flush(idle_seconds=IDLE_SECONDS)
            self.client.post(f"/tasks/{self.task['id']}/enqueue", {"queue": queue})
        self._handed_over = self.sender.over = True
        self._over.set()

    def _prepare_end(self) -> None:
        if self._tee is not None:
            self._tee.remove()
        if os.environ.get(JOIN_FILE) == str(self._join_file):
            del os.environ[JOIN_FILE]

    def _keep_rest(self) -> None:
        self._join_file.unlink(missing_ok=True)  # it holds the attempt's token
        say(f"what could not be sent is kept in {self.directory}, for you to look at; nothing sends it later")

    def _tell_end(self, ending: Ending, *, patience_seconds: float) -> bool:
        self._over.set()
        if self._handed_over or self.sender.over or self.client is None:
            return True
        reason, message = ending.reason, ending.message
        if self._stop_requested and reason != "script_failed":
            reason, message = "stopped", "a stop was requested"
        body = {"reason": reason, "exit_code": ending.exit_code, "message": message}
        deadline = time.monotonic() + patience_seconds
        while True:
            try:
                self.client.post(f"/tasks/{self.task['id']}/finish", body, repeatable=True)
            except PASSING as error:
                if time.monotonic() >= deadline:
                    say(f"the server was not told how the run ended ({reason}): {error}")
                    return False
                time.sleep(0.5)
            except OrchestratorError as error:
                say(f"the server did not accept how the run ended ({reason}): {error}")
                return True
            else:
                return True

    def _offer_to_children(self, claim: dict[str, Any], *, url: str) -> None:
        descriptor = os.open(self._join_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as target:
            json.dump({**claim, "url": url}, target)
        os.environ[JOIN_FILE] = str(self._join_file)

    def _beat(self) -> None:
        with self._heart_client:
            self._keep_lease()

    def _keep_lease(self) -> None:
        """Extend the lease and listen for a request to stop, until the run is over."""
        path = f"/tasks/{self.task['id']}/heartbeat"
        body: dict[str, Any] = {"started_at": datetime.now(UTC).isoformat()}
        wait_seconds, delay_seconds = 0.0, 0.5
        while not self._over.is_set():
            body["wait_seconds"] = wait_seconds
            try:
                timeout_seconds = wait_seconds + IDLE_SECONDS
                answer = self._heart_client.post(path, body, repeatable=True, timeout_seconds=timeout_seconds)
            except StaleAttempt as error:
                self._lose(error)
                return
            except OrchestratorError:  # the sender tells of it where there is something to send
                self._over.wait(delay_seconds)
                delay_seconds = min(2 * delay_seconds, self._heartbeat_seconds)
                continue
            delay_seconds, body = 0.5, {}
            if self._stop_requested:
                self._over.wait(self._heartbeat_seconds)
            elif answer["stop_requested"]:
                self._stop()
                wait_seconds = 0.0
            else:
                wait_seconds = self._heartbeat_seconds

    def _stop(self) -> None:
        self._stop_requested = True
        if not self._over.is_set():
            say("a stop was requested: interrupting the script")
            main = threading.main_thread().ident
            if main is not None:  # as Ctrl-C would, so that a sleep or a read ends, too
                signal.pthread_kill(main, signal.SIGINT)

    def _lose(self, error: StaleAttempt) -> None:
        if not self._over.is_set():
            self.sender.over = True
            say(f"the script goes on, but is not recorded any more: {error}")
