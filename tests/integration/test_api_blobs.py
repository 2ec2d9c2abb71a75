"""Many blobs in one request, large ones in several, and objects that were written past the server."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import struct
import time
import uuid
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import blake3
import pytest

from orchestrator.blobs import BlobStore, Pack, Packed, open_objects, read_index
from orchestrator.services.blobs import locate_all, locate_blob

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from orchestrator.api.testing import Reply, Requests, RunningServer

_LENGTH = struct.Struct("<I")


def digest_of(data: bytes) -> str:
    return "blake3:" + blake3.blake3(data).hexdigest()


def packed(blobs: Sequence[bytes], *, digests: Sequence[str] | None) -> bytes:
    header = json.dumps({"sizes": list(map(len, blobs)), "digests": digests}).encode()
    return _LENGTH.pack(len(header)) + header + b"".join(blobs)


def send_pack(api: Requests, blobs: Sequence[bytes], *, named: bool = True, query: str = "") -> Reply:
    digests = list(map(digest_of, blobs)) if named else None
    return api.post(f"/blobs/packs{query}", packed(blobs, digests=digests))


def index_of(pack: Path) -> list[Packed]:
    return read_index(open_objects(str(pack.parent)), pack.name, size_bytes=pack.stat().st_size)


def some(*sizes: int) -> list[bytes]:
    return [os.urandom(size) for size in sizes]


def pack_files(server: RunningServer) -> set[Path]:
    return set((server.settings.home / "blobs" / "packs").rglob("*.pack"))


def missing(api: Requests, *blobs: bytes) -> list[str]:
    found: list[str] = api.post("/blobs/missing", {"digests": list(map(digest_of, blobs))}).body["missing"]
    return found


def test_a_pack_of_small_blobs_becomes_one_object(api_server: RunningServer, api: Requests) -> None:
    before = pack_files(api_server)
    blobs = some(10, 0, 1000, 1 << 20, 3)
    stored = send_pack(api, blobs).body["blobs"]
    assert [each["digest"] for each in stored] == list(map(digest_of, blobs))
    assert [each["sha256"] for each in stored] == [None] * 5
    (pack,) = pack_files(api_server) - before
    assert [api.get(f"/blobs/{digest_of(data)}").body or b"" for data in blobs] == blobs
    assert [blob.digest for blob in index_of(pack)] == list(map(digest_of, blobs))


def test_what_is_stored_is_not_stored_again(api_server: RunningServer, api: Requests) -> None:
    first, second = some(100, 100)
    send_pack(api, [first])
    before = pack_files(api_server)
    stored = send_pack(api, [first, second, second, first]).body["blobs"]
    assert [each["digest"] for each in stored] == list(map(digest_of, (first, second, second, first)))
    (pack,) = pack_files(api_server) - before
    assert [blob.digest for blob in index_of(pack)] == [digest_of(second)]
    send_pack(api, [first, second])
    assert pack_files(api_server) - before == {pack}


def test_a_sender_without_blake3_gets_sha256_to_compare(api: Requests) -> None:
    blobs = some(10, 20)
    stored = send_pack(api, blobs, named=False).body["blobs"]
    assert [each["sha256"] for each in stored] == [hashlib.sha256(data).hexdigest() for data in blobs]
    assert missing(api, *blobs) == []


def test_a_blob_that_is_not_what_the_header_says_is_refused_and_nothing_stays(
    api_server: RunningServer, api: Requests
) -> None:
    before = pack_files(api_server)
    good, bad = some(10, 10)
    reply = api.post("/blobs/packs", packed([good, bad], digests=[digest_of(good), digest_of(good)]))
    assert reply.body["error"]["code"] == "digest_mismatch"
    assert pack_files(api_server) == before
    assert not list((api_server.settings.home / "blobs" / "uploads").iterdir())
    assert missing(api, good) == [digest_of(good)]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\1\0",
        _LENGTH.pack(1 << 31),
        _LENGTH.pack(2) + b"no",
        _LENGTH.pack(2) + b"{}",
        packed([b"x"], digests=["blake3:" + "0" * 63]),
        packed([b"x"], digests=[]),
        packed([b"x"], digests=None) + b"more",
        packed([b"xyz"], digests=None)[:-1],
        packed([], digests=None).replace(b"[]", b"[-1]"),
        packed([b"x"], digests=None).replace(b"[1]", b"[99999999999]"),
    ],
)
def test_packs_that_cannot_be_read_are_refused(api: Requests, body: bytes) -> None:
    if body.startswith(packed([], digests=None)[:4]) and b"[-1]" in body:
        body = _LENGTH.pack(len(body) - 4) + body[4:]
    assert api.post("/blobs/packs", body).status == 422


def test_a_bundle_brings_blobs_in_the_order_asked(api: Requests) -> None:
    small, alone, large = some(100, 200, 300), os.urandom(50), os.urandom(5 << 20)
    send_pack(api, small)
    api.post("/blobs", alone)
    api.post("/blobs", large)
    asked = [small[2], alone, small[0], large, small[0], small[1]]
    reply = api.post("/blobs/bundle", {"digests": list(map(digest_of, asked))})
    assert reply.body == b"".join(asked)
    unknown = digest_of(os.urandom(9))
    refused = api.post("/blobs/bundle", {"digests": [digest_of(alone), unknown]})
    assert (refused.status, unknown in refused.body["error"]["message"]) == (404, True)
    assert api.post("/blobs/bundle", {"digests": []}).status == 200


def test_a_bundle_with_a_corrupt_blob_is_broken_off_and_the_blob_is_missing_then(
    api_server: RunningServer, api: Requests
) -> None:
    before = pack_files(api_server)
    blobs = some(2 << 20, 100, 100)
    send_pack(api, blobs)
    (pack,) = pack_files(api_server) - before
    data = bytearray(pack.read_bytes())
    data[(2 << 20) + 150] ^= 1
    pack.write_bytes(data)
    with contextlib.suppress(http.client.IncompleteRead):
        assert api.post("/blobs/bundle", {"digests": list(map(digest_of, blobs))}).status == 422
    assert missing(api, *blobs) == [digest_of(blobs[2])]
    send_pack(api, blobs)
    assert api.post("/blobs/bundle", {"digests": list(map(digest_of, blobs))}).body == b"".join(blobs)


def test_a_blob_that_is_moved_while_somebody_asks_for_it_is_looked_up_again(
    api_server: RunningServer, api: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = os.urandom(10)
    digest = digest_of(data)
    api.post("/blobs", data)
    asked = count()

    def locate(*arguments: object, **named: object) -> object:
        found = locate_blob(*arguments, **named)
        moved = found._replace(place=found.place._replace(path="packs/ab/moved.pack"))
        return found if next(asked) % 2 else moved

    def locate_many(*arguments: object, **named: object) -> object:
        found = locate_all(*arguments, **named)
        moved = found[-1]._replace(place=found[-1].place._replace(path="packs/ab/moved.pack"))
        return found if next(asked) % 2 else [*found[:-1], moved]

    monkeypatch.setattr("orchestrator.api.routes.blobs.locate_blob", locate)
    monkeypatch.setattr("orchestrator.api.routes.blob_packs.locate_all", locate_many)
    assert api.get(f"/blobs/{digest}").body == data
    assert api.post("/blobs/bundle", {"digests": [digest, digest]}).body == data * 2
    (api_server.settings.home / "blobs" / "blake3" / digest[7:9] / digest[9:]).unlink()
    assert "gone" in api.get(f"/blobs/{digest}").body["error"]["message"]


def test_locations_are_told_of_what_is_stored(api_server: RunningServer, api: Requests) -> None:
    first, second = some(10, 20)
    send_pack(api, [first, second])
    asked = [digest_of(second), digest_of(b"never"), digest_of(first)]
    found = api.post("/blobs/locations", {"digests": asked}).body["locations"]
    assert [each["digest"] for each in found] == [asked[0], asked[2]]
    for each, data in zip(found, (second, first), strict=True):
        with (api_server.settings.home / "blobs" / each["path"]).open("rb") as file:
            file.seek(each["offset"])
            assert file.read(each["size_bytes"]) == data


def test_an_object_that_was_written_past_the_server_is_looked_at_and_recorded(
    api_server: RunningServer, api: Requests, project: str
) -> None:
    objects = f"/blobs/objects?dataset={a_draft(api, project)}"
    store = BlobStore(str(api_server.settings.home / "blobs"))
    blobs, packs = some(10, 20), list[Pack]()
    with store.packs(on_pack=packs.append) as writer:
        for data in blobs:
            writer.add(digest_of(data), data)
    (pack,) = packs
    placed = [each._asdict() for each in pack.blobs]
    body: dict[str, Any] = {"storage": "default", "path": pack.path, "size_bytes": pack.size_bytes, "blobs": placed}
    assert api.post(objects, body | {"size_bytes": pack.size_bytes + 1}).status == 409
    other = [placed[0] | {"offset": 1}]
    assert api.post(objects, body | {"blobs": other}).status == 422
    assert api.post(objects, body).body == {"new_blobs": 2}
    assert api.post(objects, body).body == {"new_blobs": 0}
    assert api.get(f"/blobs/{digest_of(blobs[1])}").body == blobs[1]
    alone = store.put([b"alone" * 9])
    placed = [{"digest": alone.digest, "offset": 0, "size_bytes": 45}]
    assert api.post(objects, body | {"path": alone.path, "size_bytes": 45, "blobs": placed}).status == 200


@pytest.mark.parametrize(
    "change",
    [
        {"path": "../x"},
        {"path": "retrain-store.json"},
        {"path": "uploads/x"},
        {"path": "packs/ab/x.pack"},
        {"path": f"blake3/ab/{'c' * 62}"},
        {"part_bytes": 5},
        {"blobs": [{"digest": "blake3:" + "0" * 64, "offset": 5, "size_bytes": 6}]},
        {"blobs": []},
        {"storage": "nowhere"},
    ],
)
def test_objects_that_cannot_be_as_they_are_described_are_refused(
    api: Requests, project: str, change: dict[str, Any]
) -> None:
    objects = f"/blobs/objects?dataset={a_draft(api, project)}"
    blobs = [{"digest": "blake3:" + "0" * 64, "offset": 0, "size_bytes": 10}]
    name = uuid.uuid4().hex
    body = {"storage": "default", "path": f"packs/{name[:2]}/{name}.pack", "size_bytes": 10, "blobs": blobs}
    assert api.post(objects, body | change).status == (403 if "storage" in change else 422)


def test_only_an_editor_of_a_version_says_what_lies_in_its_storage(api: Requests, project: str) -> None:
    blobs = [{"digest": "blake3:" + "0" * 64, "offset": 0, "size_bytes": 10}]
    name = uuid.uuid4().hex
    body = {"storage": "default", "path": f"packs/{name[:2]}/{name}.pack", "size_bytes": 10, "blobs": blobs}
    made = api.post("/tokens", {"name": "other", "role": "editor", "project": f"{project}-other"}).body
    draft = a_draft(api, project)
    assert api.using(made["token"]).post(f"/blobs/objects?dataset={draft}", body).status == 403
    assert api.post("/blobs/objects", body).status == 422
    assert api.post(f"/blobs/objects?dataset={draft}", body).status == 409
    far = {"path": "far", "kind": "external", "size_bytes": 1, "url": "s3://b/far"}
    assert api.post(f"/datasets/{draft}/entries", {"put": [far]}).status == 200
    assert api.post(f"/datasets/{draft}/finalize").status == 200
    refused = api.post(f"/blobs/objects?dataset={draft}", body)
    assert (refused.status, "never change again" in refused.body["error"]["message"]) == (409, True)


def a_draft(api: Requests, project: str) -> str:
    return str(api.post("/datasets", {"project": project, "name": "objects"}).body["id"])


def upload(api: Requests, data: bytes, *, offset: int, size: int, digest: str | None = None, query: str = "") -> Reply:
    path = f"/blobs/{digest}/upload?offset={offset}&size={size}{query}"
    return api.put(path, data)


def test_a_large_blob_comes_in_parts(api_server: RunningServer, api: Requests) -> None:
    data = os.urandom(5 << 20)
    digest, half = digest_of(data), 3 << 20
    state = f"/blobs/{digest}/upload"
    assert api.get(state).body == {"received_bytes": 0, "stored": False, "busy": False}
    assert upload(api, data[:half], offset=0, size=len(data), digest=digest).body == {
        "received_bytes": half,
        "stored": False,
        "busy": False,
    }
    assert api.get(state).body == {"received_bytes": half, "stored": False, "busy": False}
    assert missing(api, data) == [digest]
    wrong = upload(api, data[half:], offset=half + 1, size=len(data), digest=digest)
    assert (wrong.status, str(half) in wrong.body["error"]["message"]) == (409, True)
    done = upload(api, data[half:], offset=half, size=len(data), digest=digest).body
    assert done == {"received_bytes": len(data), "stored": True, "busy": False}
    assert api.get(f"/blobs/{digest}").body == data
    assert api.get(state).body["stored"]
    assert upload(api, b"", offset=0, size=len(data), digest=digest).body["stored"]
    assert not list((api_server.settings.home / "uploads").iterdir())


def test_what_arrived_before_a_cut_stays(api_server: RunningServer, api: Requests) -> None:
    data = os.urandom(4 << 20)
    digest = digest_of(data)
    connection = http.client.HTTPConnection(urlsplit(api_server.url).netloc, timeout=5)
    connection.putrequest("PUT", f"/api/v1/blobs/{digest}/upload?offset=0&size={len(data)}")
    connection.putheader("Authorization", f"Bearer {api_server.token}")
    connection.putheader("Content-Length", str(len(data)))
    connection.endheaders()
    connection.send(data[: 3 << 20])
    connection.close()
    until = time.monotonic() + 20
    while api.get(f"/blobs/{digest}/upload").body["received_bytes"] < 3 << 20:
        assert time.monotonic() < until
        time.sleep(0.01)
    while (reply := upload(api, data[3 << 20 :], offset=3 << 20, size=len(data), digest=digest)).status == 409:
        assert time.monotonic() < until  # the request that was cut off has not been given up yet
        time.sleep(0.01)
    assert reply.body["stored"]
    assert api.get(f"/blobs/{digest}").body == data


def test_parts_that_make_another_blob_are_thrown_away(api: Requests) -> None:
    digest = digest_of(os.urandom(9))
    upload(api, b"12345", offset=0, size=10, digest=digest)
    reply = upload(api, b"67890", offset=5, size=10, digest=digest)
    assert reply.body["error"]["code"] == "digest_mismatch"
    assert api.get(f"/blobs/{digest}/upload").body == {"received_bytes": 0, "stored": False, "busy": False}
    assert upload(api, b"12345678901", offset=0, size=10, digest=digest).status == 422
    assert upload(api, b"", offset=11, size=10, digest=digest).status == 422


def test_two_senders_of_one_blob_do_not_meet(api: Requests) -> None:
    data = os.urandom(10)
    digest = digest_of(data)
    other = api.using(api.post("/tokens", {"name": "x", "role": "editor"}).body["token"])
    upload(api, b"wrong", offset=0, size=10, digest=digest)
    assert upload(other, data, offset=0, size=10, digest=digest).body["stored"]


def test_asking_what_is_missing_pins_what_is_there(api: Requests) -> None:
    kept = os.urandom(10)
    api.post("/blobs", kept)
    assert missing(api, kept) == []
    done = api.post("/blobs/collect", {"grace_seconds": 0}).body
    assert set(done) == {"condemned_blobs", "condemned_bytes", "deleted_blobs", "freed_bytes", "unreachable"}
    assert api.get(f"/blobs/{digest_of(kept)}").body == kept


def test_only_an_administrator_of_everything_collects(api: Requests, project: str) -> None:
    admin = api.using(api.post("/tokens", {"name": "x", "role": "admin", "project": project}).body["token"])
    assert admin.post("/blobs/collect", {}).status == 403
    assert api.post("/blobs/collect", {"dry_run": True}).status == 200
    assert api.post("/blobs/collect", {"grace_seconds": -1}).status == 422


def test_a_viewer_reads_bundles_and_locations(api: Requests) -> None:
    data = os.urandom(10)
    api.post("/blobs", data)
    viewer = api.using(api.post("/tokens", {"name": "x", "role": "viewer"}).body["token"])
    assert viewer.post("/blobs/bundle", {"digests": [digest_of(data)]}).body == data
    assert len(viewer.post("/blobs/locations", {"digests": [digest_of(data)]}).body["locations"]) == 1
    assert viewer.post("/blobs/packs", packed([data], digests=None)).status == 403
