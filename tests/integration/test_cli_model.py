"""`retrain model`, as someone types it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from orchestrator.api.testing import Requests, running_server
from orchestrator.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from click.testing import Result

    from orchestrator.api.testing import RunningServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def name() -> str:
    return f"forest-{time.monotonic_ns()}"


class Command:
    """The command `retrain`."""

    def __init__(self, variables: dict[str, str]) -> None:
        self.variables = variables

    def __call__(self, *arguments: str | Path, code: int = 0) -> Result:
        result = CliRunner(env=self.variables).invoke(main, ["model", *(str(each) for each in arguments)])
        assert result.exit_code == code, f"{arguments}: {result.output}\n{result.exception!r}"
        return result

    def json(self, *arguments: str | Path) -> Any:  # noqa: ANN401  JSON is any
        return json.loads(self(*arguments, "--json").stdout)


@pytest.fixture
def model(server: RunningServer, tmp_path: Path) -> Command:
    return Command(
        {
            "RETRAIN_URL": server.url,
            "RETRAIN_TOKEN": server.token,
            "RETRAIN_HOME": str(tmp_path / "home"),
            "COLUMNS": "200",
        }
    )


@pytest.fixture
def made(server: RunningServer, name: str) -> Callable[..., dict[str, Any]]:
    """What registers the next version in the project `room/night`."""
    api = Requests(server.url, token=server.token)

    def make(*paths: str, **body: object) -> dict[str, Any]:
        files = []
        for path in paths or ("model.bin",):
            blob = api.post("/blobs", f"content of {path}".encode()).body
            files.append({"path": path, "digest": blob["digest"], "size_bytes": blob["size_bytes"]})
        said = {"project": "room/night", "name": name, "files": files, "folder": len(files) > 1}
        reply = api.post("/models", said | body)
        assert reply.status == 201, reply
        return dict(reply.body["model"])

    return make


def test_versions_are_listed_and_shown(model: Command, made: Callable[..., dict[str, Any]], name: str) -> None:
    first = made(aliases=["production"], tags=["good"], framework="scikit-learn", metadata={"depth": 6})
    second = made(*(f"{number:02}.bin" for number in range(25)))
    listed = model.json("list", "--project", "room", "--name", name)
    assert [(item["id"], item["aliases"]) for item in listed] == [(second["id"], []), (first["id"], ["production"])]
    line = next(line for line in model("list", "--name", name).stdout.splitlines() if first["id"] in line)
    for word in (f"room/night/{name}@1", "registered", "production", "scikit-learn", "good", "20 B"):
        assert word in line
    for options in (["--alias", "production"], ["--tag", "good"]):
        assert [item["id"] for item in model.json("list", "--name", name, *options)] == [first["id"]]
    shown = [line.split(maxsplit=1) for line in model("show", f"room/night/{name}@production").stdout.splitlines()]
    for words in (["version", "1"], ["aliases", "production"], ["metadata", '{"depth": 6}'], ["model.bin", "20 B"]):
        assert words in shown
    assert model.json("show", first["id"])["model"] == first
    assert "… and 5 more: --files" in model("show", second["id"]).stdout
    assert "24.bin" in model("show", second["id"], "--files").stdout


def test_a_version_is_meant_by_id_beginning_number_alias_or_age(
    model: Command, made: Callable[..., dict[str, Any]], name: str
) -> None:
    first, second = made(aliases=["production"]), made()
    for typed, meant in {
        first["id"]: first,
        first["id"][:31]: first,
        f"room/night/{name}@1": first,
        f"room/night/{name}@production": first,
        f"room/night/{name}": second,
    }.items():
        assert model.json("show", typed)["model"]["id"] == meant["id"], typed
    for absent in (f"room/night/{name}@9", f"room/night/{name}@canary", f"room/{name}", "nothing", "0" * 32):
        assert "no model" in model("show", absent, code=1).stderr
    assert "model versions begin with" in model("show", first["id"][:4], code=2).stderr


def test_an_alias_moves_forth_and_back_and_its_history_tells(
    model: Command, made: Callable[..., dict[str, Any]], name: str
) -> None:
    versions = [made() for _ in range(3)]
    called = f"room/night/{name}"
    for version in versions:
        model("promote", f"{called}@{version['version']}", "--reason", f"try {version['version']}")
    said = model("promote", f"{called}@1", "--alias", "canary").stdout
    assert said.split() == [versions[0]["id"], f"{called}@1", "registered", "aliases:", "canary"]
    assert model.json("rollback", called)["model"]["version"] == 2
    assert f"{called}@1" in model("rollback", called, "--reason", "slow").stdout
    assert "no way back" in model("rollback", called, code=1).stderr
    moves = model.json("history", called, "--alias", "production")
    assert [(move["from_version"], move["to_version"], move["reason"]) for move in moves] == [
        (2, 1, "slow"),
        (3, 2, "takes back the move from version 2 to 3"),
        (2, 3, "try 3"),
        (1, 2, "try 2"),
        (None, 1, "try 1"),
    ]
    table = model("history", versions[0]["id"]).stdout
    assert table.splitlines()[0].split() == ["WHEN", "ALIAS", "FROM", "TO", "WHO", "WHY", "FIRING"]
    assert len(table.splitlines()) == 7
    assert "administrator" in table
    assert "canary" in table
    assert "no model" in model("history", "room/night/nobody", code=1).stderr


def test_versions_are_tagged_published_and_archived(
    model: Command, made: Callable[..., dict[str, Any]], name: str
) -> None:
    found = made()["id"]
    assert "tags: a, b" in model("tag", found, "--add", "a", "--add", "b").stdout
    assert model.json("tag", found, "--remove", "a")["model"]["tags"] == ["b"]
    assert "Nothing is to be tagged" in model("tag", found, code=2).stderr
    assert "published" in model("publish", found).stdout
    assert "published already" in model("publish", found, code=1).stderr
    assert "published, archived" in model("archive", found).stdout
    assert model.json("list", "--name", name) == []
    assert "archived" in model("list", "--name", name, "--archived").stdout
    assert "archive --undo" in model("promote", found, code=1).stderr
    model("archive", found, "--undo")
    assert len(model.json("list", "--name", name)) == 1


def test_a_version_is_fetched_into_the_cache_or_where_a_person_wants_it(
    model: Command, made: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    file, folder = made()["id"], made("a.bin", "sub/b.bin")["id"]
    kept = Path(model("get", file).stdout.strip())
    assert (kept.name, kept.read_text()) == ("model.bin", "content of model.bin")
    assert kept.is_relative_to(tmp_path / "home")
    tree = Path(model("get", folder).stdout.strip())
    assert (tree / "sub" / "b.bin").read_text() == "content of sub/b.bin"
    (tmp_path / "there").mkdir()
    for target, place in {"there": "there/model.bin", "new/name.bin": "new/name.bin"}.items():
        said = model("get", file, "--to", tmp_path / target).stdout.strip()
        assert said == str(tmp_path / place)
        assert Path(said).read_text() == "content of model.bin"
        Path(said).write_text("mine")
        assert "is there already" in model("get", file, "--to", tmp_path / target, code=1).stderr
        assert [path.name for path in Path(said).parent.iterdir()] == [Path(said).name]
    model("get", folder, "--to", tmp_path / "copy")
    assert (tmp_path / "copy" / "sub" / "b.bin").read_text() == "content of sub/b.bin"
    assert "files in" in model("get", folder, "--to", tmp_path / "copy", code=1).stderr
