"""Storages: made, chosen for projects and datasets, written to and read from."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

import blake3
import pytest

from orchestrator.blobs import open_objects
from orchestrator.blobs.owner import claim

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.api.testing import Requests


FOLDERS = ("packs", "blake3")


def digest_of(data: bytes) -> str:
    return "blake3:" + blake3.blake3(data).hexdigest()


@pytest.fixture
def storage(api: Requests, project: str, tmp_path: Path) -> tuple[str, Path]:
    """A storage of this test's own."""
    root = tmp_path / "storage"
    assert api.put(f"/storages/{project}", {"url": str(root)}).status == 200
    return project, root


def files_in(root: Path) -> int:
    return sum(path.is_file() for folder in FOLDERS for path in (root / folder).rglob("*"))


def test_the_servers_own_storage_is_there_from_the_start(api: Requests) -> None:
    listed = {each["name"]: each for each in api.get("/storages").body["items"]}
    assert listed["default"]["identity"] == open_objects(listed["default"]["url"]).identity(create=False)
    assert api.put("/storages/default", {"url": "/tmp/elsewhere"}).status == 409  # noqa: S108  never made


def test_a_storage_gets_a_marker_and_keeps_it(api: Requests, storage: tuple[str, Path]) -> None:
    name, root = storage
    identity = open_objects(str(root)).identity(create=False)
    again = api.put(f"/storages/{name}", {"url": f"file://{root}"}).body
    assert (again["identity"], again["url"]) == (identity, str(root))


@pytest.mark.parametrize(
    "url", ["s3://key:secret@bucket", "relative/path", "nonsense://x", "s3://b?token=x", "/etc/passwd"]
)
def test_urls_that_are_no_storage_or_hold_credentials_are_refused(api: Requests, project: str, url: str) -> None:
    reply = api.put(f"/storages/{project}", {"url": url})
    assert reply.status == 422, reply
    assert "secret" not in str(reply.body)


def test_a_storage_with_objects_in_it_cannot_become_another_place(
    api: Requests, project: str, storage: tuple[str, Path], tmp_path: Path
) -> None:
    name, _ = storage
    version = api.post("/datasets", {"project": project, "name": "d", "storage": name}).body["id"]
    assert api.put(f"/storages/{name}", {"url": str(tmp_path / "b")}).status == 200
    api.send("POST", f"/blobs?dataset={version}", body=os.urandom(9))
    assert files_in(tmp_path / "b") == 1
    refused = api.put(f"/storages/{name}", {"url": str(tmp_path / "c")})
    assert (refused.status, "another name" in refused.body["error"]["hint"]) == (409, True)


def test_new_bytes_go_to_the_nearest_choice(api: Requests, project: str, storage: tuple[str, Path]) -> None:
    name, root = storage

    def storage_of(project_path: str, dataset: str, **fields: object) -> str:
        version = api.post("/datasets", {"project": project_path, "name": dataset} | fields).body["id"]
        found: str = api.get(f"/datasets/{version}/storage").body["name"]
        return found

    assert storage_of(project, "d") == "default"
    api.put("/storages/choices", {"project": project, "storage": name})
    assert [storage_of(f"{project}/deep/er", "d"), storage_of(f"{project}x", "d")] == [name, "default"]
    api.put("/storages/choices", {"project": f"{project}/deep", "storage": "default"})
    assert storage_of(f"{project}/deep/er", "d") == "default"
    api.put("/storages/choices", {"project": f"{project}/deep", "dataset": "d", "storage": name})
    assert [storage_of(f"{project}/deep", each) for each in ("d", "e")] == [name, "default"]
    assert storage_of(f"{project}/deep", "d", storage="default") == "default"
    assert root.exists()
    listed = [each for each in api.get("/storages/choices").body["items"] if each["project"].startswith(project)]
    assert len(listed) == 3
    assert api.send("DELETE", f"/storages/choices?project={project}/deep&dataset=d").status == 200
    assert api.send("DELETE", f"/storages/choices?project={project}/deep&dataset=d").status == 404
    assert storage_of(f"{project}/deep", "d") == "default"


