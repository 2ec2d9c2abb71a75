"""`retrain dataset` and `retrain storage`, as someone types them."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from orchestrator.api.testing import running_server
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
    return f"sensors-{time.monotonic_ns()}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "labelled"
    (root / "sub").mkdir(parents=True)
    (root / "a.csv").write_text("co2\n" + "\n".join(map(str, range(100))))
    (root / "sub" / "b.csv").write_text("lux\n1\n")
    return root


class Command:
    """The command `retrain`."""

    def __init__(self, variables: dict[str, str]) -> None:
        self.variables = variables

    def __call__(self, *arguments: str | Path, code: int = 0) -> Result:
        result = CliRunner(env=self.variables).invoke(main, [str(each) for each in arguments])
        assert result.exit_code == code, f"{arguments}: {result.output}\n{result.exception!r}"
        return result

    def json(self, *arguments: str | Path) -> Any:  # noqa: ANN401  JSON is any
        return json.loads(self(*arguments, "--json").stdout)


@pytest.fixture
def retrain(server: RunningServer, tmp_path: Path) -> Command:
    return Command(
        {
            "RETRAIN_URL": server.url,
            "RETRAIN_TOKEN": server.token,
            "RETRAIN_HOME": str(tmp_path / "home"),
            "COLUMNS": "200",
        }
    )


@pytest.fixture
def final(retrain: Command, name: str, folder: Path) -> Callable[[], str]:
    """What makes the next version of what is in the folder."""

    def make() -> str:
        listed = retrain.json("dataset", "list", "--name", name)
        parent = ["--parent", listed[0]["id"]] if listed else []
        version = retrain.json("dataset", "create", "room", name, *parent)["id"]
        retrain("dataset", "sync", version, folder)
        retrain("dataset", "finalize", version)
        return str(version)

    return make


def test_a_folder_is_mirrored_and_what_changed_is_shown(
    retrain: Command, final: Callable[[], str], folder: Path, name: str
) -> None:
    first = final()
    (folder / "a.csv").unlink()
    (folder / "c.csv").write_text("new")
    (folder / "sub" / "b.csv").write_text("lux\n2\n3\n")
    draft = retrain.json("dataset", "create", "room", name, "--parent", f"room/{name}")["id"]
    said = retrain("dataset", "sync", draft, folder).stdout
    assert "1 added, 1 modified, 1 removed" in said
    second = retrain.json("dataset", "finalize", draft)["id"]
    lines = retrain("dataset", "diff", second).stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["-", "a.csv"], ["+", "c.csv"], ["~", "sub/b.csv"]]
    assert "the files are the same" in retrain("dataset", "diff", second, second).stdout
    assert [change["path"] for change in retrain.json("dataset", "diff", first, second)] == [
        "a.csv",
        "c.csv",
        "sub/b.csv",
    ]


def test_descent_is_a_tree_a_picture_or_mermaid(
    retrain: Command, final: Callable[[], str], folder: Path, tmp_path: Path
) -> None:
    final()
    (folder / "more.csv").write_text("more")
    second = final()
    assert "1.0.1" in retrain("dataset", "graph", second).stdout
    assert retrain("dataset", "graph", second, "--mermaid").stdout.startswith("flowchart")
    retrain("dataset", "graph", second, "--svg", tmp_path / "descent.svg")
    assert (tmp_path / "descent.svg").read_text().startswith("<svg")
    assert "already" in retrain("dataset", "graph", second, "--svg", tmp_path / "descent.svg", code=1).stderr
    assert len(retrain.json("dataset", "graph", second)["edges"]) == 1


def test_parts_patterns_and_directories_are_fetched(retrain: Command, final: Callable[[], str], tmp_path: Path) -> None:
    version = final()
    shared = Path(retrain("dataset", "get", version).stdout.strip())
    assert (shared / "sub" / "b.csv").read_text() == "lux\n1\n"
    parts = [Path(retrain("dataset", "get", version, "--part", f"{n}/2").stdout.strip()) for n in (0, 1)]
    names = [sorted(path.name for path in part.rglob("*.csv")) for part in parts]
    assert sorted(names) == [["a.csv"], ["b.csv"]]
    some = Path(retrain("dataset", "get", version, "--files", "sub").stdout.strip())
    assert [path.name for path in some.rglob("*.csv")] == ["b.csv"]
    own = tmp_path / "own"
    retrain("dataset", "get", version, "--to", own)
    (own / "a.csv").write_text("mine")
    assert "0/4 for the first" in retrain("dataset", "get", version, "--part", "4/4", code=2).stderr
    assert version in retrain("dataset", "cache", "list").stdout
    retrain("dataset", "cache", "prune", "--to", str(1 << 40))
    assert len(retrain.json("dataset", "cache", "list")) == 4


def test_versions_are_published_archived_and_deleted(
    retrain: Command, final: Callable[[], str], folder: Path, name: str
) -> None:
    (folder / "new.bin").write_bytes(os.urandom(100))  # in no other version
    version = final()
    assert "published" in retrain("dataset", "publish", version).stdout
    retrain("dataset", "archive", version)
    assert retrain.json("dataset", "list", "--name", name) == []
    retrain("dataset", "archive", version, "--undo")
    assert [each["id"] for each in retrain.json("dataset", "list", "--name", name)] == [version]
    assert "force" in retrain("dataset", "delete", version, "--yes", code=1).stderr
    assert "--yes" in retrain("dataset", "delete", version, "--force", code=1).stderr
    would = retrain.json("dataset", "delete", version, "--force", "--dry-run")
    assert would == {"files": 1, "size_bytes": 100}
    assert "1 files" in retrain("dataset", "delete", version, "--force", "--yes").stdout
    collected = retrain.json("dataset", "gc", "--grace", "0s")  # what was just sent is pinned for an hour
    assert (collected["deleted_blobs"], collected["freed_bytes"]) == (0, 0)
    assert "waiting" in retrain("dataset", "gc", "--dry-run").stdout
    assert "no length of time" in retrain("dataset", "gc", "--grace", "soon", code=2).stderr


def test_a_dataset_is_renamed_and_squashed(retrain: Command, final: Callable[[], str], name: str) -> None:
    version = final()
    assert "1 versions" in retrain("dataset", "rename", "room", name, "--name", f"{name}-b").stdout
    made = retrain.json("dataset", "squash", "room", f"{name}-c", version)
    assert (made["state"], made["parents"], made["file_count"]) == ("final", [], 2)
    retrain("dataset", "rename", "room", name, code=2)


def test_damage_is_found_and_mended(
    retrain: Command, final: Callable[[], str], folder: Path, server: RunningServer
) -> None:
    content = os.urandom(2000)
    (folder / "precious.bin").write_bytes(content)
    version = final()
    assert "0 damaged" in retrain("dataset", "verify", version).stdout
    for blob in Path(server.settings.blobs_url).rglob("*"):
        if blob.is_file() and content in (stored := blob.read_bytes()):
            blob.chmod(0o644)
            blob.write_bytes(stored.replace(content, bytes(2000)))
    said = retrain("dataset", "verify", version, code=1).stdout
    assert "precious.bin" in said
    assert "repair" in said
    assert "1 still damaged" in retrain("dataset", "repair", version, code=1).stdout
    assert "1 mended" in retrain("dataset", "repair", version, "--from", folder).stdout
    assert retrain.json("dataset", "verify", version, "--sample", "0.5") == []


def test_a_version_travels_as_one_file(retrain: Command, final: Callable[[], str], name: str, tmp_path: Path) -> None:
    version = final()
    file = tmp_path / "version.tar"
    retrain("dataset", "export", version, file)
    there = retrain.json("dataset", "import", file, "--project", "attic", "--name", name)
    assert (there["state"], there["version"], there["file_count"]) == ("final", "1.0.0", 2)
    assert "already" in retrain("dataset", "export", version, file, code=1).stderr


def test_the_content_is_previewed(retrain: Command, final: Callable[[], str], folder: Path) -> None:
    first = final()
    (folder / "a.csv").write_text("co2\n" + "\n".join(str(1000 + n) for n in range(100)))
    second = final()
    until = time.monotonic() + 30
    while CliRunner(env=retrain.variables).invoke(main, ["dataset", "preview", second]).exit_code:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert "co2" in retrain("dataset", "preview", second).stdout
    retrain("dataset", "preview", first)
    assert "large" in retrain("dataset", "preview", second, first).stdout


def test_files_elsewhere_are_linked_and_refused_with_credentials(retrain: Command, name: str) -> None:
    version = retrain.json("dataset", "create", "room", name)["id"]
    assert "credentials" in retrain("dataset", "link", version, "https://me:secret@localhost/x", code=2).stderr


def test_a_storage_that_does_not_answer_is_named_when_garbage_is_collected(
    retrain: Command, name: str, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    retrain("storage", "add", name, str(lake))
    assert name not in retrain("dataset", "gc").stderr
    away = lake.rename(tmp_path / "away")
    assert name in retrain("dataset", "gc").stderr
    away.rename(lake)


def test_storages_are_made_and_chosen(retrain: Command, name: str, folder: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    lake.mkdir()
    (folder / "new.bin").write_bytes(os.urandom(100))  # stored nowhere yet
    retrain("storage", "add", name, lake)
    retrain("storage", "use", f"room/{name}", name)
    version = retrain.json("dataset", "create", f"room/{name}", "d")["id"]
    retrain("dataset", "add", version, folder)
    listed = retrain("storage", "list").stdout
    assert str(lake) in listed
    assert f"room/{name}" in listed
    (used,) = [each for each in retrain.json("storage", "list") if each["name"] == name]
    assert used["objects"] == 1
    assert any(path.is_file() for path in (lake / "packs").rglob("*"))
    retrain("storage", "unuse", f"room/{name}")
    assert "secret" not in retrain("storage", "add", "bad", "s3://key:secret@bucket", code=2).stderr
