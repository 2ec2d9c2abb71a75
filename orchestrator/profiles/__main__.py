"""The process that opens files of other people, so that no parser's memory or crash is the server's.

It reads requests from standard input and answers on standard output, a line of JSON each, one after the other:

    {"file": PATH, "offset": n, "size_bytes": n, "name": "a/b.csv"}    -> {"profile": {…}}
    {"merge": [[path, profile], …]} in any number of lines, then
    {"done": true, "files": n}                                         -> {"dataset": {…}}

What goes wrong with a request is answered as {"error": "…"}. It ends when its input does, or has been idle for a while.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import select
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

_READ_BYTES = 1 << 16
_MOST_MEMORY_BYTES = 4 << 30
"""Of addresses: a file that is made to fill the memory ends this process and no other."""
_GRACE_SECONDS = 5
"""Whoever asked ends the process in time; this is for when nobody is left."""


def main(arguments: list[str] | None = None) -> None:
    """Answer requests until there are no more."""
    parser = argparse.ArgumentParser(prog="orchestrator.profiles", description=__doc__)
    parser.add_argument("--idle-seconds", type=float, default=60.0, help="end when nothing was asked for so long")
    parser.add_argument(
        "--file-seconds", type=float, default=60.0, help="read a table for half of it, end soon after it"
    )
    options = parser.parse_args(arguments)
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY_BYTES, _MOST_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # gives memory back; the others keep it
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's: each takes memory, none has work
    # Whatever a library prints must not stand among the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    import pyarrow as pa  # noqa: PLC0415  reads the variable above when it is imported

    from orchestrator.profiles.files import Limits, profile_file  # noqa: PLC0415  imports pyarrow
    from orchestrator.profiles.merge import Merger  # noqa: PLC0415  imports pyarrow
    from orchestrator.records.profile import FileProfile  # noqa: PLC0415  as late as what it is for

    # It answers through a pipe and writes no files; what went wrong up to here still gets into a log that is one.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    limits = Limits(seconds=options.file_seconds / 2)
    merger = Merger()
    for line in _lines(sys.stdin.buffer, idle_seconds=options.idle_seconds):
        # The kernel ends a process that a parser holds in a loop.
        signal.alarm(math.ceil(options.file_seconds) + _GRACE_SECONDS)
        try:
            request = json.loads(line)
            answer: str | None
            if "file" in request:
                with open(request["file"], "rb") as source:  # noqa: PTH123  the path may be one of /proc/self/fd
                    profile = profile_file(
                        source,
                        name=request["name"],
                        size_bytes=request["size_bytes"],
                        offset=request["offset"],
                        limits=limits,
                    )
                answer = f'{{"profile":{profile.model_dump_json()}}}'
            elif "merge" in request:
                answer = None
                for path, kept in request["merge"]:
                    merger.add(path, FileProfile.from_wire(kept))
            else:
                dataset, merger = merger.profile(files=request.get("files")), Merger()
                answer = f'{{"dataset":{dataset.model_dump_json()}}}'
        except Exception as error:  # noqa: BLE001  the answer tells whoever asked
            merger, answer = Merger(), json.dumps({"error": f"{type(error).__name__}: {error}"})
        signal.alarm(0)
        if answer is not None:
            answers.write(answer.encode("utf-8", "replace") + b"\n")
            answers.flush()


def _lines(source: BinaryIO, *, idle_seconds: float) -> Iterator[bytes]:
    """Read lines until the end, or until none came for a while."""
    pending: list[bytes] = []
    while select.select([source], [], [], idle_seconds)[0]:
        data = os.read(source.fileno(), _READ_BYTES)
        if not data:
            return
        *lines, rest = data.split(b"\n")
        for line in lines:
            yield b"".join([*pending, line])
            pending = []
        pending.append(rest)


if __name__ == "__main__":
    main()
