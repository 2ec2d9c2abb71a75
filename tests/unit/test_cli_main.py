from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from orchestrator.cli.main import COMMANDS, main
from orchestrator.errors import InvalidRequest, NotFound, ServerUnreachable

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def runner(tmp_path: Path) -> CliRunner:
    return CliRunner(env={"RETRAIN_HOME": str(tmp_path), "RETRAIN_URL": "", "RETRAIN_TOKEN": ""})


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_list_exists_and_has_help(runner: CliRunner, name: str) -> None:
    result = runner.invoke(main, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage: main" in result.output


def test_help_lists_all_commands_without_importing_them() -> None:
    code = (
        "import sys\n"
        "sys.argv = ['retrain', '--help']\n"
        "from orchestrator.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit:\n"
        "    print(sorted(name for name in sys.modules if name.startswith('orchestrator.cli.')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(name in done.stdout for name in COMMANDS)
    assert done.stdout.splitlines()[-1] == "['orchestrator.cli.main']"


def test_a_list_imports_nothing_heavy() -> None:
    code = (
        "import sys, orchestrator.cli.task\n"
        "print({'pydantic', 'rich', 'httpx', 'fastapi', 'sqlalchemy', 'git', 'psutil', 'blake3'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_no_server_anywhere_is_one_line_with_the_command_that_starts_one(runner: CliRunner) -> None:
    result = runner.invoke(main, ["task", "list"])
    assert result.exit_code == 3
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert "retrain up" in result.stderr


def test_a_server_that_is_not_there_is_one_line_with_its_url(runner: CliRunner) -> None:
    url = "http://127.0.0.1:9"
    result = runner.invoke(main, ["task", "list"], env={"RETRAIN_URL": url, "RETRAIN_TOKEN": "rt_x"})
    assert result.exit_code == 3
    assert result.stderr.startswith(f"error: No server answers at {url}")
    assert result.stderr.count("\n") == 1
    assert "retrain up" in result.stderr


@pytest.mark.parametrize("arguments", [["nonsense"], ["task", "nonsense"], ["task", "show"], ["task", "list", "--x"]])
def test_wrong_use_is_exit_code_2(runner: CliRunner, arguments: list[str]) -> None:
    assert runner.invoke(main, arguments).exit_code == 2


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (NotFound("There is no such task.", hint="See."), 1),
        (InvalidRequest("That cannot be."), 2),
        (ServerUnreachable("Nobody answers."), 3),
        (KeyboardInterrupt(), 130),
    ],
)
def test_the_exit_code_tells_how_it_went(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch, raised: BaseException, code: int
) -> None:
    @click.command()
    def broken() -> None:
        raise raised

    monkeypatch.setattr(type(main), "get_command", lambda *_: broken)
    result = runner.invoke(main, ["broken"])
    assert result.exit_code == code
    assert "Traceback" not in result.output
