"""Versions as files, from one real server to another."""

from __future__ import annotations

import errno
import json
import os
import stat
import tarfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.api.testing import running_server
from orchestrator.errors import (
    AlreadyExists,
    Conflict,
    DigestMismatch,
    HeadMoved,
    InvalidPath,
    InvalidRequest,
    NoSpace,
    NotFound,
    OrchestratorError,
)
from orchestrator.records.manifest import Entry, Kind, Manifest, encode_block, named, order
from orchestrator.records.manifest_changes import edit
from orchestrator.sdk.bundles import importing
from orchestrator.sdk.bundles.bundle import export_version, import_version
from orchestrator.sdk.bundles.file import BundleWriter
from orchestrator.sdk.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.sdk.bundles.contents import Bundle

LARGE = 5 << 20


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with running_server(tmp_path_factory.mktemp("here")) as server, Client(server.url, server.token) as client:
        yield client


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with running_server(tmp_path_factory.mktemp("there")) as server, Client(server.url, server.token) as client:
        yield client


@pytest.fixture
def name() -> str:
    return f"sensors {os.urandom(6).hex()}"


def digest_of(data: bytes) -> str:
    return f"blake3:{blake3(data).hexdigest()}"


def make(client: Client, name: str, files: dict[str, bytes], **fields: object) -> dict[str, Any]:
    """Make a final version; a path that ends with `/` is an empty directory, one with `!` an executable file."""
    draft = client.post("/datasets", {"project": "room", "name": name} | fields)
    put = []
    for path, data in files.items():
        if path.endswith("/"):
            put.append({"path": path[:-1], "kind": "directory"})
            continue
        client.put_bytes(f"/blobs/{digest_of(data)}", data)
        mode = 0o755 if path.endswith("!") else 0o644
        put.append({"path": path.rstrip("!"), "size_bytes": len(data), "digest": digest_of(data), "mode": mode})
    client.post(f"/datasets/{draft['id']}/entries", {"put": put})
    return dict(client.post(f"/datasets/{draft['id']}/finalize"))


def entries(client: Client, version_id: str) -> list[dict[str, Any]]:
    return list(client.pages(f"/datasets/{version_id}/entries"))


def versions(client: Client, name: str) -> list[dict[str, Any]]:
    states = ["open", "final", "published"]
    return list(client.pages("/datasets", project="room", name=name, state=states, archived="all"))


def content(client: Client, version_id: str, path: str) -> bytes:
    (entry,) = [each for each in entries(client, version_id) if each["path"] == path]
    target = BytesIO()
    client.download(f"/blobs/{entry['digest']}", target)
    return target.getvalue()


def rewritten(source: Path, target: Path, **changed: bytes | None) -> Path:
    """Copy a bundle with other members: bytes in their place, or None to leave one out."""
    with tarfile.open(source) as old, target.open("wb") as file:
        writer = BundleWriter(file)
        for member in old:
            data = old.extractfile(member)
            assert data is not None
            replaced = changed.get(member.name, data.read())
            if replaced is not None:
                writer.add(member.name, replaced)
        writer.end()
    return target


