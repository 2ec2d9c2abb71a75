"""The side of the server that asks the profiling process."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Self

from orchestrator.errors import Unavailable
from orchestrator.records.profile import DatasetProfile, FileKind, FileProfile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import IO

FILE_SECONDS = 60.0
MERGE_SECONDS = 600.0
_LINE_BYTES = 1 << 20
_READ_BYTES = 1 << 16
_FAREWELL_SECONDS = 5.0
_PARTS = ("datasketches", "numpy", "PIL", "pyarrow", "tinytag")
_INSTALL = "pip install 'retrain-orchestrator[previews]'"


def available() -> str | None:
    """Return None where files can be profiled here, else the line that installs what is missing."""
    return None if all(map(importlib.util.find_spec, _PARTS)) else _INSTALL


_HANDED_ON = ("PATH", "PYTHONPATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ")
"""Of the server's variables: the files are strangers', and passwords and keys are no business of what reads them."""


class _Ended(Exception):
    """The process ended, or was ended, before it answered."""


class ProfilerProcess:
    """A process that profiles files for one thread; started when it is first asked, again after it crashed.

    Args:
        file_seconds: how long one file may take.
        idle_seconds: the process ends when nothing was asked for so long; the next request starts another.
    """

    def __init__(self, *, file_seconds: float = FILE_SECONDS, idle_seconds: float = 60.0) -> None:
        self._file_seconds = file_seconds
        self._idle_seconds = idle_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._asked_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The process's number, while there is one."""
        return self._process.pid if self._process else None

    def profile(self, file: Path, *, name: str, size_bytes: int, offset: int = 0) -> FileProfile:
        """Profile a file's bytes; whatever happens to the process becomes the `error` of this file alone.

        Args:
            file: where they lie.
            name: the file's path in its dataset.
            size_bytes: how many they are.
            offset: where they begin in `file`.

        Raises:
            Unavailable: the process cannot be started.
        """
        request = {"file": str(file), "offset": offset, "size_bytes": size_bytes, "name": name}
        try:
            answer = self._ask([_line(request)], seconds=self._file_seconds)
        except _Ended as ended:
            answer = {"error": str(ended)}
        if "error" in answer:
            return FileProfile(kind=FileKind.OTHER, size_bytes=size_bytes, error=answer["error"], transient=True)
        return FileProfile.from_wire(answer["profile"])

    def merge(self, profiles: Iterable[tuple[str, FileProfile]], *, files: int | None = None) -> DatasetProfile:
        """Merge the profiles of a version's files.

        Args:
            profiles: paths and profiles.
            files: how many files the version has, where not all of them were profiled.

        Raises:
            Unavailable: the process cannot be started, or ended meanwhile.
        """
        try:
            answer = self._ask(_merge_lines(profiles, files=files), seconds=MERGE_SECONDS)
        except _Ended as ended:
            raise Unavailable(f"The statistics of files could not be merged: {ended}.", hint="Try again.") from ended
        if "error" in answer:
            raise Unavailable(f"The statistics of files could not be merged: {answer['error']}.")
        return DatasetProfile.from_wire(answer["dataset"])

    def close(self) -> None:
        """End the process."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.kill()  # it holds nothing that is worth a farewell
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def _ask(self, lines: Iterable[bytes], *, seconds: float) -> dict[str, Any]:
        """Send lines and return the answer to the last.

        Raises:
            _Ended: the process did not live to answer; why.
        """
        if time.monotonic() - self._asked_at > self._idle_seconds / 2:
            self.close()  # it is about to end, or has, since nobody asked
        self._start()
        self._asked_at = time.monotonic()
        deadline = time.monotonic() + seconds
        try:
            for line in lines:
                self._send(line, deadline=deadline)
            answer: dict[str, Any] = json.loads(self._receive(deadline=deadline))
        except TimeoutError as error:
            self.close()
            raise _Ended(f"it took longer than {seconds:g} seconds to read") from error
        except (BrokenPipeError, EOFError) as error:
            raise _Ended(self._obituary()) from error
        except BaseException:
            self.close()  # half of an exchange: what comes next would not be an answer
            raise
        self._asked_at = time.monotonic()
        return answer

    def _start(self) -> None:
        if self._process is not None:
            return
        missing = available()
        if missing:
            raise Unavailable("Parts that read files for their statistics are missing.", hint=f"Run: {missing}")
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "orchestrator.profiles",
                f"--idle-seconds={self._idle_seconds}",
                f"--file-seconds={self._file_seconds}",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={name: os.environ[name] for name in _HANDED_ON if name in os.environ},
        )
        os.set_blocking(self._pipes()[0].fileno(), False)

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        """Return where requests go and where answers come from."""
        if self._process is None or self._process.stdin is None or self._process.stdout is None:
            raise EOFError
        return self._process.stdin, self._process.stdout

    def _send(self, line: bytes, *, deadline: float) -> None:
        pipe = self._pipes()[0].fileno()
        left = memoryview(line)
        while left:
            _wait(pipe, selectors.EVENT_WRITE, deadline=deadline)
            left = left[os.write(pipe, left) :]

    def _receive(self, *, deadline: float) -> bytes:
        pipe = self._pipes()[1].fileno()
        parts: list[bytes] = []
        while True:
            _wait(pipe, selectors.EVENT_READ, deadline=deadline)
            data = os.read(pipe, _READ_BYTES)
            if not data:
                raise EOFError
            parts.append(data)
            if data.endswith(b"\n"):  # one request, one line: nothing follows it
                return b"".join(parts)

    def _obituary(self) -> str:
        """Clear away a process that ended by itself, and tell how it did."""
        process = self._process
        code = None
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):  # it closed its pipes and lives on
                code = process.wait(_FAREWELL_SECONDS)
        self.close()
        how = "" if code is None else f" by {signal.Signals(-code).name}" if code < 0 else f" with exit status {code}"
        return f"the process that read it ended{how}"


def _wait(pipe: int, event: int, *, deadline: float) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, event)
        if not selector.select(max(0.0, deadline - time.monotonic())):
            raise TimeoutError


def _merge_lines(profiles: Iterable[tuple[str, FileProfile]], *, files: int | None) -> Iterator[bytes]:
    pending: list[str] = []
    size = 0
    for path, profile in profiles:
        pending.append(f"[{json.dumps(path)},{profile.model_dump_json()}]")
        size += len(pending[-1])
        if size >= _LINE_BYTES:
            yield f'{{"merge":[{",".join(pending)}]}}\n'.encode()
            pending, size = [], 0
    if pending:
        yield f'{{"merge":[{",".join(pending)}]}}\n'.encode()
    yield _line({"done": True, "files": files})


def _line(request: dict[str, Any]) -> bytes:
    return json.dumps(request).encode() + b"\n"


__all__ = ["FILE_SECONDS", "ProfilerProcess", "available"]
