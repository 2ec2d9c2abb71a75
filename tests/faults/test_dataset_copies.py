"""Copies of datasets when disks are full and processes are killed (faults 20, 21, 24)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from orchestrator import Dataset
from orchestrator.api.testing import running_server
from orchestrator.errors import NoSpace
from orchestrator.sdk.client import Client
from orchestrator.sdk.copies.cache import Cache
from orchestrator.sdk.copies.local_copy import local_copy
from orchestrator.sdk.copies.mutable_copy import mutable_copy
from orchestrator.sdk.session import session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orchestrator.api.testing import RunningServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def client(server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setenv("RETRAIN_URL", server.url)
    monkeypatch.setenv("RETRAIN_TOKEN", server.token)
    monkeypatch.setenv("RETRAIN_HOME", str(tmp_path / "home"))
    with Client(server.url, server.token) as made:
        yield made
    session.close()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def version(folder: Path, *, name: str) -> Dataset:
    made = Dataset.create(name, "faults")
    made.add_files(folder)
    made.finalize(auto_upload=True)
    return made


def filled(folder: Path, *, sizes: list[int]) -> Path:
    folder.mkdir()
    for number, size_bytes in enumerate(sizes):
        (folder / f"{number:04}").write_bytes(os.urandom(size_bytes))
    return folder


@pytest.mark.parametrize("sizes", [[5_000_000], [100_000] * 20, [1] * 3000], ids=["large", "many", "small"])
def test_a_full_disk_is_named_and_shows_nothing_half(
    client: Client, tmp_path: Path, small: Path, sizes: list[int]
) -> None:
    made = version(filled(tmp_path / "data", sizes=sizes), name=f"full {len(sizes)}")
    cache = Cache(small / "cache", limit_bytes=1 << 40)
    with pytest.raises(NoSpace, match=str(small)):
        local_copy(client, made.id, cache=cache)
    assert cache.trees() == []
    assert not cache.draft(made.id).exists()
    cache.evict(0)
    fitting = version(filled(tmp_path / "less", sizes=[1000] * 3), name=f"fits {len(sizes)}")
    for blob in (small / "cache" / "blobs").rglob("*"):
        if blob.is_file():
            blob.unlink()  # what an hour would have swept
    assert len(list(local_copy(client, fitting.id, cache=cache).iterdir())) == 3
    cache.let_go(fitting.id)


def test_a_mutable_copy_onto_a_full_disk_leaves_what_was_there(client: Client, tmp_path: Path, small: Path) -> None:
    made = version(filled(tmp_path / "data", sizes=[100_000] * 20), name="mutable")
    copy = local_copy(client, made.id, cache=tmp_path / "cache")
    (small / "mine").mkdir()
    (small / "mine" / "old").write_text("old")
    for target in (small / "mine", small):
        with pytest.raises(NoSpace, match=str(small)):
            mutable_copy(copy, target=target, overwrite=True)
        assert [path.name for path in small.iterdir()] == ["mine"]
        assert (small / "mine" / "old").read_text() == "old"


PROGRAM = """
import sys
from pathlib import Path
from orchestrator.sdk.client import Client
from orchestrator.sdk.copies.cache import Cache
from orchestrator.sdk.copies.local_copy import local_copy
url, token, version, root, limit = sys.argv[1:]
cache = Cache(Path(root), limit_bytes=int(limit))
print("started", flush=True)
while True:
    local_copy(Client(url, token), version, cache=cache)
    cache.let_go(version)
    cache.evict(0)
"""


def test_a_cache_survives_whatever_moment_its_processes_are_killed_at(
    client: Client, server: RunningServer, tmp_path: Path
) -> None:
    folder = filled(tmp_path / "data", sizes=[1000] * 300)
    made = version(folder, name="killed")
    cache = Cache(tmp_path / "cache", limit_bytes=1 << 30)
    command = [sys.executable, "-c", PROGRAM, server.url, server.token, made.id, str(cache.root), str(1 << 30)]
    for number in range(6):
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.02 + 0.05 * number)
        process.kill()
        process.wait()
        process.stdout.close()
        for tree in cache.trees():
            assert {path.name: path.read_bytes() for path in tree.path.iterdir()} == {
                path.name: path.read_bytes() for path in folder.iterdir()
            }
    copy = local_copy(client, made.id, cache=cache)
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }
    cache.let_go(made.id)
    cache.evict(0)
    assert list(cache.folder.iterdir()) == []
