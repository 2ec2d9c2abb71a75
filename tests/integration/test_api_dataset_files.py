"""The files of dataset versions over HTTP."""

from __future__ import annotations

import json
import os
import struct
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import blake3
import pytest

from orchestrator.records.manifest import Manifest, decode_block, order

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.api.testing import Reply, Requests, RunningServer


def digest_of(data: bytes) -> str:
    return "blake3:" + blake3.blake3(data).hexdigest()


def put(api: Requests, version: str, files: dict[str, bytes], **more: object) -> Reply:
    for data in set(files.values()):
        api.put(f"/blobs/{digest_of(data)}", data)
    entries = [{"path": path, "size_bytes": len(data), "digest": digest_of(data)} for path, data in files.items()]
    return api.post(f"/datasets/{version}/entries", {"put": entries} | more)


@pytest.fixture
def draft(api: Requests, project: str) -> Callable[..., str]:
    """Make a draft that holds these files."""

    def made(files: dict[str, bytes], **fields: object) -> str:
        version: str = api.post("/datasets", {"project": project, "name": "sensors"} | fields).body["id"]
        assert put(api, version, files).status == 200
        return version

    return made


def paths(api: Requests, version: str, query: str = "") -> list[str]:
    return [each["path"] for each in api.get(f"/datasets/{version}/entries?{query}").body["items"]]


