"""The life of dataset versions over HTTP: publish, archive, delete, rename, descent and metadata."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import blake3
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.api.testing import Requests


def digest_of(data: bytes) -> str:
    return "blake3:" + blake3.blake3(data).hexdigest()


@pytest.fixture
def final(api: Requests, project: str) -> Callable[..., str]:
    """Make a final version that holds these files."""

    def made(files: dict[str, bytes], **fields: object) -> str:
        version = api.post("/datasets", {"project": project, "name": "sensors"} | fields)
        assert version.status == 201, version
        key: str = version.body["id"]
        for data in files.values():
            api.put(f"/blobs/{digest_of(data)}", data)
        put = [{"path": path, "size_bytes": len(data), "digest": digest_of(data)} for path, data in files.items()]
        assert api.post(f"/datasets/{key}/entries", {"put": put}).status == 200
        assert api.post(f"/datasets/{key}/finalize").status == 200
        return key

    return made


def events_of(api: Requests, version: str) -> list[str]:
    return [each["type"] for each in api.get(f"/events/recent?subject={version}").body["items"][::-1]]


def test_publishing_is_an_event_and_keeps_a_version_from_being_deleted(
    api: Requests, final: Callable[..., str]
) -> None:
    version = final({"a": b"1"})
    published = api.post(f"/datasets/{version}/publish").body
    assert (published["state"], published["published_at"] is not None) == ("published", True)
    assert api.post(f"/datasets/{version}/publish").status == 409
    refused = api.send("DELETE", f"/datasets/{version}")
    assert (refused.status, "--force" in refused.body["error"]["hint"]) == (409, True)
    assert api.send("DELETE", f"/datasets/{version}?force=true").status == 200
    assert events_of(api, version) == [
        "dataset.created",
        "dataset.finalized",
        "dataset.published",
        "dataset.deleted",
    ]


def test_a_draft_cannot_be_published(api: Requests, project: str) -> None:
    version = api.post("/datasets", {"project": project, "name": "n"}).body["id"]
    assert api.post(f"/datasets/{version}/publish").status == 409


def test_what_is_archived_is_left_out_of_lists_and_can_be_used_as_before(
    api: Requests, project: str, final: Callable[..., str]
) -> None:
    version = final({"a": b"1"})
    assert api.send("PATCH", f"/datasets/{version}", body={"archived": True}).body["archived_at"]
    api.send("PATCH", f"/datasets/{version}", body={"archived": True})

    def listed(archived: str) -> list[str]:
        return [each["id"] for each in api.get(f"/datasets?project={project}&archived={archived}").body["items"]]

    assert (listed("false"), listed("true"), listed("all")) == ([], [version], [version])
    assert api.get(f"/datasets/newest?project={project}&name=sensors").body["id"] == version
    assert api.get(f"/datasets/newest?project={project}&name=sensors&version=1.0.0").body["id"] == version
    body = {"archived": False, "description": "back"}
    edited = api.send("PATCH", f"/datasets/{version}", body=body).body
    assert (edited["archived_at"], edited["description"]) == (None, "back")
    assert events_of(api, version)[2:] == ["dataset.archived"]


def test_deleting_says_what_it_frees_and_leaves_children_their_files(
    api: Requests, project: str, final: Callable[..., str]
) -> None:
    own, shared = os.urandom(1000), os.urandom(10)
    first = final({"shared": shared})
    second = final({"own": own, "again": own}, parents=[first])
    third = final({"other": b"3"}, parents=[second])
    api.post(f"/datasets/{third}/tags", {"add": ["kept"]})
    assert api.send("DELETE", f"/datasets/{second}?dry_run=true").body == {"files": 0, "size_bytes": 0}
    assert api.get(f"/datasets/{second}").body["deleted_at"] is None
    assert api.send("DELETE", f"/datasets/{third}").status == 200
    newest = f"/datasets/newest?project={project}&name=sensors"
    assert api.get(newest).body["id"] == second
    assert api.send("DELETE", f"/datasets/{second}").body == {"files": 2, "size_bytes": 1000}
    assert api.get(newest).body["id"] == first
    gone = api.get(f"/datasets/{second}/entries")
    assert (gone.status, "was deleted at" in gone.body["error"]["message"]) == (404, True)
    assert api.get(f"/datasets/{second}").body["deleted_at"]
    for attempt in (
        api.send("DELETE", f"/datasets/{second}"),
        api.post(f"/datasets/{second}/tags", {"add": ["x"]}),
        api.post(f"/datasets/{second}/publish"),
        api.post("/datasets", {"project": project, "name": "n", "parents": [second]}),
    ):
        assert attempt.status == 404
    assert [each["path"] for each in api.get(f"/datasets/{first}/entries").body["items"]] == ["shared"]


def test_a_draft_can_be_deleted(api: Requests, project: str) -> None:
    version = api.post("/datasets", {"project": project, "name": "n"}).body["id"]
    assert api.send("DELETE", f"/datasets/{version}").body == {"files": 0, "size_bytes": 0}
    assert api.post(f"/datasets/{version}/entries", {"remove": ["a"]}).status == 404
    assert api.post(f"/datasets/{version}/finalize").status == 404
    assert api.get(f"/datasets?project={project}").body["items"] == []


def test_a_dataset_is_renamed_with_all_its_versions(api: Requests, project: str, final: Callable[..., str]) -> None:
    first = final({"a": b"1"})
    second = final({"b": b"1"}, parents=[first])
    body = {"project": project, "name": "sensors", "new_name": "probes", "new_project": f"{project}/x"}
    assert api.post("/datasets/rename", body).body == {"versions": 2}
    assert api.get(f"/datasets/newest?project={project}/x&name=probes").body["id"] == second
    assert api.post("/datasets/rename", body).status == 404
    final({"a": b"1"})
    assert api.post("/datasets/rename", body).status == 409
    back = {"project": project, "name": "sensors", "new_name": "sensors"}
    assert api.post("/datasets/rename", back).status == 422


def test_lists_are_filtered_by_tags_names_and_ranges_of_versions(
    api: Requests, project: str, final: Callable[..., str]
) -> None:
    ids = {}
    for version, tags in (("1.9.0", ["a"]), ("1.10.0", ["a", "b"]), ("2.0.0", ["c"])):
        ids[final({"x": version.encode()}, version=version, tags=tags)] = version

    def found(query: str) -> list[str]:
        items = api.get(f"/datasets?project={project}&{query}").body["items"]
        return [ids[each["id"]] for each in items][::-1]

    assert found("version_from=1.10.0") == ["1.10.0", "2.0.0"]
    assert found("version_before=1.10.0") == ["1.9.0"]
    assert found("version_from=1.9.1&version_before=2.0.0") == ["1.10.0"]
    assert found("any_tag=b&any_tag=c") == ["1.10.0", "2.0.0"]
    assert found("no_tag=b") == ["1.9.0", "2.0.0"]
    assert found("name_part=enso") == ["1.9.0", "1.10.0", "2.0.0"]
    assert found("name_part=nope") == []
    assert api.get("/datasets?version_from=1.x").status == 422
    assert api.get(f"/datasets?version_from={2**31}.0.0").status == 422


def test_descent_is_a_graph_with_parents_before_children(api: Requests, final: Callable[..., str]) -> None:
    first = final({"a": b"1"})
    other = final({"b": b"2"}, name="other")
    merged = final({"c": b"3"}, parents=[first, other])
    child = final({"d": b"4"}, parents=[merged])
    api.send("DELETE", f"/datasets/{merged}")
    graph = api.get(f"/datasets/{first}/lineage").body
    ids = [node["id"] for node in graph["nodes"]]
    assert ids.index(first) < ids.index(merged) < ids.index(child)
    assert sorted(map(tuple, graph["edges"])) == sorted([(first, merged), (merged, child)])
    assert {node["id"]: node["deleted"] for node in graph["nodes"]} == {first: False, merged: True, child: False}
    above = api.get(f"/datasets/{child}/lineage").body
    assert {node["id"] for node in above["nodes"]} == {first, other, merged, child}


def test_of_two_parents_with_one_path_the_later_ones_file_counts(
    api: Requests, project: str, final: Callable[..., str]
) -> None:
    one = final({"a": b"1", "b": b"1"})
    two = final({"b": b"2", "c": b"2"}, name="other")
    body = {"project": project, "name": "merged", "parents": [one, two]}
    for fields in ({}, {"squash": True}):
        draft = api.post("/datasets", body | fields).body
        entries = {each["path"]: each["digest"] for each in api.get(f"/datasets/{draft['id']}/entries").body["items"]}
        assert entries == {"a": digest_of(b"1"), "b": digest_of(b"2"), "c": digest_of(b"2")}
        assert draft["parents"] == ([] if fields else [one, two])
        assert draft["file_count"] == 3


def test_parents_that_cannot_be_merged_are_refused(api: Requests, project: str, final: Callable[..., str]) -> None:
    one, two = final({"a": b"1"}), final({"a/b": b"1"}, name="other")
    reply = api.post("/datasets", {"project": project, "name": "merged", "parents": [one, two]})
    assert (reply.status, reply.body["error"]["code"]) == (422, "invalid_path")


def test_metadata_is_kept_with_a_final_version(api: Requests, final: Callable[..., str]) -> None:
    version = final({"a": b"1"})
    data = os.urandom(20)
    body = {"kind": "json", "filename": "m.json", "digest": digest_of(data), "size_bytes": 20}
    assert api.put(f"/datasets/{version}/metadata/stats", body).status == 422
    api.put(f"/blobs/{digest_of(data)}", data)
    kept = api.put(f"/datasets/{version}/metadata/stats", body).body
    assert api.get(f"/datasets/{version}/metadata/stats").body == kept
    assert api.get(f"/datasets/{version}/metadata").body["items"] == [kept]
    missing = api.get(f"/datasets/{version}/metadata/other")
    assert (missing.status, "'stats'" in missing.body["error"]["hint"]) == (404, True)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("table", {"columns": ["a", "b"], "rows": [[1, "x"], [None, True]]}),
        ("histogram", {"labels": ["a", "b"], "values": [1, 2.5]}),
        ("plotly", {"data": [{"type": "bar", "y": [1, 2]}], "layout": {"title": {"text": "t"}}}),
    ],
)
def test_a_version_has_plots_and_tables(api: Requests, final: Callable[..., str], kind: str, data: object) -> None:
    version = final({"a": b"1"})
    report = {"title": "t", "series": "s", "kind": kind, "data": data}
    assert api.post(f"/datasets/{version}/reports", report).status == 200
    assert api.get(f"/datasets/{version}/reports").body["items"][0]["data"] == data
    assert api.post(f"/datasets/{version}/reports", report | {"data": {"rows": 1}}).status == 422


def test_an_image_must_have_been_uploaded(api: Requests, final: Callable[..., str]) -> None:
    version, data = final({"a": b"1"}), os.urandom(9)
    image = {"digest": digest_of(data), "width": 3, "height": 3}
    report = {"title": "t", "series": "s", "kind": "image", "data": image}
    assert api.post(f"/datasets/{version}/reports", report).status == 422
    api.put(f"/blobs/{digest_of(data)}", data)
    assert api.post(f"/datasets/{version}/reports", report).status == 200


def test_of_a_draft_there_is_no_profile(api: Requests, project: str) -> None:
    version = api.post("/datasets", {"project": project, "name": "n"}).body["id"]
    reply = api.get(f"/datasets/{version}/profile")
    assert (reply.status, "finalized" in reply.body["error"]["hint"]) == (404, True)


def test_a_version_gets_the_manifest_that_is_expected_or_stays_a_draft(api: Requests, project: str) -> None:
    version = api.post("/datasets", {"project": project, "name": "d"}).body["id"]
    stored = api.send("POST", "/blobs", body=b"x").body
    entry = {"path": "a", "digest": stored["digest"], "size_bytes": 1}
    api.post(f"/datasets/{version}/entries", {"put": [entry]})
    refused = api.post(f"/datasets/{version}/finalize", {"manifest": "blake3:" + "0" * 64})
    assert (refused.status, refused.body["error"]["code"]) == (409, "conflict")
    assert api.get(f"/datasets/{version}").body["state"] == "open"
    manifest = api.get(f"/datasets/{version}/manifest").body
    expected = f"blake3:{blake3.blake3(manifest).hexdigest()}"
    final = api.post(f"/datasets/{version}/finalize", {"manifest": expected}).body
    assert (final["state"], final["manifest"]) == ("final", expected)
