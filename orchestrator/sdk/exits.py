"""Finds out how this process ends: well, by an exception, by Ctrl-C, by an exit code, by a request to terminate."""

from __future__ import annotations

import signal
import sys
import threading
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from types import FrameType

_TERMINATED = 128 + signal.SIGTERM
_MESSAGE_LENGTH = 1000


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How the process ends, as far as is known: well, until something else is heard of.

    A bare `raise SystemExit(n)` leaves no trace that Python code can see, and counts as well, too; `sys.exit(n)` does
    not.
    """

    reason: str = "completed"
    exit_code: int = 0
    message: str | None = None


class ExitWatch:
    """Listens at every way out of this interpreter, and leaves each of them working as it did."""

    def __init__(self) -> None:
        self._heard: Ending | None = None
        self._exit = sys.exit
        self._sigterm: Any = None
        self._earlier_error = getattr(sys, "last_value", None)

    def install(self) -> None:
        """Begin to listen."""
        self._exit, sys.exit = sys.exit, self._on_exit
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            # The default ends the process on the spot, with the last second's reports unsent.
            self._sigterm = signal.signal(signal.SIGTERM, self._on_terminate)

    def remove(self) -> None:
        """Give back what is still ours."""
        if sys.exit == self._on_exit:
            sys.exit = self._exit
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and self._sigterm is not None and signal.getsignal(signal.SIGTERM) == self._on_terminate:
            signal.signal(signal.SIGTERM, self._sigterm)

    def ending(self) -> Ending:
        """Return how the process ends, as far as is known now."""
        if self._heard is not None:
            return self._heard
        # The interpreter sets it for an exception that nobody caught, whoever replaced sys.excepthook.
        error = getattr(sys, "last_value", None)
        if error is None or error is self._earlier_error or hasattr(sys, "ps1"):
            return Ending()
        if isinstance(error, KeyboardInterrupt):
            return Ending(reason="stopped", exit_code=128 + signal.SIGINT, message="interrupted by Ctrl-C")
        last_line = traceback.format_exception_only(error)[-1].strip()
        return Ending(reason="script_failed", exit_code=1, message=last_line[:_MESSAGE_LENGTH])

    def _on_exit(self, status: Any = None, /) -> NoReturn:  # noqa: ANN401  sys.exit takes anything
        if threading.current_thread() is not threading.main_thread():
            self._exit(status)  # ends that thread alone
        raise _Exit(self, status)

    def _on_terminate(self, _signal: int, _frame: FrameType | None) -> NoReturn:
        self._heard = Ending(reason="stopped", exit_code=_TERMINATED, message="terminated")
        raise SystemExit(_TERMINATED)

    def _on_last_exit(self, status: object) -> None:
        if self._heard is not None:
            return
        code = status if isinstance(status, int) else 0 if status is None else 1
        if code:
            message = f"exit code {code}" if isinstance(status, int) else str(status)[:_MESSAGE_LENGTH]
            self._heard = Ending(reason="script_failed", exit_code=code, message=message)


_CODE: Any = vars(SystemExit)["code"]


class _Exit(SystemExit):
    """What `sys.exit` raises while somebody watches.

    Many catch it and go on. It counts only when the interpreter itself asks for the code, as it does last of all.
    """

    def __init__(self, watch: ExitWatch, status: object) -> None:
        super().__init__(*(() if status is None else (status,)))
        self._watch = watch

    @property
    def code(self) -> Any:  # noqa: ANN401  sys.exit takes anything
        status = _CODE.__get__(self)
        if sys._getframe().f_back is None:  # noqa: SLF001  no Python code asks
            self._watch._on_last_exit(status)  # noqa: SLF001  the two are one
        return status

    @code.setter
    def code(self, status: object) -> None:
        _CODE.__set__(self, status)

    def __reduce__(self) -> tuple[type[SystemExit], tuple[object, ...]]:
        return SystemExit, self.args


_Exit.__name__ = _Exit.__qualname__ = "SystemExit"