def test_files_come_in_the_order_of_a_walk_page_by_page(api: Requests, draft: Callable[..., str]) -> None:
    names = ["a/z", "a.b", "a/b/c", "a", "b", "é", "a b"]
    names.remove("a")
    version = draft(dict.fromkeys(names, b"1"))
    wanted = sorted(names, key=order)
    assert paths(api, version) == wanted
    found, after = [], ""
    while True:
        page = api.get(f"/datasets/{version}/entries?limit=2{after}").body
        found += [each["path"] for each in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={quote(page['next'])}"
    assert found == wanted
    assert paths(api, version, "below=a") == ["a/b/c", "a/z"]
    assert paths(api, version, "below=a.b") == ["a.b"]
    assert paths(api, version, f"below=a&after={quote('a/b/c')}") == ["a/z"]


def test_one_file_is_shown_by_its_path(api: Requests, draft: Callable[..., str]) -> None:
    version = draft({"a/b": b"1"})
    shown = api.get(f"/datasets/{version}/entry?path=a/b").body
    assert (shown["path"], shown["digest"], shown["mode"]) == ("a/b", digest_of(b"1"), 0o644)
    assert api.get(f"/datasets/{version}/entry?path=a").status == 404


def test_manifest_and_blocks_come_as_bytes_and_give_the_same_files(api: Requests, draft: Callable[..., str]) -> None:
    names = [f"{number:04}" for number in range(3000)]
    version = draft(dict.fromkeys(names, b"1"))
    manifest = Manifest.decode(api.get(f"/datasets/{version}/manifest").body)
    digests = [block.digest.hex() for block in manifest.blocks]
    assert len(digests) > 2
    body = api.post(f"/datasets/{version}/blocks", {"digests": digests[::-1]}).body
    blocks = []
    while body:
        (length,) = struct.unpack("<I", body[:4])
        blocks.append(body[4 : 4 + length])
        body = body[4 + length :]
    assert [blake3.blake3(block).hexdigest() for block in blocks] == digests[::-1]
    assert [entry.path for block in blocks[::-1] for entry in decode_block(block)] == names
    done = api.post(f"/datasets/{version}/finalize").body
    assert done["manifest"] == digest_of(manifest.encode())
    other = draft({"x": b"1"})
    assert api.post(f"/datasets/{other}/blocks", {"digests": digests[:1]}).status == 404


def test_a_path_that_is_removed_and_put_is_put(api: Requests, draft: Callable[..., str]) -> None:
    version = draft({"a": b"1", "b": b"1"})
    edited = put(api, version, {"a": b"22"}, remove=["a", "b", "never there"]).body
    assert (edited["file_count"], edited["size_bytes"]) == (1, 2)


def test_a_size_that_is_not_the_blobs_is_refused(api: Requests, draft: Callable[..., str]) -> None:
    version = draft({"a": b"1"})
    entry = {"path": "b", "size_bytes": 2, "digest": digest_of(b"1")}
    reply = api.post(f"/datasets/{version}/entries", {"put": [entry]})
    assert (reply.status, "'b'" in reply.body["error"]["message"]) == (422, True)


def test_links_modes_and_empty_directories_are_kept(api: Requests, draft: Callable[..., str]) -> None:
    version = draft({"a": b"1"})
    entries = [
        {"path": "run", "size_bytes": 1, "digest": digest_of(b"1"), "mode": 0o755},
        {"path": "empty", "kind": "directory"},
        {"path": "far", "kind": "external", "size_bytes": 7, "url": "s3://b/far", "etag": "x"},
    ]
    edited = api.post(f"/datasets/{version}/entries", {"put": entries}).body
    assert (edited["file_count"], edited["size_bytes"]) == (3, 9)
    found = {each["path"]: each for each in api.get(f"/datasets/{version}/entries").body["items"]}
    assert found["run"]["mode"] == 0o755
    assert found["empty"]["kind"] == "directory"
    assert (found["far"]["url"], found["far"]["etag"], found["far"]["digest"]) == ("s3://b/far", "x", None)


@pytest.mark.parametrize(
    "url",
    [
        "s3://key:secret@b/x",
        "https://u@h/x",
        "https://h/x?X-Amz-Signature=1",
        "https://a.blob.core.windows.net/x?sig=1",
        "ftp://h/x",
        "file:///etc/passwd",
        "/etc/passwd",
        "s3://",
    ],
)
def test_links_with_credentials_or_to_nowhere_are_refused(api: Requests, draft: Callable[..., str], url: str) -> None:
    version = draft({"a": b"1"})
    entry = {"path": "far", "kind": "external", "size_bytes": 1, "url": url}
    reply = api.post(f"/datasets/{version}/entries", {"put": [entry]})
    assert reply.status == 422
    assert "secret" not in json.dumps(reply.body)


def test_differences_are_listed_against_the_first_parent_or_any_version(
    api: Requests, draft: Callable[..., str]
) -> None:
    first = draft({"a": b"1", "b": b"1", "d/x": b"1"})
    api.post(f"/datasets/{first}/finalize")
    second = draft({"b": b"2", "c": b"2"}, parents=[first])
    api.post(f"/datasets/{second}/entries", {"remove": ["a"]})

    def changes(version: str, query: str = "") -> list[tuple[str, bool, bool]]:
        items = api.get(f"/datasets/{version}/diff?{query}").body["items"]
        return [(each["path"], each["before"] is not None, each["after"] is not None) for each in items]

    wanted = [("a", True, False), ("b", True, True), ("c", False, True)]
    assert changes(second) == wanted
    assert changes(second, f"against={first}&after=a") == wanted[1:]
    page = api.get(f"/datasets/{second}/diff?limit=1").body
    assert (page["next"], len(page["items"])) == ("a", 1)
    assert changes(first) == [(path, False, True) for path in ("a", "b", "d/x")]
    assert changes(first, f"against={second}") == [(path, after, before) for path, before, after in wanted]


def test_pages_of_differences_of_many_files_are_whole(api: Requests, draft: Callable[..., str]) -> None:
    names = [f"{number:05}" for number in range(4000)]
    first = draft(dict.fromkeys(names, b"1"))
    api.post(f"/datasets/{first}/finalize")
    second = draft(dict.fromkeys(names[::7], b"2"), parents=[first])
    found: list[str] = []
    after = ""
    while True:
        page = api.get(f"/datasets/{second}/diff?limit=100{after}").body
        found += [each["path"] for each in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert found == names[::7]


def verify(api: Requests, version: str, sample: float = 1) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in api.post(f"/datasets/{version}/verify", {"sample": sample}).body.splitlines()]
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    return lines


def file_of(server: RunningServer, data: bytes) -> Path:
    digest = blake3.blake3(data).hexdigest()
    return server.settings.home / "blobs" / "blake3" / digest[:2] / digest[2:]


def test_verify_names_what_is_damaged_or_gone_and_an_upload_heals_it(
    api_server: RunningServer, api: Requests, draft: Callable[..., str]
) -> None:
    whole, damaged, gone, large = os.urandom(10), os.urandom(1000), os.urandom(10), os.urandom(6 << 20)
    version = draft({"a": whole, "b": damaged, "c": gone, "d/also b": damaged, "large": large})
    assert verify(api, version)[-1]["damaged"] == []
    file_of(api_server, damaged).write_bytes(b"x" * 1000)
    file_of(api_server, gone).unlink()
    with file_of(api_server, large).open("r+b") as file:
        file.seek(5 << 20)
        file.write(b"xxx")
    lines = verify(api, version)
    found = {each["path"]: each["reason"] for line in lines for each in line["damaged"]}
    assert found.keys() == {"b", "c", "d/also b", "large"}
    assert "corrupt" in found["b"]
    assert "gone" in found["c"]
    last = lines[-1]
    assert (last["files"], last["total_files"]) == (5, 5)
    assert last["size_bytes"] == last["total_bytes"] == sum(map(len, (whole, damaged, gone, damaged, large)))
    again = {each["path"]: each["reason"] for each in verify(api, version)[-1]["damaged"]}
    assert set(again.values()) == {"its bytes are not stored"}
    put(api, version, {"b": damaged, "c": gone, "large": large})
    assert verify(api, version)[-1]["damaged"] == []


def test_who_may_only_read_verifies_and_heals_nothing(
    api_server: RunningServer, api: Requests, draft: Callable[..., str]
) -> None:
    data = os.urandom(10)
    version = draft({"a": data})
    file_of(api_server, data).write_bytes(b"0123456789")
    viewer = api.using(api.post("/tokens", {"name": "x", "role": "viewer"}).body["token"])
    for _ in range(2):
        assert "corrupt" in verify(viewer, version)[-1]["damaged"][0]["reason"]
    assert api.post("/blobs/missing", {"digests": [digest_of(data)]}).body["missing"] == []


def test_a_sample_reads_a_part(api: Requests, draft: Callable[..., str]) -> None:
    version = draft({f"{number}": bytes([number]) for number in range(40)})
    last = verify(api, version, sample=0.25)[-1]
    assert (last["files"], last["total_files"], last["total_bytes"]) == (10, 10, 10)