def test_a_version_arrives_with_all_that_belongs_to_it(here: Client, there: Client, name: str, tmp_path: Path) -> None:
    draft = here.post(
        "/datasets",
        {"project": "room", "name": name, "version": "2.3.4", "tags": ["a", "b"], "description": "as measured"},
    )
    large = os.urandom(LARGE)
    blobs = {"a.csv": b"a", "deep/b.bin": large, "deep/again.bin": large, "empty": b"", "run.sh": b"#!/bin/sh\n"}
    for data in blobs.values():
        here.put_bytes(f"/blobs/{digest_of(data)}", data)
    put = [{"path": path, "size_bytes": len(data), "digest": digest_of(data)} for path, data in blobs.items()]
    put[-1]["mode"] = 0o755
    put.append({"path": "nothing", "kind": "directory"})
    put.append({"path": "far", "kind": "external", "url": "https://example.org/far", "etag": '"1"', "size_bytes": 9})
    here.post(f"/datasets/{draft['id']}/entries", {"put": put})
    table = b"[1, 2, 3]"
    here.put_bytes(f"/blobs/{digest_of(table)}", table)
    kept = {"kind": "json", "filename": "t.json", "digest": digest_of(table), "size_bytes": 9, "preview": "[1"}
    here.put(f"/datasets/{draft['id']}/metadata/counts%20of%2Frows", kept)
    report = {"title": "CO2", "series": "day", "iteration": 3, "kind": "scatter2d", "data": [[1.0, 2.5]]}
    here.post(f"/datasets/{draft['id']}/reports", report)
    image = b"\x89PNG"
    here.put_bytes(f"/blobs/{digest_of(image)}", image)
    drawn = {"digest": digest_of(image), "width": 1, "height": 1}
    here.post(f"/datasets/{draft['id']}/reports", report | {"title": "drawn", "kind": "image", "data": drawn})
    version = here.post(f"/datasets/{draft['id']}/finalize")

    told: list[tuple[int, int, int]] = []
    exported = export_version(here, version["id"], tmp_path / "it.tar", progress=lambda *counts: told.append(counts))
    assert exported.size_bytes == (tmp_path / "it.tar").stat().st_size
    assert (exported.files, exported.blobs, exported.left_out) == (6, 6, 0)
    total = LARGE + 1 + 10 + 9 + 4
    assert told[-1] == (total, total, 6)
    got = import_version(there, tmp_path / "it.tar", progress=lambda *counts: told.append(counts))
    assert told[-1] == (total, total, 6)

    same = ("project", "name", "version", "tags", "description", "manifest", "file_count", "size_bytes")
    assert {each: got[each] for each in same} == {each: version[each] for each in same}
    assert got["state"] == "final"
    assert entries(there, got["id"]) == entries(here, version["id"])
    assert content(there, got["id"], "deep/b.bin") == large
    metadata = {each["name"]: each for each in there.pages(f"/datasets/{got['id']}/metadata")}
    assert metadata.keys() == {"counts of/rows", "exported_from"}
    assert {each: metadata["counts of/rows"][each] for each in kept} == kept
    plotted = {each["title"]: each for each in there.get(f"/datasets/{got['id']}/reports")["items"]}
    assert {each: plotted["CO2"][each] for each in report} == report
    assert plotted["drawn"]["data"] == drawn
    assert there.get_bytes(f"/blobs/{digest_of(image)}") == image


def test_where_it_came_from_is_kept(here: Client, there: Client, name: str, tmp_path: Path) -> None:
    parent = make(here, name, {"a": b"1"})
    child = make(here, name, {"b": b"2"}, parents=[parent["id"]])
    export_version(here, child["id"], tmp_path / "child.tar")
    orphan = import_version(there, tmp_path / "child.tar", name=f"{name} elsewhere")
    assert orphan["parents"] == []
    assert f"room/{name} 1.0.0 ({parent['id']})" in orphan["description"]
    (origin,) = there.pages(f"/datasets/{orphan['id']}/metadata")
    target = BytesIO()
    there.download(f"/blobs/{origin['digest']}", target)
    told = json.loads(target.getvalue())
    assert (told["id"], [each["id"] for each in told["parents"]]) == (child["id"], [parent["id"]])


def test_of_a_parent_that_may_not_be_seen_nothing_but_its_id_is_told(
    here: Client, there: Client, name: str, tmp_path: Path
) -> None:
    parent = make(here, name, {"a": b"1"}, project="secret")
    child = make(here, name, {"b": b"2"}, parents=[parent["id"]])
    token = here.post("/tokens", {"name": name, "role": "viewer", "project": "room"})["token"]
    with Client(here.url, token) as stranger:
        export_version(stranger, child["id"], tmp_path / "it.tar")
    assert b"secret" not in (tmp_path / "it.tar").read_bytes()
    assert parent["id"] in import_version(there, tmp_path / "it.tar")["description"]


