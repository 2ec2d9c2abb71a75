from __future__ import annotations

import subprocess
import sys

import pytest

WATCHED = """
import atexit, sys, threading
from orchestrator.sdk.exits import ExitWatch
watch = ExitWatch()
watch.install()
def tell():
    ending = watch.ending()
    print(ending.reason, ending.exit_code, ending.message, sep="|")
atexit.register(tell)
"""


@pytest.mark.parametrize(
    ("script", "code", "ending"),
    [
        ("pass", 0, "completed|0|None"),
        ("sys.exit()", 0, "completed|0|None"),
        ("sys.exit(0)", 0, "completed|0|None"),
        ("sys.exit(3)", 3, "script_failed|3|exit code 3"),
        ("sys.exit('no data')", 1, "script_failed|1|no data"),
        ("1 / 0", 1, "script_failed|1|ZeroDivisionError: division by zero"),
        ("sys.excepthook = lambda *_: None; 1 / 0", 1, "script_failed|1|ZeroDivisionError: division by zero"),
        ("raise KeyboardInterrupt", 130, "stopped|130|interrupted by Ctrl-C"),
        ("import signal; signal.raise_signal(signal.SIGTERM)", 143, "stopped|143|terminated"),
        ("import argparse; argparse.ArgumentParser().parse_args(['--unknown'])", 2, "script_failed|2|exit code 2"),
        ("try: sys.exit(5)\nexcept SystemExit as error: assert error.code == 5", 0, "completed|0|None"),
        ("t = threading.Thread(target=lambda: sys.exit(4)); t.start(); t.join()", 0, "completed|0|None"),
        ("watch.remove(); sys.exit(6)", 6, "completed|0|None"),
    ],
)
def test_every_way_out_is_told_apart_and_still_works(script: str, code: int, ending: str) -> None:
    done = subprocess.run([sys.executable, "-c", WATCHED + script], capture_output=True, text=True, check=False)
    assert (done.returncode if done.returncode >= 0 else 128 - done.returncode) == code
    assert done.stdout.strip() == ending
    assert "Thread" not in done.stderr


def test_a_traceback_is_printed_as_ever() -> None:
    done = subprocess.run([sys.executable, "-c", WATCHED + "1 / 0"], capture_output=True, text=True, check=False)
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")
    assert "Traceback (most recent call last)" in done.stderr
