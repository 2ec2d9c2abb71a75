"""Damaged versions on a real server, and where their bytes are found again."""

from __future__ import annotations

import json
import os
import shutil
import stat
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from blake3 import blake3

from orchestrator.api.testing import running_server
from orchestrator.errors import InvalidPath, InvalidRequest, NotFound
from orchestrator.sdk.bundles.bundle import export_version
from orchestrator.sdk.client import Client
from orchestrator.sdk.repair.repair import repair, verify_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orchestrator.api.testing import RunningServer

LARGE = 9 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[Client]:
    with Client(server.url, server.token) as client:
        yield client


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def files() -> dict[str, bytes]:
    return {f"{number}.bin": os.urandom(1000 + number) for number in range(5)} | {"large.bin": os.urandom(LARGE)}


@pytest.fixture
def version(client: Client, files: dict[str, bytes]) -> dict[str, Any]:
    draft = client.post("/datasets", {"project": "room", "name": os.urandom(6).hex()})
    put = []
    for path, data in files.items():
        client.put_bytes(f"/blobs/{digest_of(data)}", data)
        put.append({"path": path, "size_bytes": len(data), "digest": digest_of(data)})
    client.post(f"/datasets/{draft['id']}/entries", {"put": put})
    return dict(client.post(f"/datasets/{draft['id']}/finalize"))


@pytest.fixture
def harm(server: RunningServer) -> Callable[[bytes], None]:
    """What changes stored bytes behind the server's back."""

    def change(data: bytes) -> None:
        for file in Path(server.settings.blobs_url).rglob("*"):
            if file.is_file() and (place := file.read_bytes().find(data)) >= 0:
                file.chmod(stat.S_IRUSR | stat.S_IWUSR)
                with file.open("r+b") as target:
                    target.seek(place)
                    target.write(bytes([data[0] ^ 1]))
                return
        raise AssertionError("the bytes are not stored")

    return change


def test_bytes_in_the_packs_of_another_storage_are_found_by_their_index(
    server: RunningServer, client: Client, harm: Callable[[bytes], None], cache: Path, tmp_path: Path
) -> None:
    blobs = [os.urandom(1000 + number) for number in range(4)]
    header = json.dumps(
        {"sizes": [len(data) for data in blobs], "digests": [digest_of(data) for data in blobs]}
    ).encode()
    client.post_bytes("/blobs/packs", [struct.pack("<I", len(header)), header, *blobs])
    draft = client.post("/datasets", {"project": "room", "name": os.urandom(6).hex()})
    put = [{"path": str(n), "size_bytes": len(data), "digest": digest_of(data)} for n, data in enumerate(blobs)]
    client.post(f"/datasets/{draft['id']}/entries", {"put": put})
    client.post(f"/datasets/{draft['id']}/finalize")
    backup = shutil.copytree(server.settings.blobs_url, tmp_path / "backup")
    harm(blobs[1])
    harm(blobs[3])
    repaired = repair(client, draft["id"], sources=[backup], cache=cache)
    assert (repaired.mended, repaired.still_damaged) == (("1", "3"), ())
    assert [line["damaged"] for line in verify_lines(client, draft["id"])][-1] == []


def digest_of(data: bytes) -> str:
    return f"blake3:{blake3(data).hexdigest()}"


def damaged(client: Client, version_id: str) -> list[str]:
    return [each["path"] for line in verify_lines(client, version_id) for each in line["damaged"]]


def test_verifying_tells_how_far_it_is_and_what_is_damaged(
    client: Client, version: dict[str, Any], files: dict[str, bytes], harm: Callable[[bytes], None]
) -> None:
    *_, last = verify_lines(client, version["id"])
    assert (last["files"], last["total_files"], last["damaged"], last["done"]) == (6, 6, [], True)
    assert last["size_bytes"] == last["total_bytes"] == sum(map(len, files.values()))
    harm(files["3.bin"])
    assert damaged(client, version["id"]) == ["3.bin"]


def test_verifying_what_is_not_there_says_so(client: Client) -> None:
    with pytest.raises(NotFound):
        list(verify_lines(client, "0" * 32))
    with pytest.raises(InvalidRequest):
        list(verify_lines(client, ""))


def test_nothing_is_mended_where_nothing_is_damaged(client: Client, version: dict[str, Any], cache: Path) -> None:
    assert repair(client, version["id"], cache=cache) == ((), ())


