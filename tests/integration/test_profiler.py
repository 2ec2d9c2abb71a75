"""Versions are profiled by the server once they are final, and by nobody who waits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import blake3
import pytest

from orchestrator.api.testing import Requests, running_server
from orchestrator.profiles import available

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.redis_server import RedisServer

pytestmark = pytest.mark.skipif(bool(available()), reason=f"packages are missing; to have them: {available()}")


def csv(values: range) -> bytes:
    return b"value,name\n" + b"".join(f"{value},n{value % 3}\n".encode() for value in values)


@pytest.fixture
def final(api: Requests, project: str) -> Callable[..., str]:
    """Make a final version that holds these files."""

    def made(files: dict[str, bytes], **fields: object) -> str:
        return finalize(api, files, project=project, **fields)

    return made


def finalize(api: Requests, files: dict[str, bytes], **fields: object) -> str:
    version: str = api.post("/datasets", {"name": "d"} | fields).body["id"]
    entries = []
    for path, data in files.items():
        digest = "blake3:" + blake3.blake3(data).hexdigest()
        api.send("PUT", f"/blobs/{digest}?dataset={version}", body=data)
        entries.append({"path": path, "size_bytes": len(data), "digest": digest})
    assert api.post(f"/datasets/{version}/entries", {"put": entries}).status == 200
    assert api.post(f"/datasets/{version}/finalize").status == 200
    return version


def profile_of(api: Requests, version: str) -> dict[str, Any]:
    until = time.monotonic() + 60
    while (reply := api.get(f"/datasets/{version}/profile")).status == 404:
        assert "moment" in reply.body["error"]["hint"]
        assert time.monotonic() < until
        time.sleep(0.05)
    assert reply.status == 200
    return dict(reply.body)


def test_a_final_version_gets_a_profile_that_is_compared_with_its_parents(
    api: Requests, final: Callable[..., str]
) -> None:
    first = final({"a.csv": csv(range(1000)), "note.txt": b"some words\n"})
    second = final({"a.csv": csv(range(500, 1500))}, parents=[first])
    profile = profile_of(api, first)
    assert (profile["files"], profile["tables"][0]["rows"]) == (2, 1000)
    profile_of(api, second)
    compared = api.get(f"/datasets/{second}/profile/compare").body
    assert compared == api.get(f"/datasets/{second}/profile/compare?against={first}").body
    assert "value" in str(compared)
    assert api.get(f"/datasets/{first}/profile/compare").status == 409


def test_files_that_are_damaged_or_no_tables_are_named_and_disturb_nothing(
    api: Requests, final: Callable[..., str]
) -> None:
    version = final({"bad.parquet": b"PAR1 nonsense", "b.csv": csv(range(10)), "x.bin": bytes(range(256))})
    profile = profile_of(api, version)
    assert profile["tables"][0]["rows"] == 10
    assert profile["errors"][0]["path"] == "bad.parquet"


def test_what_is_not_profiled_when_a_server_ends_is_profiled_by_the_next(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without:
        without.setattr("orchestrator.api.profiler.available", lambda: "pip install it")
        without.setattr("orchestrator.services.profiles.available", lambda: "pip install it")
        with running_server(tmp_path / "home", redis_url=redis_server.url) as server:
            api = Requests(server.url, token=server.token)
            version = finalize(api, {"a.csv": csv(range(10))}, project="p")
            assert "pip install it" in api.get(f"/datasets/{version}/profile").body["error"]["hint"]
    with running_server(tmp_path / "home", redis_url=redis_server.url) as server:
        profile = profile_of(Requests(server.url, token=server.token), version)
        assert profile["tables"][0]["rows"] == 10
