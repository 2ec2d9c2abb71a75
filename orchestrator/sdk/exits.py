"""Finds out how this process ends: well, by an exception, by Ctrl-C, by an exit code, by a request to terminate."""

from __future__ import annotations

import signal
import sys
import threading
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from types import FrameType, TracebackType

_TERMINATED = 128 + signal.SIGTERM
_MESSAGE_LENGTH = 1000


@dataclass(kw_only=True)
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
        self.ending = Ending()
        self._excepthook = sys.excepthook
        self._exit = sys.exit
        self._sigterm: Any = None

    def install(self) -> None:
        """Begin to listen."""
        self._excepthook, sys.excepthook = sys.excepthook, self._on_exception
        self._exit, sys.exit = sys.exit, self._on_exit
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            # The default ends the process on the spot, with the last second's reports unsent.
            self._sigterm = signal.signal(signal.SIGTERM, self._on_terminate)

    def remove(self) -> None:
        """Give back what is still ours."""
        if sys.excepthook == self._on_exception:
            sys.excepthook = self._excepthook
        if sys.exit == self._on_exit:
            sys.exit = self._exit
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and self._sigterm is not None and signal.getsignal(signal.SIGTERM) == self._on_terminate:
            signal.signal(signal.SIGTERM, self._sigterm)

    def _on_exception(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            self.ending = Ending(reason="stopped", exit_code=128 + signal.SIGINT, message="interrupted by Ctrl-C")
        else:
            last_line = traceback.format_exception_only(kind, error)[-1].strip()
            self.ending = Ending(reason="script_failed", exit_code=1, message=last_line[:_MESSAGE_LENGTH])
        self._excepthook(kind, error, trace)

    def _on_exit(self, status: Any = None, /) -> NoReturn:  # noqa: ANN401  sys.exit takes anything
        if threading.current_thread() is not threading.main_thread():
            self._exit(status)  # ends that thread alone
        raise _Exit(self, status)

    def _on_terminate(self, _signal: int, _frame: FrameType | None) -> NoReturn:
        self.ending = Ending(reason="stopped", exit_code=_TERMINATED, message="terminated")
        raise SystemExit(_TERMINATED)

    def _on_last_exit(self, status: object) -> None:
        if self.ending.reason != "completed":
            return
        code = status if isinstance(status, int) else 0 if status is None else 1
        if code:
            message = f"exit code {code}" if isinstance(status, int) else str(status)[:_MESSAGE_LENGTH]
            self.ending = Ending(reason="script_failed", exit_code=code, message=message)


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
