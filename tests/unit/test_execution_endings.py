"""What is told of an ended run, from its exit status and its console."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from agent.execution.base import CONSOLE, Run, ended
from orchestrator.records.task import ExitReason

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2024, 1, 1, tzinfo=UTC)


def told(directory: Path, script: str) -> str | None:
    """What is told of a script that ran by hand."""
    with (directory / CONSOLE).open("wb") as console:
        command = [sys.executable, "-u", "-c", script]
        code = subprocess.run(command, stdout=console, stderr=console, check=False).returncode
    run = Run(run_directory=directory, handle="1", started_at=NOW)
    return ended(run, code=code, ended_at=NOW, out_of_memory=False).message


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("raise ValueError('böse')", "ValueError: böse"),
        ("raise KeyError", "KeyError"),
        ("import json; json.loads('')", "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)"),
        ("raise ValueError('first\\nand more')", "ValueError: first"),
        ("try:\n 1/0\nexcept ZeroDivisionError:\n raise OSError('second')", "OSError: second"),
        ("import atexit; atexit.register(print, 'retrain: bye'); raise ValueError('x')", "ValueError: x"),
        ("print('x', y", "SyntaxError: '(' was never closed"),
        ("import traceback\ntry:\n 1/0\nexcept OSError: pass", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(1)", "The script ended with exit code 1."),
        (
            "import traceback as t\ntry: 1/0\nexcept: t.print_exc()\nprint('\\n' * 99); exit(1)",
            "The script ended with exit code 1.",
        ),
        ("raise SystemExit(3)", "The script ended with exit code 3."),
        ("print('Traceback (most recent call last):')", None),
    ],
)
def test_an_exception_that_nobody_caught_is_what_is_told(script: str, message: str | None, tmp_path: Path) -> None:
    assert told(tmp_path, script) == message


def test_without_a_console_the_exit_code_is_told(tmp_path: Path) -> None:
    run = Run(run_directory=tmp_path, handle="1", started_at=NOW)
    result = ended(run, code=1, ended_at=NOW, out_of_memory=False)
    assert (result.reason, result.message) == (ExitReason.SCRIPT_FAILED, "The script ended with exit code 1.")