def test_parents_that_were_imported_before_are_parents_again(
    here: Client, there: Client, name: str, tmp_path: Path
) -> None:
    parent = make(here, name, {"a": b"1", "gone": b"g", "folder/x": b"x"})
    draft = here.post("/datasets", {"project": "room", "name": name, "parents": [parent["id"]]})
    body = {"remove": ["gone", "folder/x"], "put": [{"path": "folder", "size_bytes": 1, "digest": digest_of(b"1")}]}
    here.post(f"/datasets/{draft['id']}/entries", body)
    child = here.post(f"/datasets/{draft['id']}/finalize")
    for each in (parent, child):
        export_version(here, each["id"], tmp_path / f"{each['version']}.tar")
    first = import_version(there, tmp_path / "1.0.0.tar", project="other/place", name="called otherwise")
    second = import_version(there, tmp_path / "1.0.1.tar", project="other/place", name="called otherwise")
    assert second["parents"] == [first["id"]]
    assert second["description"] == child["description"]
    assert entries(there, second["id"]) == entries(here, child["id"])
    assert (second["added_count"], second["removed_count"]) == (child["added_count"], child["removed_count"])


def test_an_older_line_is_imported_with_the_files_that_it_had(
    here: Client, there: Client, name: str, tmp_path: Path
) -> None:
    parent = make(here, name, {"a": b"1"})
    child = make(here, name, {"b": b"2"}, parents=[parent["id"]])
    for each in (parent, child):
        export_version(here, each["id"], tmp_path / f"{each['version']}.tar")
    first = import_version(there, tmp_path / "1.0.0.tar")
    make(there, name, {"of their own": b"x"}, parents=[first["id"]], version="1.5.0")
    second = import_version(there, tmp_path / "1.0.1.tar")
    assert entries(there, second["id"]) == entries(here, child["id"])
    assert f"room/{name} 1.0.0" in second["description"]


def test_only_what_is_new_since_another_version_is_exported(
    here: Client, there: Client, name: str, tmp_path: Path
) -> None:
    old, new = os.urandom(100_000), os.urandom(100)
    parent = make(here, name, {"old": old})
    child = make(here, name, {"new": new}, parents=[parent["id"]])
    export_version(here, parent["id"], tmp_path / "parent.tar")
    exported = export_version(here, child["id"], tmp_path / "child.tar", since=parent["id"])
    assert (exported.blobs, exported.left_out) == (1, 1)
    assert exported.size_bytes < 50_000
    with pytest.raises(NotFound, match=rf"{name} 1\.0\.0 \({parent['id']}\)"):
        import_version(there, tmp_path / "child.tar")
    assert versions(there, name) == []
    import_version(there, tmp_path / "parent.tar")
    got = import_version(there, tmp_path / "child.tar")
    assert content(there, got["id"], "old") == old
    assert content(there, got["id"], "new") == new


def test_what_the_server_has_is_not_sent(here: Client, there: Client, name: str, tmp_path: Path) -> None:
    data = os.urandom(2 * LARGE)
    version = make(here, name, {"data": data})
    export_version(here, version["id"], tmp_path / "it.tar")
    there.put_bytes(f"/blobs/{digest_of(data)}", data)
    sent: list[str] = []

    class Counted(Client):
        def put_bytes(self, path: str, data: bytes, **more: Any) -> Any:  # noqa: ANN401  as its parent
            sent.append(path)
            return super().put_bytes(path, data, **more)

    with Counted(there.url, there._headers["Authorization"].removeprefix("Bearer ")) as client:
        import_version(client, tmp_path / "it.tar")
    assert [path for path in sent if path.endswith("/upload") or digest_of(data) in path] == []


def test_a_number_that_is_taken_is_refused_and_nothing_changes(
    here: Client, there: Client, name: str, tmp_path: Path
) -> None:
    version = make(here, name, {"a": b"1"})
    export_version(here, version["id"], tmp_path / "it.tar")
    first = import_version(there, tmp_path / "it.tar")
    with pytest.raises(AlreadyExists, match="another name"):
        import_version(there, tmp_path / "it.tar")
    assert [each["id"] for each in versions(there, name)] == [first["id"]]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.02, 0.3, 0.7, 0.97])
def test_a_cut_file_is_refused_and_leaves_no_version(
    here: Client, there: Client, name: str, tmp_path: Path, share: float
) -> None:
    version = make(here, name, {f"{number}": os.urandom(10_000) for number in range(10)})
    export_version(here, version["id"], tmp_path / "it.tar")
    whole = (tmp_path / "it.tar").read_bytes()
    cut = tmp_path / "cut.tar"
    cut.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises((DigestMismatch, InvalidRequest), match=r"cut\.tar"):
        import_version(there, cut)
    assert versions(there, name) == []