def test_every_way_to_upload_leads_to_the_versions_storage(
    api: Requests, project: str, storage: tuple[str, Path]
) -> None:
    name, root = storage
    version = api.post("/datasets", {"project": project, "name": "d", "storage": name}).body["id"]
    one, two, three, four = (os.urandom(10) for _ in range(4))
    header = b'{"sizes":[10],"digests":null}'
    for reply in (
        api.put(f"/blobs/{digest_of(one)}?dataset={version}", one),
        api.send("POST", f"/blobs?dataset={version}", body=two),
        api.put(f"/blobs/{digest_of(three)}/upload?offset=0&size=10&dataset={version}", three),
        api.send("POST", f"/blobs/packs?dataset={version}", body=struct.pack("<I", len(header)) + header + four),
    ):
        assert reply.status == 200, reply
    assert files_in(root) == 4
    blobs = [one, two, three, four]
    assert api.post("/blobs/bundle", {"digests": list(map(digest_of, blobs))}).body == b"".join(blobs)
    entries = [{"path": str(each), "size_bytes": 10, "digest": digest_of(data)} for each, data in enumerate(blobs)]
    assert api.post(f"/datasets/{version}/entries", {"put": entries}).body["file_count"] == 4
    used = {each["name"]: each for each in api.get("/storages").body["items"]}[name]
    assert used["objects"] == 4
    assert used["size_bytes"] == sum(
        path.stat().st_size for path in root.rglob("*") if path.parent.parent.name in FOLDERS
    )


def test_a_storage_that_is_not_mounted_is_not_taken_for_an_empty_one(
    api: Requests, project: str, storage: tuple[str, Path], tmp_path: Path
) -> None:
    name, root = storage
    root.rename(tmp_path / "unmounted")
    version = api.post("/datasets", {"project": project, "name": "d", "storage": name}).body["id"]
    reply = api.send("POST", f"/blobs?dataset={version}", body=b"x")
    assert (reply.status, "mounted" in reply.body["error"]["hint"]) == (503, True)
    assert name in api.post("/blobs/collect", {}).body["unreachable"]


def test_a_version_of_a_storage_that_is_none_is_refused(api: Requests, project: str) -> None:
    assert api.post("/datasets", {"project": project, "name": "d", "storage": "none"}).status == 404
    assert api.put("/storages/choices", {"project": project, "storage": "none"}).status == 404


def test_a_projects_administrator_chooses_for_it_and_makes_no_storage(
    api: Requests, project: str, storage: tuple[str, Path]
) -> None:
    admin = api.using(api.post("/tokens", {"name": "x", "role": "admin", "project": project}).body["token"])
    assert admin.put("/storages/choices", {"project": f"{project}/a", "storage": storage[0]}).status == 200
    assert admin.put("/storages/choices", {"project": "other", "storage": storage[0]}).status == 403
    assert admin.put("/storages/mine", {"url": "/tmp/mine"}).status == 403  # noqa: S108  never made
    assert {each["project"] for each in admin.get("/storages/choices").body["items"]} == {f"{project}/a"}


def test_a_place_of_another_server_or_another_name_is_refused(
    api: Requests, project: str, storage: tuple[str, Path], tmp_path: Path
) -> None:
    name, root = storage
    refused = api.put(f"/storages/{project}-again", {"url": str(root)})
    assert (refused.status, name in refused.body["error"]["message"]) == (409, True)
    claim(open_objects(str(tmp_path / "theirs")), database="another")
    refused = api.put(f"/storages/{project}-theirs", {"url": str(tmp_path / "theirs")})
    assert (refused.status, "retrain-owner.json" in refused.body["error"]["hint"]) == (409, True)
