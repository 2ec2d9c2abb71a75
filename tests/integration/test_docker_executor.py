"""What only the Docker executor has: hardening, mounts, and the engine's refusals as sentences."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from agent.execution.base import CONSOLE, Launch
from agent.execution.docker import DockerExecutor
from orchestrator.errors import ExecutorUnavailable, Unavailable
from orchestrator.records.task import ExitReason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.docker


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    source = tmp_path / "source"
    source.mkdir()
    return Launch(
        run_directory=tmp_path,
        source=source,
        argv=("/bin/sleep", "1000"),
        working_directory=source,
        name=f"retrain-test-{os.getpid()}-{tmp_path.name}",
    )


@pytest.fixture
def executor(docker_image: str, launch: Launch) -> Iterator[DockerExecutor]:
    each = DockerExecutor(docker_image)
    yield each
    run = each.find(launch.run_directory)
    if run is not None:
        each.clean(run)


def output(executor: DockerExecutor, launch: Launch, command: str) -> str:
    run = executor.start(replace(launch, argv=("/bin/sh", "-c", command)))
    assert executor.wait(run, timeout_seconds=30) is not None
    executor.clean(run)
    return (launch.run_directory / CONSOLE).read_text()


def containers(launch: Launch) -> str:
    listing = ["docker", "ps", "--all", "--quiet", "--filter", f"name={launch.name}"]
    return subprocess.run(listing, check=True, capture_output=True, text=True).stdout


def test_a_container_has_no_powers(executor: DockerExecutor, launch: Launch) -> None:
    text = output(executor, launch, "id -u; id -g; grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status")
    uid, gid, *status = text.splitlines()
    assert (int(uid), int(gid)) == (os.getuid(), os.getgid())
    assert sorted(line.split()[1].lstrip("0") for line in status) == ["", "", "1"]


def test_the_user_has_a_name_and_a_home_to_write_to(executor: DockerExecutor, launch: Launch) -> None:
    code = "import getpass, pathlib; print(getpass.getuser()); (pathlib.Path.home() / 'x').write_text('')"
    run = executor.start(replace(launch, argv=("python3", "-c", code)))
    result = executor.wait(run, timeout_seconds=30)
    assert result is not None
    assert result.reason == ExitReason.COMPLETED


def test_only_what_the_launch_names_is_visible(executor: DockerExecutor, launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "claim.json").write_text("secret")
    fixed, free = tmp_path / "fixed", tmp_path / "free"
    fixed.mkdir()
    free.mkdir()
    launch = replace(launch, read_only=(fixed,), writable=(free,))
    text = output(executor, launch, f"ls {tmp_path}; touch {free}/x; touch {fixed}/x || echo refused")
    assert text.splitlines()[:4] == [CONSOLE, "fixed", "free", "source"]
    assert text.endswith("refused\n")
    assert (free / "x").exists()


def test_a_script_cannot_put_another_file_in_the_consoles_place(executor: DockerExecutor, launch: Launch) -> None:
    output(executor, launch, f"rm -f {launch.run_directory}/console; ln -sf /etc/shadow {launch.run_directory}/console")
    assert not (launch.run_directory / CONSOLE).is_symlink()


def test_an_image_that_is_absent_is_named_and_not_pulled(executor: DockerExecutor, launch: Launch) -> None:
    with pytest.raises(ExecutorUnavailable, match="docker pull nowhere/nothing:1"):
        executor.start(replace(launch, image="nowhere/nothing:1"))
    with pytest.raises(ExecutorUnavailable, match="docker pull nowhere/nothing:1"):
        DockerExecutor("nowhere/nothing:1").ready()


def test_a_gpu_that_the_engine_cannot_give_leaves_no_container(executor: DockerExecutor, launch: Launch) -> None:
    if "nvidia" in subprocess.run(["docker", "info"], check=True, capture_output=True, text=True).stdout:
        pytest.skip("not applicable: this engine can give GPUs")
    with pytest.raises(ExecutorUnavailable, match="NVIDIA container toolkit"):
        executor.start(replace(launch, gpus=("0",)))
    assert containers(launch) == ""


def test_a_mount_that_is_not_there_leaves_no_container(executor: DockerExecutor, launch: Launch) -> None:
    with pytest.raises(ExecutorUnavailable, match="nowhere"):
        executor.start(replace(launch, read_only=(launch.source / "nowhere",)))
    with pytest.raises(ExecutorUnavailable, match="nowhere"):
        executor.start(replace(launch, working_directory=launch.source / "nowhere"))
    assert containers(launch) == ""


def test_a_container_that_was_never_started_is_undone(executor: DockerExecutor, launch: Launch) -> None:
    label = f"retrain.run={launch.run_directory}"
    create = ["docker", "create", "--name", launch.name, "--label", label, "retrain-base:bookworm", "true"]
    subprocess.run(create, check=True, capture_output=True)
    assert executor.find(launch.run_directory) is None
    assert containers(launch) == ""


def test_a_missing_program_is_told_in_the_console(executor: DockerExecutor, launch: Launch) -> None:
    run = executor.start(replace(launch, argv=("no-such-program",)))
    result = executor.wait(run, timeout_seconds=30)
    assert result is not None
    assert result.code == 127
    assert "not found" in str(result.message)
    assert "no-such-program" in (launch.run_directory / CONSOLE).read_text()


def test_limits_on_cores_reach_the_libraries(docker_image: str, launch: Launch) -> None:
    assert output(DockerExecutor(docker_image, cpus=1.5), launch, "echo $OMP_NUM_THREADS") == "1\n"


def test_an_engine_that_does_not_answer_is_named(
    docker_image: str, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(Unavailable, match="unix:///nowhere"):
        DockerExecutor(docker_image).start(launch)