def test_every_changed_byte_is_noticed(here: Client, there: Client, name: str, tmp_path: Path) -> None:
    version = make(here, name, {"precious.bin": os.urandom(3_000), "other.bin": os.urandom(3_000)})
    export_version(here, version["id"], tmp_path / "it.tar")
    whole = (tmp_path / "it.tar").read_bytes()
    with tarfile.open(tmp_path / "it.tar") as tar:
        members = list(tar)
    harmed = tmp_path / "harmed.tar"
    for member in members[1:]:
        place = member.offset_data + member.size // 2
        harmed.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(DigestMismatch, match=r"harmed\.tar is damaged") as error:
            import_version(there, harmed)
        if member.name.startswith("blobs/"):
            assert ".bin" in error.value.message
    assert versions(there, name) == []


def test_blobs_that_are_missing_too_many_or_misplaced_are_noticed(
    here: Client, there: Client, name: str, tmp_path: Path
) -> None:
    version = make(here, name, {"a.bin": os.urandom(100), "b.bin": os.urandom(100)})
    export_version(here, version["id"], tmp_path / "it.tar")
    with tarfile.open(tmp_path / "it.tar") as tar:
        blobs = [each for each in tar.getnames() if each.startswith("blobs/")]
    with pytest.raises(DigestMismatch, match="1 blobs are missing"):
        import_version(there, rewritten(tmp_path / "it.tar", tmp_path / "fewer.tar", **{blobs[1]: None}))
    with tarfile.open(tmp_path / "it.tar") as tar:
        head = json.load(tar.extractfile("retrain-dataset.json") or BytesIO())
    fewer = json.dumps(head | {"blobs": 1}).encode()
    with pytest.raises(DigestMismatch, match="more in it"):
        import_version(there, rewritten(tmp_path / "it.tar", tmp_path / "x.tar", **{"retrain-dataset.json": fewer}))
    with pytest.raises(DigestMismatch, match=r"bytes of [ab]\.bin are not in it"):
        import_version(
            there,
            rewritten(tmp_path / "it.tar", tmp_path / "y.tar", **{"retrain-dataset.json": fewer, blobs[1]: None}),
        )
    assert versions(there, name) == []


def test_a_foreign_file_is_refused_by_name(there: Client, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(__file__, "photo.jpg")
    (tmp_path / "b.tar").write_text("just a text\n" * 100)
    (tmp_path / "c.tar").write_bytes(b"")
    with tarfile.open(tmp_path / "d.tar", "w") as tar:
        info = tarfile.TarInfo("retrain-dataset.json")
        info.size = 2
        tar.addfile(info, BytesIO(b"[]"))
    for each in "abcd":
        with pytest.raises(InvalidRequest, match=rf"{each}\.tar is no exported dataset version"):
            import_version(there, tmp_path / f"{each}.tar")
    with pytest.raises(InvalidPath, match=r"absent\.tar"):
        import_version(there, tmp_path / "absent.tar")


def test_a_file_of_a_later_release_says_so(here: Client, there: Client, name: str, tmp_path: Path) -> None:
    version = make(here, name, {"a": b"1"})
    export_version(here, version["id"], tmp_path / "it.tar")
    later = rewritten(tmp_path / "it.tar", tmp_path / "x.tar", **{"retrain-dataset.json": b'{"format": 2}'})
    with pytest.raises(InvalidRequest, match="another release"):
        import_version(there, later)


def test_a_head_that_was_tampered_with_is_refused(here: Client, there: Client, name: str, tmp_path: Path) -> None:
    version = make(here, name, {"a": b"1"})
    export_version(here, version["id"], tmp_path / "it.tar")
    with tarfile.open(tmp_path / "it.tar") as tar:
        head = json.load(tar.extractfile("retrain-dataset.json") or BytesIO())
    for field in ("dataset", "parents", "metadata", "reports", "blocks", "lists", "blobs", "size_bytes"):
        for value in (None, "x", [3], {"id": 1}, -1):
            harmed = {"retrain-dataset.json": json.dumps(head | {field: value}).encode()}
            if (field, value) != ("size_bytes", -1):  # which is only shown
                with pytest.raises((DigestMismatch, InvalidRequest)):
                    import_version(there, rewritten(tmp_path / "it.tar", tmp_path / "x.tar", **harmed))
    assert versions(there, name) == []


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "a\0b", "a//b", "x" * 256, "."])
def test_a_file_name_that_leaves_the_dataset_is_refused(
    here: Client, there: Client, name: str, tmp_path: Path, path: str
) -> None:
    version = make(here, name, {"a": b"1"})
    export_version(here, version["id"], tmp_path / "it.tar")
    block = encode_block([Entry(path, Kind.FILE, 1, blake3(b"1").digest())])
    manifest = edit(
        Manifest(),
        [(path, Entry(path, Kind.FILE, 1, blake3(b"1").digest()))],
        load=lambda _: [],
        save=lambda data: blake3(data).digest(),
    )
    with tarfile.open(tmp_path / "it.tar") as tar:
        head = json.load(tar.extractfile("retrain-dataset.json") or BytesIO())
    head["dataset"]["manifest"] = named(blake3(manifest.encode()).digest())
    changed = {"retrain-dataset.json": json.dumps(head).encode(), "manifest/000000": block}
    with pytest.raises((InvalidPath, DigestMismatch), match=r"harm\.tar"):
        import_version(there, rewritten(tmp_path / "it.tar", tmp_path / "harm.tar", **changed))
    assert versions(there, name) == []