def test_bytes_are_found_in_a_folder_under_any_name(
    client: Client,
    version: dict[str, Any],
    files: dict[str, bytes],
    harm: Callable[[bytes], None],
    cache: Path,
    tmp_path: Path,
) -> None:
    for path in ("1.bin", "large.bin"):
        harm(files[path])
        (tmp_path / "old" / "deep").mkdir(parents=True, exist_ok=True)
        (tmp_path / "old" / "deep" / f"copy of {path}").write_bytes(files[path])
    (tmp_path / "old" / "as long").write_bytes(bytes(len(files["1.bin"])))
    told: list[tuple[int, int, int]] = []
    repaired = repair(
        client,
        version["id"],
        sources=[tmp_path / "old"],
        cache=cache,
        progress=lambda *counts: told.append(counts),
    )
    assert repaired == (("1.bin", "large.bin"), ())
    assert told[-1] == (LARGE + 1001, LARGE + 1001, 2)
    assert damaged(client, version["id"]) == []


def test_what_no_source_has_is_named(
    client: Client,
    version: dict[str, Any],
    files: dict[str, bytes],
    harm: Callable[[bytes], None],
    cache: Path,
    tmp_path: Path,
) -> None:
    for path in ("1.bin", "2.bin"):
        harm(files[path])
    (tmp_path / "1.bin").write_bytes(files["1.bin"])
    repaired = repair(client, version["id"], sources=[tmp_path / "1.bin"], cache=cache)
    assert repaired.mended == ("1.bin",)
    (left,) = repaired.still_damaged
    assert (left.path, left.digest, left.size_bytes) == ("2.bin", digest_of(files["2.bin"]), 1002)
    assert left.reason


def test_the_cache_of_this_machine_is_looked_through_unasked(
    client: Client,
    version: dict[str, Any],
    files: dict[str, bytes],
    harm: Callable[[bytes], None],
    cache: Path,
) -> None:
    for path, suffix in (("0.bin", ""), ("1.bin", ".x")):
        harm(files[path])
        name = digest_of(files[path])[7:]
        (cache / "blobs" / name[:2]).mkdir(parents=True, exist_ok=True)
        (cache / "blobs" / name[:2] / f"{name[2:]}{suffix}").write_bytes(files[path])
    assert repair(client, version["id"], cache=cache).mended == ("0.bin", "1.bin")


def test_a_damaged_copy_does_not_count(
    client: Client,
    version: dict[str, Any],
    files: dict[str, bytes],
    harm: Callable[[bytes], None],
    cache: Path,
) -> None:
    harm(files["0.bin"])
    name = digest_of(files["0.bin"])[7:]
    (cache / "blobs" / name[:2]).mkdir(parents=True)
    (cache / "blobs" / name[:2] / name[2:]).write_bytes(bytes(1000))
    assert [each.path for each in repair(client, version["id"], cache=cache).still_damaged] == ["0.bin"]


def test_another_store_and_an_exported_version_are_sources(
    client: Client,
    server: RunningServer,
    version: dict[str, Any],
    files: dict[str, bytes],
    harm: Callable[[bytes], None],
    cache: Path,
    tmp_path: Path,
) -> None:
    export_version(client, version["id"], tmp_path / "it.tar")
    shutil.copytree(server.settings.blobs_url, tmp_path / "backup")
    for path in ("0.bin", "large.bin"):
        harm(files[path])
    assert repair(client, version["id"], sources=[tmp_path / "it.tar"], cache=cache).mended == ("0.bin", "large.bin")
    for path in ("0.bin", "large.bin"):
        harm(files[path])
    backup = [f"file://{tmp_path / 'backup'}"]
    assert repair(client, version["id"], sources=backup, cache=cache).mended == ("0.bin", "large.bin")
    assert damaged(client, version["id"]) == []


def test_a_store_elsewhere_is_a_source_also_where_blobs_are_in_parts(
    client: Client, version: dict[str, Any], files: dict[str, bytes], harm: Callable[[bytes], None], cache: Path
) -> None:
    import fsspec  # noqa: PLC0415  for this test alone

    elsewhere = fsspec.filesystem("memory")
    small, large = (digest_of(files[path])[7:] for path in ("0.bin", "large.bin"))
    elsewhere.pipe(f"/bucket/blake3/{small[:2]}/{small[2:]}", files["0.bin"])
    for number, start in enumerate(range(0, LARGE, 4 << 20)):
        data = files["large.bin"][start : start + (4 << 20)]
        elsewhere.pipe(f"/bucket/parts/{large[:2]}/{large[2:]}/{number:05}", data)
    for path in ("0.bin", "large.bin"):
        harm(files[path])
    assert repair(client, version["id"], sources=["memory://bucket"], cache=cache).mended == ("0.bin", "large.bin")
    assert damaged(client, version["id"]) == []


def test_a_source_that_is_not_there_is_refused_before_anything_is_read(
    client: Client, version: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    with pytest.raises(InvalidPath, match="absent"):
        repair(client, version["id"], sources=[tmp_path / "absent"], cache=cache)
