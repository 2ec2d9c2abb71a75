"""Models from a script to a script, against a real server and a real agent."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent.testing import create_script_task, running_agent, wait_for
from orchestrator import Dataset, Model, Task
from orchestrator.api.testing import running_server
from orchestrator.errors import Conflict, DigestMismatch, InvalidRequest, NotFound
from orchestrator.sdk.client import Client
from orchestrator.sdk.copies.cache import Cache
from orchestrator.sdk.session import session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orchestrator.api.testing import RunningServer

BEGIN = """
from pathlib import Path
from orchestrator import Dataset, Model, Task
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(autouse=True)
def _logged_in(server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("RETRAIN_URL", server.url)
    monkeypatch.setenv("RETRAIN_TOKEN", server.token)
    monkeypatch.setenv("RETRAIN_HOME", str(tmp_path / "home"))
    yield
    session.close()


@pytest.fixture
def project(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)[:100]


@pytest.fixture
def run(tmp_path: Path, project: str) -> Callable[..., str]:
    """What runs a script by hand, `PROJECT` being its project, and returns what it printed."""

    def ran(script: str, *, code: int = 0) -> str:
        text = f"PROJECT = {project!r}\n{BEGIN}\n{textwrap.dedent(script)}"
        (tmp_path / "train.py").write_text(text)
        process = subprocess.run(
            [sys.executable, "-W", "error", "train.py"],
            cwd=tmp_path,
            env=dict(os.environ),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert process.returncode == code, process.stderr
        return process.stdout + process.stderr

    return ran


def test_a_run_registers_what_it_made_and_may_change_it_afterwards(run: Callable[..., str], project: str) -> None:
    data = Dataset.create("sensors", project)
    run(
        f"""
        task = Task.init(project_name=PROJECT, task_name="training")
        task.set_parameter("DATA", "{data.id}")
        Path("model.bin").write_bytes(b"first")
        task.register_model(
            "forest", "model.bin", framework="scikit-learn", tags=["good"], metadata={{"depth": 6}}, comment="deeper"
        )
        Path("model.bin").write_bytes(b"second, longer")
        task.register_model("forest", Path("model.bin"), aliases=["production"])
        Path("model.bin").unlink()
        Path("saved/sub").mkdir(parents=True)
        for number in range(20):
            Path(f"saved/sub/{{number}}.bin").write_bytes(bytes([number]) * 1000)
        Path("saved/config.json").write_text("{{}}")
        task.register_model("net", "saved")
        Path("saved/config.json").write_text("changed")
        made = task.models["output"]
        assert [(model.name, model.version) for model in made] == [("forest", 1), ("forest", 2), ("net", 1)], made
        assert task.models["input"] == []
        """
    )
    first = Model.get(project, "forest", version=1)
    assert (first.framework, first.tags, first.metadata, first.comment) == (
        "scikit-learn",
        ["good"],
        {"depth": 6},
        "deeper",
    )
    assert (first.state, first.aliases, first.datasets, first.size_bytes) == ("registered", [], [data.id], 5)
    task = Task.get_task(first.task_id)
    assert (task.name, task.models["output"][0].id) == ("training", first.id)
    assert first.url.endswith(f"/api/v1/models/{first.id}")
    copy = first.get_local_copy()
    assert (copy.name, copy.read_bytes()) == ("model.bin", b"first")
    production = Model.get(project, "forest", alias="production")
    assert (production.version, production.aliases) == (2, ["production"])
    assert production.get_local_copy().read_bytes() == b"second, longer"
    folder = Model.get(project, "net").get_local_copy()
    assert (folder / "config.json").read_text() == "{}"
    assert (folder / "sub" / "19.bin").read_bytes() == bytes([19]) * 1000
    assert sum(1 for path in folder.rglob("*") if path.is_file()) == 21


def test_a_copy_is_read_only_kept_and_restored(
    run: Callable[..., str], project: str, tmp_path: Path, server: RunningServer
) -> None:
    run(
        """
        task = Task.init(project_name=PROJECT, task_name="training")
        Path("saved").mkdir()
        Path("saved/one.bin").write_bytes(b"weights of one")
        task.register_model("net", "saved")
        """
    )
    model = Model.get(project, "net")
    progress: list[tuple[int, int, int]] = []
    copy = model.get_local_copy(progress=lambda *so_far: progress.append(so_far))
    assert copy.is_dir(), "a folder with one file is a folder"
    assert progress[-1] == (14, 14, 1)
    file = copy / "one.bin"
    assert file.stat().st_mode & 0o222 == 0
    file.chmod(0o644)
    file.write_bytes(b"tampered with!")
    assert (model.get_local_copy() / "one.bin").read_bytes() == b"weights of one"
    cache = Cache(tmp_path / "home" / "cache")
    assert [tree.summary.title for tree in cache.trees() if tree.summary] == [f"model {project}/net@1"]
    session.close()
    blobs = [path for path in (server.settings.home / "blobs").rglob("*") if path.is_file()]
    assert model.get_local_copy() == copy
    stored = next(path for path in blobs if path.read_bytes() == b"weights of one")
    stored.chmod(0o644)
    stored.write_bytes(b"other bytes !!")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETRAIN_HOME", str(tmp_path / "elsewhere"))
        with pytest.raises(DigestMismatch, match=r"net@1 one\.bin"):
            model.get_local_copy()


def test_what_becomes_of_a_model_is_said_by_scripts(run: Callable[..., str], project: str) -> None:
    run(
        """
        task = Task.init(project_name=PROJECT, task_name="training")
        Path("model.bin").write_bytes(b"weights")
        for number in range(3):
            task.register_model("forest", "model.bin", tags=f"t{number}")
        """
    )
    first, second, third = Model.list_models(project, "forest")[::-1]
    for model in (first, second, third):
        model.promote("production", reason=f"number {model.version}")
    assert third.aliases == ["production"]
    assert Model.list_models(project, alias="production")[0].aliases == ["production"]
    assert Model.rollback(project, "forest").id == second.id
    assert Model.rollback(project, "forest", "production", "too slow").id == first.id
    moves = Model.history(project, "forest")
    assert [(move["to_version"], move["reason"]) for move in moves[:1] + moves[-1:]] == [
        (1, "too slow"),
        (1, "number 1"),
    ]
    with pytest.raises(Conflict, match="no way back"):
        Model.rollback(project, "forest")
    second.publish()
    assert (second.state, Model.get(project, "forest", only_published=True).id) == ("published", second.id)
    second.add_tags(["x", "y"])
    second.remove_tags("y")
    assert second.tags == ["t1", "x"]
    assert Model.get(project, "forest", tags=["x"]).id == second.id
    assert [model.id for model in Model.list_models(project, tag="t2")] == [third.id]
    third.archive()
    assert third.archived
    assert Model.get(project, "forest").id == second.id
    assert len(Model.list_models(project)) == 2
    with pytest.raises(Conflict, match="archived"):
        third.promote()
    third.archive(archived=False)
    assert Model.get(model_id=third.id).version == 3


def test_what_is_not_there_or_not_said_is_told(project: str) -> None:
    with pytest.raises(NotFound, match="alias 'production'"):
        Model.get(project, "forest", alias="production")
    with pytest.raises(NotFound):
        Model.get(model_id="0" * 32)
    for missing in ({}, {"project_name": project}, {"model_name": "forest"}, {"model_id": ""}):
        with pytest.raises(InvalidRequest):
            Model.get(**missing)  # type: ignore[arg-type]  keywords by name
    with pytest.raises(InvalidRequest, match="no version"):
        Model.get(project, "forest", version="1.0.0")


def test_models_that_parameters_name_are_what_a_task_was_given(run: Callable[..., str], project: str) -> None:
    run(
        """
        task = Task.init(project_name=PROJECT, task_name="training")
        Path("model.bin").write_bytes(b"weights")
        task.register_model("forest", "model.bin")
        """
    )
    model = Model.get(project, "forest")
    printed = run(
        f"""
        task = Task.init(project_name=PROJECT, task_name="evaluation")
        task.connect({{"MODEL": "{model.id}", "AGAIN": "{model.id}", "OTHER": "{"0" * 32}", "depth": 3}})
        models = task.models
        assert models["output"] == []
        print("given", *(each.id for each in models["input"]))
        print(models["input"][0].get_local_copy().read_text())
        """
    )
    assert f"given {model.id}\nweights\n" in printed


def test_what_the_server_refuses_is_said_and_the_run_goes_on(run: Callable[..., str], project: str) -> None:
    printed = run(
        """
        task = Task.init(project_name=PROJECT, task_name="training")
        Path("model.bin").write_bytes(b"weights")
        task.register_model("a/../b", "model.bin")
        task.register_model("forest", "model.bin")
        print(len(task.models["output"]))
        """
    )
    assert "not recorded" in printed
    assert "1\n" in printed
    assert [model.name for model in Model.list_models(project)] == ["forest"]


@pytest.mark.redis
def test_an_attempt_registers_and_uses_models_with_the_standard_library_alone(
    server: RunningServer, tmp_path: Path, project: str
) -> None:
    script = f"""
import sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {{"blake3", "pydantic", "fsspec"}}:
            raise ImportError(name)
sys.meta_path.insert(0, Without())
{BEGIN}
task = Task.init(project_name="ignored", task_name="ignored")
Path("saved").mkdir(exist_ok=True)
Path("saved/weights.bin").write_bytes(b"weights" * 100_000)
Path("saved/config.json").write_text("{{}}")
task.register_model("net", "saved", aliases=["latest"])
model = task.models["output"][-1]
copy = Model.get(task.project, "net", alias="latest").get_local_copy()
print("copy", model.version, copy, (copy / "weights.bin").stat().st_size)
task.register_model("file", "saved/config.json")
print("file", task.models["output"][-1].get_local_copy().read_text())
"""

    def ended(client: Client, task: str) -> dict[str, Any]:
        client.post(f"/tasks/{task}/enqueue", {})

        def done() -> bool:
            return client.get(f"/tasks/{task}")["task"]["status"] in {"completed", "failed", "stopped"}

        wait_for(done, seconds=60, what="the end of the task")
        return dict(client.get(f"/tasks/{task}/console"))

    with (
        Client(server.url, server.token) as client,
        tempfile.TemporaryDirectory(prefix="agent-", ignore_cleanup_errors=True) as home,
        running_agent(Path(home), server),
    ):
        task = create_script_task(client, script, directory=tmp_path, name=project)
        text = ended(client, task)["text"]
        models = {model["name"]: model for model in client.get(f"/models?task={task}")["items"]}
        assert set(models) == {"net", "file"}, text
        assert f"copy 1 {Cache(Path(home) / 'cache').tree(models['net']['id'])} 700000" in text
        assert "downloading a model: 0.7 MB" in text
        assert "file {}" in text
        assert (models["net"]["attempt"], models["net"]["aliases"]) == (1, ["latest"])
