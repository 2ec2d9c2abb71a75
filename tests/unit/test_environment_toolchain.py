from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import pytest

from agent.environment import HostToolchain
from agent.environment.containers import _lines
from agent.environment.toolchain import KEPT_LINES, Interpreter, Work, nearest
from orchestrator.errors import EnvironmentFailed


def interpreter(version: str, implementation: str = "cpython") -> Interpreter:
    return Interpreter(
        executable=f"/opt/{version}/bin/python", version=version, implementation=implementation, platform="linux-x86_64"
    )


def work(*commands: tuple[str, ...], **variables: str) -> Work:
    return Work(commands=commands, variables=variables, writable=())


def test_an_interpreter_survives_being_written_down() -> None:
    assert Interpreter.parse(interpreter("3.12.1").text()) == interpreter("3.12.1")


def test_the_very_version_is_preferred_and_a_patch_apart_is_accepted() -> None:
    found = (interpreter("3.11.2"), interpreter("3.11.7"), interpreter("3.12.1"))
    assert nearest(found, python="3.11.7", implementation="cpython", place="here").version == "3.11.7"
    assert nearest(found, python="3.11.9", implementation="cpython", place="here").version == "3.11.2"


@pytest.mark.parametrize(("python", "implementation"), [("3.1.5", "cpython"), ("3.11.7", "pypy")])
def test_an_interpreter_that_is_not_there_is_named_with_those_that_are(python: str, implementation: str) -> None:
    with pytest.raises(EnvironmentFailed, match=rf"{implementation} {python}; on here there is cpython 3\.11\.7"):
        nearest((interpreter("3.11.7"),), python=python, implementation=implementation, place="here")


def test_this_machine_has_the_interpreter_that_runs_the_tests() -> None:
    toolchain = HostToolchain()
    found = toolchain.describe(platform.python_version(), implementation=sys.implementation.name)
    assert found.version == platform.python_version()
    assert Path(found.executable).is_absolute()
    assert toolchain.stamp(found.executable)
    assert toolchain.stamp("/no/such/python") == ""


def test_commands_run_until_one_fails_and_arguments_are_literal() -> None:
    lines: list[str] = []
    program = "import sys; print(sys.argv[1]); sys.exit(int(sys.argv[2]))"
    outcome = HostToolchain().run(
        work(
            (sys.executable, "-c", program, "$(id); `x` *", "0"),
            (sys.executable, "-c", program, "second", "3"),
            (sys.executable, "-c", program, "never", "0"),
        ),
        on_line=lines.append,
    )
    assert (outcome.code, outcome.lines) == (3, ("$(id); `x` *", "second"))
    assert lines == ["$(id); `x` *", "second"]


def test_only_the_given_variables_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRAIN_TOKEN", "rt_secret")
    program = "import os; print('RETRAIN_TOKEN' in os.environ, os.environ['GIVEN'])"
    outcome = HostToolchain().run(work((sys.executable, "-c", program), GIVEN="yes"), on_line=lambda _line: None)
    assert outcome.lines == ("False yes",)


def test_endless_output_is_bounded() -> None:
    program = f"print('x\\n' * {KEPT_LINES * 3})"
    outcome = HostToolchain().run(work((sys.executable, "-c", program)), on_line=lambda _line: None)
    assert len(outcome.lines) == KEPT_LINES


def test_a_listener_that_raises_ends_the_work(tmp_path: Path) -> None:
    program = f"""
import os, pathlib, time
pathlib.Path({str(tmp_path / "pid")!r}).write_text(str(os.getpid()))
print("go", flush=True)
time.sleep(600)
"""

    def stop(_line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        HostToolchain().run(work((sys.executable, "-c", program)), on_line=stop)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_pieces_of_any_length_become_lines() -> None:
    assert list(_lines([b"on", b"e\ntwo\nthr\xc3", b"\xa9e"])) == ["one", "two", "thrée"]
