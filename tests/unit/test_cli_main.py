from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from orchestrator.cli.main import COMMANDS, main
from orchestrator.cli.up import in_other_terminals
from orchestrator.errors import InvalidRequest, NotFound, ServerUnreachable


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
        (PermissionError(13, "Permission denied", "/some/file"), 2),
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


def test_an_error_of_the_system_is_one_line_with_the_file(runner: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def broken() -> None:
        raise PermissionError(13, "Permission denied", "/some/file")

    monkeypatch.setattr(type(main), "get_command", lambda *_: broken)
    result = runner.invoke(main, ["broken"])
    assert result.stderr.startswith("error: /some/file: Permission denied.")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", [["up", "--port", "0"], ["demo", "--executor", "process"], ["server"]])
@pytest.mark.parametrize("home", ["/proc/x", "file", "file/below"])
def test_a_home_that_cannot_be_is_one_line(runner: CliRunner, tmp_path: Path, command: list[str], home: str) -> None:
    (tmp_path / "file").write_text("in the way")
    named = str(tmp_path / home)
    result = runner.invoke(main, [*command, "--home", named], env={"REDIS_URL": "redis://127.0.0.1:9/0"})
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {named} cannot hold the state: ")
    assert "--home" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("token", ["rt_a\nrt_b", "rt_ö", "rt_a b"])
def test_a_token_that_cannot_be_sent_is_one_line(runner: CliRunner, token: str) -> None:
    url = "http://127.0.0.1:9"
    for command in (["task", "list"], ["scheduler"]):
        result = runner.invoke(main, command, env={"RETRAIN_URL": url, "RETRAIN_TOKEN": token})
        assert result.exit_code == 2
        assert "RETRAIN_TOKEN" in result.stderr
        assert result.stderr.count("\n") == 1


def test_too_few_days_are_told_with_what_can_be_done(runner: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "day.csv").write_text("")
    result = runner.invoke(main, ["demo", "--data", str(tmp_path)])
    assert result.exit_code == 2
    assert "holds 1 CSV file;" in result.stderr
    assert "--days" not in result.stderr


@pytest.mark.parametrize(
    ("message", "text"),
    [("It failed", "It failed. Look."), ("It failed.", "It failed. Look."), ("One of:\n  a", "One of:\n  a.\nLook.")],
)
def test_a_hint_follows_a_sentence(message: str, text: str) -> None:
    assert str(NotFound(message, hint="Look.")) == text


def test_up_says_what_other_terminals_need_also_where_its_own_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRAIN_HOME", str(tmp_path))
    assert f"export RETRAIN_HOME={tmp_path}" in in_other_terminals(tmp_path)
    assert "RETRAIN_HOME" not in in_other_terminals(Path("~/.retrain").expanduser())