def test_a_draft_is_not_exported(here: Client, name: str, tmp_path: Path) -> None:
    draft = here.post("/datasets", {"project": "room", "name": name})
    with pytest.raises(Conflict, match="is a draft"):
        export_version(here, draft["id"], tmp_path / "it.tar")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_overwritten(here: Client, name: str, tmp_path: Path) -> None:
    version = make(here, name, {"a": b"1"})
    (tmp_path / "it.tar").write_text("mine")
    with pytest.raises(AlreadyExists, match=r"it\.tar"):
        export_version(here, version["id"], tmp_path / "it.tar")
    assert (tmp_path / "it.tar").read_text() == "mine"
    with pytest.raises(InvalidPath, match=r"nowhere.*it\.tar"):
        export_version(here, version["id"], tmp_path / "nowhere" / "it.tar")


def test_a_full_disk_is_named_and_leaves_nothing(
    here: Client, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = make(here, name, {"a": os.urandom(100_000)})

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NoSpace, match=r"it\.tar"):
        export_version(here, version["id"], tmp_path / "it.tar")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [10_000, LARGE])
def test_a_damaged_blob_is_named_and_leaves_no_file(tmp_path: Path, size: int) -> None:
    with running_server(tmp_path / "server") as server, Client(server.url, server.token) as client:
        version = make(client, "sensors", {"fine.bin": os.urandom(size), "precious.bin": os.urandom(size)})
        harm(Path(server.settings.blobs_url), client, version["id"], "precious.bin")
        with pytest.raises(DigestMismatch, match=r"precious\.bin cannot be exported"):
            export_version(client, version["id"], tmp_path / "it.tar")
    assert not (tmp_path / "it.tar").exists()


def harm(store: Path, client: Client, version_id: str, path: str) -> None:
    """Change a byte of a file's stored bytes."""
    data = content(client, version_id, path)
    for file in store.rglob("*"):
        if file.is_file() and (place := file.read_bytes().find(data)) >= 0:
            file.chmod(stat.S_IRUSR | stat.S_IWUSR)
            with file.open("r+b") as target:
                target.seek(place)
                target.write(bytes([data[0] ^ 1]))
            return
    raise AssertionError(path)


PART = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=8).filter(
    lambda text: text not in {".", ".."}
)
FILES = st.dictionaries(
    st.lists(PART, min_size=1, max_size=3).map("/".join),
    st.tuples(st.sampled_from(["file", "executable", "directory", "external"]), st.binary(max_size=40)),
    min_size=1,
    max_size=12,
)


