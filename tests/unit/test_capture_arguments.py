"""argparse, recorded and replaced without a call."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import InvalidRequest
from orchestrator.sdk.capture import arguments


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Recorder:
    """A task that notes what was parsed, and replaces some of it."""

    def __init__(self, **replaced: Any) -> None:  # noqa: ANN401  any value of a script's
        self.seen: list[dict[str, Any]] = []
        self.replaced = replaced

    def __call__(self, values: dict[str, Any]) -> dict[str, Any]:
        self.seen.append(dict(values))
        return values | self.replaced


@pytest.fixture(autouse=True)
def unwatched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin every test as a process begins."""
    monkeypatch.setattr(arguments, "_watch", arguments._Watch())
    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_args", arguments._parse_known_args)
    monkeypatch.setattr(argparse.ArgumentParser, "_get_value", arguments._get_value)
    monkeypatch.delenv("RETRAIN_TASK_FILE", raising=False)
    arguments.install()


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--layers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--paths", type=Path, action="append")
    parser.add_argument("--day", type=date.fromisoformat)
    parser.add_argument("--colour", type=Colour, choices=list(Colour), default=Colour.RED)
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--name")
    parser.set_defaults(function=make_parser)
    return parser


def test_a_parse_before_the_task_is_seen_when_it_begins() -> None:
    namespace = make_parser().parse_args(["--lr", "0.5", "--day", "2026-01-31", "--paths", "a", "--paths", "b"])
    recorder = Recorder()
    arguments.on_parsed(recorder)
    assert recorder.seen == [
        {
            "lr": 0.5,
            "epochs": 3,
            "data": "data",
            "layers": [1, 2],
            "paths": ["a", "b"],
            "day": "2026-01-31",
            "colour": "red",
            "fast": False,
            "name": None,
        }
    ]
    assert namespace.day == date(2026, 1, 31)


def test_each_later_parse_is_seen_too() -> None:
    recorder = Recorder()
    arguments.on_parsed(recorder)
    make_parser().parse_args([])
    make_parser().parse_known_args(["--unknown", "--fast"])
    assert [values["fast"] for values in recorder.seen] == [False, True]


@pytest.mark.parametrize("task_first", [True, False])
def test_values_of_the_task_are_put_in_with_the_parsers_own_types(task_first: bool) -> None:
    recorder = Recorder(
        lr=1, epochs=7, data="other", layers=[4], paths=["c"], day="2027-02-01", colour="blue", fast=True, name="x"
    )
    if task_first:
        arguments.on_parsed(recorder)
        namespace = make_parser().parse_args([])
    else:
        namespace = make_parser().parse_args([])
        arguments.on_parsed(recorder)
    assert vars(namespace) == {
        "lr": 1.0,
        "epochs": 7,
        "data": Path("other"),
        "layers": [4],
        "paths": [Path("c")],
        "day": date(2027, 2, 1),
        "colour": Colour.BLUE,
        "fast": True,
        "name": "x",
        "function": make_parser,
    }
    assert type(namespace.lr) is float


def test_values_that_did_not_change_stay_the_objects_they_are() -> None:
    namespace = make_parser().parse_args(["--day", "2026-01-31"])
    day, layers = namespace.day, namespace.layers
    arguments.on_parsed(Recorder())
    assert namespace.day is day
    assert namespace.layers is layers


def test_a_value_that_the_parser_refuses_is_an_error_that_names_it() -> None:
    make_parser().parse_args([])
    with pytest.raises(InvalidRequest, match=r"Args/epochs cannot be 'many'"):
        arguments.on_parsed(Recorder(epochs="many"))


def test_choices_hold_for_the_task_too() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=["small", "large"], default="small")
    parser.parse_args([])
    with pytest.raises(InvalidRequest, match="Choose from small, large"):
        arguments.on_parsed(Recorder(size="huge"))


def test_arguments_of_subcommands_are_typed_by_their_own_parser() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--verbose", action="store_true")
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train")
    train.add_argument("--out", type=Path, default=Path("out"))
    recorder = Recorder(out="elsewhere")
    arguments.on_parsed(recorder)
    namespace = parser.parse_args(["--verbose", "train"])
    assert recorder.seen == [{"verbose": True, "command": "train", "out": "out"}]
    assert namespace.out == Path("elsewhere")


def test_a_failed_parse_leaves_nothing_behind(capsys: pytest.CaptureFixture[str]) -> None:
    recorder = Recorder()
    arguments.on_parsed(recorder)
    with pytest.raises(SystemExit):
        make_parser().parse_args(["--epochs", "x"])
    assert "invalid int value" in capsys.readouterr().err
    make_parser().parse_args(["--epochs", "5"])
    assert [values["epochs"] for values in recorder.seen] == [5]


def test_intermixed_arguments_are_seen() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--flag")
    parser.add_argument("rest", nargs="*")
    namespace = parser.parse_intermixed_args(["a", "--flag", "f", "b"])
    recorder = Recorder(flag="g")
    arguments.on_parsed(recorder)
    assert recorder.seen[-1]["flag"] == "f"
    assert (namespace.flag, namespace.rest) == ("g", ["a", "b"])


def make_demanding_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("input", type=Path)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--other")
    return parser


def test_on_an_agent_required_arguments_come_from_the_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = [
        {"name": "Args/input", "type": "string", "value": "data.csv"},
        {"name": "Args/lr", "type": "float", "value": "0.25"},
        {"name": "Args/other", "type": "string", "value": "only through the task"},
        {"name": "General/lr", "type": "float", "value": "9.0"},
    ]
    file = tmp_path / "task.json"
    file.write_text(json.dumps({"task": {}, "attempt": {}, "parameters": parameters}))
    monkeypatch.setenv("RETRAIN_TASK_FILE", str(file))
    parser = make_demanding_parser()
    namespace = parser.parse_args([])
    assert vars(namespace) == {"input": Path("data.csv"), "lr": 0.25, "other": None}
    assert vars(parser.parse_args(["given", "--lr", "1"]))["input"] == Path("given")
    assert all(action.required for action in parser._actions if action.dest in {"input", "lr"})


def test_without_a_task_required_arguments_stay_required(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        make_demanding_parser().parse_args([])
    assert "required" in capsys.readouterr().err


def test_installing_twice_watches_once() -> None:
    arguments.install()
    recorder = Recorder()
    arguments.on_parsed(recorder)
    make_parser().parse_args([])
    assert len(recorder.seen) == 1


def test_nothing_but_the_standard_library_is_imported() -> None:
    code = (
        "import sys; import orchestrator.sdk.capture.arguments, orchestrator.sdk.capture.source,"
        " orchestrator.sdk.capture.packages, orchestrator.sdk.capture.script;"
        "ours = {'orchestrator', '__main__'} | sys.stdlib_module_names;"
        "print(*(n for n in sys.modules if '.' not in n and not n.startswith('_') and n not in ours))"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], check=True, capture_output=True, text=True, cwd=_root())
    assert done.stdout.split() == []


def _root() -> Path:
    return Path(arguments.__file__).parents[3]


def test_a_script_that_parses_between_import_and_init_is_seen() -> None:
    code = (
        "import argparse; from orchestrator import Task;"
        "parser = argparse.ArgumentParser(); parser.add_argument('--lr', type=float); parser.parse_args(['--lr', '2']);"
        "from orchestrator.sdk.capture import arguments; arguments.on_parsed(lambda values: print(values) or values)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "{'lr': 2.0}\n"
