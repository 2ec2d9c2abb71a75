"""Children by fork: everything is loaded already, no interpreter starts."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

logger = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def fork(work: Callable[[], int]) -> int:
    """Run `work` in a child and return the child's process id; what it returns is the child's exit status.

    The caller must have a single thread. The child begins with default signal handlers and an empty mask.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGCHLD, signal.SIGUSR1):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        status = work()
    except BaseException:  # whatever it was, the child must not go on as its parent
        logger.exception("a child process failed", extra={"action": "child_failed"})
    finally:
        logging.shutdown()
        os._exit(status)


def end_with_parent(parent: int) -> None:
    """Have this process get SIGTERM when its parent dies.

    Args:
        parent: the parent's process id. Where it is gone already, this process ends at once.
    """
    if _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        os._exit(0)


def detach(log: Path) -> None:
    """Make this process the leader of a session of its own that reads nothing and writes to a log file."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(nothing, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.close(nothing)
    os.close(out)
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.addHandler(handler)
