"""Dataset versions and blobs over HTTP."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import blake3
import psutil
import pytest

from orchestrator.blobs import CHUNK_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orchestrator.api.testing import Reply, Requests, RunningServer


def digest_of(data: bytes) -> str:
    return "blake3:" + blake3.blake3(data).hexdigest()


@pytest.fixture
def draft(api: Requests, project: str) -> Callable[..., str]:
    """Make a draft that holds these files."""

    def made(files: dict[str, bytes] | None = None, **fields: object) -> str:
        version = api.post("/datasets", {"project": project, "name": "sensors"} | fields)
        assert version.status == 201, version
        assert put(api, version.body["id"], files or {}).status == 200
        return str(version.body["id"])

    return made


def put(api: Requests, version: str, files: dict[str, bytes]) -> Reply:
    for data in files.values():
        api.put(f"/blobs/{digest_of(data)}", data)
    entries = [{"path": path, "size_bytes": len(data), "digest": digest_of(data)} for path, data in files.items()]
    return api.post(f"/datasets/{version}/entries", {"put": entries})


def dataset_events(api: Requests, version: str) -> list[tuple[str, list[str], list[str]]]:
    events = api.get(f"/events/recent?subject={version}").body["items"][::-1]
    return [(each["type"], each["data"]["tags"], each["data"]["added"]) for each in events]


def test_versions_count_up_and_carry_their_parents_files(
    api: Requests, project: str, draft: Callable[..., str]
) -> None:
    first = draft({"a.csv": b"1", "b.csv": b"2"})
    done = api.post(f"/datasets/{first}/finalize").body
    assert (done["version"], done["state"], done["file_count"], done["added_count"]) == ("1.0.0", "final", 2, 2)
    second = draft({"b.csv": b"22", "c.csv": b"3"}, parents=[first])
    api.post(f"/datasets/{second}/entries", {"remove": ["a.csv"]})
    done = api.post(f"/datasets/{second}/finalize").body
    counts = [done[f"{which}_count"] for which in ("file", "added", "modified", "removed")]
    assert (done["version"], done["size_bytes"], counts) == ("1.0.1", 3, [2, 1, 1, 1])
    entries = api.get(f"/datasets/{second}/entries").body["items"]
    assert [entry["path"] for entry in entries] == ["b.csv", "c.csv"]
    newest = f"/datasets/newest?project={project}&name=sensors"
    assert api.get(newest).body["id"] == second
    assert api.get(f"{newest}&version=1.0.0").body["id"] == first
    assert api.get(f"{newest}&tag=Production").status == 404


def test_a_final_version_never_changes(api: Requests, draft: Callable[..., str]) -> None:
    version = draft({"a": b"1"})
    api.post(f"/datasets/{version}/finalize")
    assert put(api, version, {"b": b"2"}).status == 409
    assert api.post(f"/datasets/{version}/finalize").status == 409


def test_of_two_who_began_from_the_same_version_the_second_is_put_on_top_of_the_first(
    api: Requests, draft: Callable[..., str]
) -> None:
    base = draft({"a": b"1"})
    api.post(f"/datasets/{base}/finalize")
    drafts = [draft({f"{number}": b"x"}, parents=[base]) for number in range(2)]
    with ThreadPoolExecutor(2) as pool:
        replies = list(pool.map(lambda version: api.post(f"/datasets/{version}/finalize"), drafts))
    assert [reply.status for reply in replies] == [200, 200]
    newest = max((reply.body for reply in replies), key=lambda version: version["version"])
    assert [each["path"] for each in api.get(f"/datasets/{newest['id']}/entries").body["items"]] == ["0", "1", "a"]


def test_of_two_who_changed_the_same_file_the_second_is_told_which_and_keeps_its_draft(
    api: Requests, draft: Callable[..., str]
) -> None:
    base = draft({"a": b"1", "b": b"1"})
    api.post(f"/datasets/{base}/finalize")
    drafts = [draft({"a": content, "b": b"2"}, parents=[base]) for content in (b"2", b"3")]
    replies = [api.post(f"/datasets/{version}/finalize") for version in drafts]
    assert [reply.status for reply in replies] == [200, 409]
    error = replies[1].body["error"]
    assert error["code"] == "head_moved"
    assert "'a'" in error["message"]
    assert "'b'" not in error["message"]
    assert error["hint"]
    kept = api.get(f"/datasets/{drafts[1]}").body
    assert (kept["state"], kept["file_count"]) == ("open", 2)


def test_two_who_make_the_first_version_are_merged_as_well(api: Requests, draft: Callable[..., str]) -> None:
    drafts = [draft({"same": b"1", path: b"1"}) for path in ("a", "b")]
    done = [api.post(f"/datasets/{version}/finalize").body for version in drafts]
    assert [version["file_count"] for version in done] == [2, 3]
    assert done[1]["parents"] == [drafts[0]]


def test_a_finalize_that_is_sent_again_is_answered_like_the_first_time(
    api: Requests, draft: Callable[..., str]
) -> None:
    version = draft({"a": b"1"})
    replies = [api.post(f"/datasets/{version}/finalize", idempotency_key=version) for _ in range(2)]
    assert replies[0].status == 200
    assert replies[0] == replies[1]
    assert api.post(f"/datasets/{version}/finalize").status == 409


def test_what_cannot_be_finalized_says_why(api: Requests, draft: Callable[..., str]) -> None:
    empty = api.post(f"/datasets/{draft()}/finalize")
    assert (empty.status, "no files" in empty.body["error"]["message"]) == (422, True)
    version = draft()
    entry = {"path": "a", "size_bytes": 1, "digest": digest_of(os.urandom(8))}
    refused = api.post(f"/datasets/{version}/entries", {"put": [entry]})
    assert (refused.status, entry["path"] in refused.body["error"]["message"]) == (422, True)
    assert api.get(f"/datasets/{version}").body["file_count"] == 0


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a//b", "./a", "a\0b", "x" * 256, "a/../../b", ""])
def test_paths_that_leave_their_root_are_refused_by_name(api: Requests, draft: Callable[..., str], path: str) -> None:
    version = draft({"fine": b"1"})
    reply = put(api, version, {"also fine": b"2", path: b"3"})
    assert reply.body["error"]["code"] == "invalid_path"
    assert api.get(f"/datasets/{version}").body["file_count"] == 1


@pytest.mark.parametrize("files", [("a", "a/b"), ("a/b/c", "a/b"), ("x/y", "x")])
def test_a_file_is_no_directory(api: Requests, draft: Callable[..., str], files: tuple[str, str]) -> None:
    version = draft({files[0]: b"1", "zz": b"1"})
    assert put(api, version, {files[1]: b"2"}).body["error"]["code"] == "invalid_path"
    assert put(api, draft(), dict.fromkeys(files, b"1")).body["error"]["code"] == "invalid_path"
    swap = {"remove": [files[0]], "put": [{"path": files[1], "size_bytes": 1, "digest": digest_of(b"1")}]}
    assert api.post(f"/datasets/{version}/entries", swap).body["file_count"] == 2


def test_names_that_are_odd_but_harmless_are_kept_exactly(api: Requests, draft: Callable[..., str]) -> None:
    names = ["new\nline", "🦀", " ", "..a", "é", "e\u0301", "x" * 255]
    version = draft(dict.fromkeys(names, b"1"))
    paths = [entry["path"] for entry in api.get(f"/datasets/{version}/entries").body["items"]]
    assert paths == sorted(names, key=str.encode)


@pytest.mark.parametrize("size", [300, 3 * CHUNK_BYTES])
def test_a_corrupt_blob_is_missing_once_it_was_read_and_whole_after_the_next_upload(
    api_server: RunningServer, api: Requests, size: int
) -> None:
    data = os.urandom(size)
    digest = digest_of(data)
    api.put(f"/blobs/{digest}", data)
    stored = next(path for path in (api_server.settings.home / "blobs").rglob("*") if path.name == digest[9:])
    stored.chmod(0o644)
    stored.write_bytes(b"X" + data[1:])
    assert api.post("/blobs/missing", {"digests": [digest]}).body["missing"] == []
    with contextlib.suppress(http.client.IncompleteRead):
        assert api.get(f"/blobs/{digest}").body["error"]["code"] == "digest_mismatch"
    assert api.post("/blobs/missing", {"digests": [digest]}).body["missing"] == [digest]
    assert api.get(f"/blobs/{digest}").status == 404
    assert api.put(f"/blobs/{digest}", data).status == 200
    assert api.get(f"/blobs/{digest}").body == data


def test_tags_on_a_draft_count_when_it_is_finalized(api: Requests, draft: Callable[..., str]) -> None:
    version = draft({"a": b"1"}, tags=["Candidate"])
    api.post(f"/datasets/{version}/tags", {"add": ["Production"], "remove": ["Candidate"]})
    api.post(f"/datasets/{version}/finalize")
    api.post(f"/datasets/{version}/tags", {"add": ["Production"]})
    api.post(f"/datasets/{version}/tags", {"remove": ["Production"]})
    api.post(f"/datasets/{version}/tags", {"add": ["Production", "Blue"]})
    assert dataset_events(api, version) == [
        ("dataset.created", ["Candidate"], []),
        ("dataset.finalized", ["Production"], ["Production"]),
        ("dataset.untagged", [], []),
        ("dataset.tagged", ["Blue", "Production"], ["Blue", "Production"]),
    ]


@pytest.mark.parametrize("version", ["1.0", "one", "01.0.0", "1.0.0-rc1", "9" * 30 + ".0.0", f"{2**31}.0.0"])
def test_versions_that_are_none_are_refused(api: Requests, project: str, version: str) -> None:
    assert api.post("/datasets", {"project": project, "name": "n", "version": version}).status == 422


def test_a_number_that_is_final_cannot_be_begun_again(api: Requests, draft: Callable[..., str], project: str) -> None:
    version = draft({"a": b"1"}, version="2.0.0")
    api.post(f"/datasets/{version}/finalize")
    reply = api.post("/datasets", {"project": project, "name": "sensors", "version": "2.0.0"})
    assert reply.body["error"]["code"] == "already_exists"


def test_a_draft_is_no_parent(api: Requests, draft: Callable[..., str], project: str) -> None:
    reply = api.post("/datasets", {"project": project, "name": "n", "parents": [draft()]})
    assert (reply.status, reply.body["error"]["code"]) == (409, "conflict")


def test_the_largest_number_is_the_newest(api: Requests, project: str, draft: Callable[..., str]) -> None:
    ids = {}
    for version in ("1.9.0", "1.10.0"):
        ids[version] = draft({"a": version.encode()}, version=version)
        api.post(f"/datasets/{ids[version]}/finalize")
    assert api.get(f"/datasets/newest?project={project}&name=sensors").body["id"] == ids["1.10.0"]
    assert api.get(f"/datasets/{draft()}").body["version"] == "1.10.1"


def test_reports_of_a_version_are_kept_after_it_is_final(api: Requests, draft: Callable[..., str]) -> None:
    version = draft({"a": b"1"})
    api.post(f"/datasets/{version}/finalize")
    body = {"title": "CO2", "series": "2015-02-05", "kind": "scatter2d", "data": [[1, 2]]}
    assert api.post(f"/datasets/{version}/reports", body).status == 200
    assert api.get(f"/datasets/{version}/reports").body["items"][0]["data"] == [[1, 2]]


def test_lists_are_filtered_by_all_tags(api: Requests, project: str, draft: Callable[..., str]) -> None:
    both, one = draft(tags=["a", "b"]), draft(tags=["a"])
    ids = [each["id"] for each in api.get(f"/datasets?project={project}&tag=a&tag=b").body["items"]]
    assert ids == [both]
    assert {each["id"] for each in api.get(f"/datasets?project={project}&state=open").body["items"]} == {both, one}


def test_bytes_come_back_as_they_went(api: Requests) -> None:
    for size in (0, 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 1):
        data = os.urandom(size)
        stored = api.post("/blobs", data).body
        assert stored == {"digest": digest_of(data), "size_bytes": size, "sha256": hashlib.sha256(data).hexdigest()}
        assert (api.get(f"/blobs/{stored['digest']}").body or b"") == data


def test_bytes_of_another_digest_are_refused(api: Requests) -> None:
    wrong = digest_of(os.urandom(8))
    assert api.put(f"/blobs/{wrong}", b"something else").body["error"]["code"] == "digest_mismatch"
    assert api.post("/blobs/missing", {"digests": [wrong, wrong]}).body == {"missing": [wrong]}
    assert api.get(f"/blobs/{wrong}").status == 404


@pytest.mark.parametrize("size", [10, 3 * CHUNK_BYTES])
def test_corrupt_bytes_are_noticed_by_whoever_gets_them(api_server: RunningServer, api: Requests, size: int) -> None:
    data = os.urandom(size)
    digest = api.post("/blobs", data).body["digest"].removeprefix("blake3:")
    path = api_server.settings.home / "blobs" / "blake3" / digest[:2] / digest[2:]
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    if size < CHUNK_BYTES:
        assert api.get(f"/blobs/blake3:{digest}").body["error"]["code"] == "digest_mismatch"
    else:
        with pytest.raises(http.client.IncompleteRead):
            api.get(f"/blobs/blake3:{digest}")


def test_an_upload_that_breaks_off_leaves_nothing(api_server: RunningServer) -> None:
    uploads = api_server.settings.home / "blobs" / "uploads"
    connection = http.client.HTTPConnection(urlsplit(api_server.url).netloc, timeout=5)
    connection.putrequest("POST", "/api/v1/blobs")
    connection.putheader("Authorization", f"Bearer {api_server.token}")
    connection.putheader("Content-Length", str(8 * CHUNK_BYTES))
    connection.endheaders()
    connection.send(os.urandom(3 * CHUNK_BYTES))
    wait_until(lambda: any(uploads.iterdir()))
    connection.close()
    wait_until(lambda: not any(uploads.iterdir()))


def test_a_large_blob_takes_constant_memory(api_server: RunningServer) -> None:
    size = 192 << 20
    block = os.urandom(1 << 20)

    def blocks() -> Iterator[bytes]:
        for _ in range(size // len(block)):
            yield block

    process, peak, over = psutil.Process(), [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.005):
            peak[0] = max(peak[0], process.memory_info().rss)

    before = process.memory_info().rss
    watcher = threading.Thread(target=watch)
    watcher.start()
    connection = http.client.HTTPConnection(urlsplit(api_server.url).netloc, timeout=60)
    headers = {"Authorization": f"Bearer {api_server.token}", "Content-Length": str(size)}
    connection.request("POST", "/api/v1/blobs", blocks(), headers)
    digest = json.loads(connection.getresponse().read())["digest"]
    connection.request("GET", f"/api/v1/blobs/{digest}", headers={"Authorization": f"Bearer {api_server.token}"})
    response, received = connection.getresponse(), 0
    while chunk := response.read(1 << 20):
        received += len(chunk)
    connection.close()
    over.set()
    watcher.join()
    assert received == size
    assert peak[0] - before < 64 << 20


def wait_until(condition: Callable[[], bool], seconds: float = 5) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)