def without_clashes(files: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for path in sorted(files, key=order):
        if not any(path.startswith(f"{other}/") for other in kept):
            kept[path] = files[path]
    return kept


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FILES.map(without_clashes).filter(lambda files: any(kind != "directory" for kind, _ in files.values())))
def test_any_version_goes_there_and_back(
    here: Client, there: Client, tmp_path: Path, files: dict[str, tuple[str, bytes]]
) -> None:
    name = os.urandom(8).hex()
    draft = here.post("/datasets", {"project": "room", "name": name})
    put: list[dict[str, Any]] = []
    for path, (kind, data) in files.items():
        if kind == "directory":
            put.append({"path": path, "kind": kind})
        elif kind == "external":
            put.append({"path": path, "kind": kind, "url": f"s3://b/{data.hex()}", "size_bytes": len(data)})
        else:
            here.put_bytes(f"/blobs/{digest_of(data)}", data)
            mode = 0o755 if kind == "executable" else 0o644
            put.append({"path": path, "size_bytes": len(data), "digest": digest_of(data), "mode": mode})
    here.post(f"/datasets/{draft['id']}/entries", {"put": put})
    version = here.post(f"/datasets/{draft['id']}/finalize")
    out, back = tmp_path / f"{name}.tar", tmp_path / f"{name}.back.tar"
    export_version(here, version["id"], out)
    got = import_version(there, out)
    assert (got["manifest"], got["size_bytes"]) == (version["manifest"], version["size_bytes"])
    export_version(there, got["id"], back)
    again = import_version(here, back, name=f"{name} again")
    assert entries(here, again["id"]) == entries(here, version["id"])


def test_files_that_came_in_packs_arrive_in_many_blocks(here: Client, there: Client, name: str, tmp_path: Path) -> None:
    files = {f"{number // 100}/{number}": number.to_bytes(4, "little") * 10 for number in range(1500)}
    draft = here.post("/datasets", {"project": "room", "name": name})
    for some in (list(files.items())[start : start + 500] for start in range(0, 1500, 500)):
        sizes = {"sizes": [len(data) for _, data in some], "digests": [digest_of(data) for _, data in some]}
        header = json.dumps(sizes).encode()
        pieces = [len(header).to_bytes(4, "little"), header, *(data for _, data in some)]
        here.post_bytes("/blobs/packs", pieces, dataset=draft["id"])
        put = [{"path": path, "size_bytes": len(data), "digest": digest_of(data)} for path, data in some]
        here.post(f"/datasets/{draft['id']}/entries", {"put": put})
    version = here.post(f"/datasets/{draft['id']}/finalize")
    export_version(here, version["id"], tmp_path / "it.tar")
    got = import_version(there, tmp_path / "it.tar")
    assert got["manifest"] == version["manifest"]


def test_an_import_that_another_version_overtakes_is_never_final(
    here: Client, there: Client, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = make(here, name, {"a": b"1"})
    export_version(here, version["id"], tmp_path / "it.tar")
    put_origin = importing._put_origin

    def overtake(client: Client, bundle: Bundle, *, version_id: str) -> None:
        put_origin(client, bundle, version_id=version_id)
        others.append(make(there, name, {"b": b"2"}, version="7.0.0"))
        drafts.append(version_id)

    others: list[dict[str, Any]] = []
    drafts: list[str] = []
    monkeypatch.setattr(importing, "_put_origin", overtake)
    with pytest.raises(HeadMoved, match="would come to those"):
        import_version(there, tmp_path / "it.tar")
    assert versions(there, name) == others
    told = there.get("/events/recent", subject=drafts[0])["items"]
    assert [each["type"] for each in told if each["type"] == "dataset.finalized"] == []


def test_an_import_that_fails_late_leaves_no_version(
    here: Client, there: Client, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = make(here, name, {"a": b"1"})
    export_version(here, version["id"], tmp_path / "it.tar")
    put = Client.put

    def refuse(self: Client, path: str, body: object = None) -> object:
        if path.endswith("/metadata/exported_from"):
            raise OrchestratorError("no")
        return put(self, path, body)

    monkeypatch.setattr(Client, "put", refuse)
    with pytest.raises(OrchestratorError, match="no"):
        import_version(there, tmp_path / "it.tar")
    assert versions(there, name) == []
