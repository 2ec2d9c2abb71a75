"""Dataset versions against a real server."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from orchestrator import Dataset
from orchestrator.api.testing import running_server
from orchestrator.errors import (
    AlreadyExists,
    Conflict,
    DigestMismatch,
    Forbidden,
    HeadMoved,
    InvalidPath,
    InvalidRequest,
    NotFound,
    ServerUnreachable,
)
from orchestrator.sdk.client import Client
from orchestrator.sdk.copies.local_copy import local_copy
from orchestrator.sdk.ingest import patience
from orchestrator.sdk.session import session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.api.testing import RunningServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(autouse=True)
def _logged_in(server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("RETRAIN_URL", server.url)
    monkeypatch.setenv("RETRAIN_TOKEN", server.token)
    monkeypatch.setenv("RETRAIN_HOME", str(tmp_path / "home"))
    yield
    session.close()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return f"sensors of {request.node.name}"[:100]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    (root / "sub").mkdir(parents=True)
    (root / "a.csv").write_text("a")
    (root / "sub" / "b.csv").write_text("bb")
    (root / "sub" / "run.sh").write_text("#!/bin/sh\n")
    (root / "sub" / "run.sh").chmod(0o755)
    return root


def draft(name: str) -> Dataset:
    return Dataset.get(dataset_project="room", dataset_name=name, auto_create=True, writable_copy=True)


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def stored_blobs(server: RunningServer) -> list[Path]:
    return [path for path in Path(server.settings.blobs_url).rglob("*") if path.is_file()]


def test_a_version_is_made_grown_and_copied(folder: Path, name: str) -> None:
    first = draft(name)
    assert first.add_files(folder) == 3
    first.finalize(auto_upload=True)
    assert (first.version, first.is_final(), first.list_files()) == (
        "1.0.0",
        True,
        ["a.csv", "sub/b.csv", "sub/run.sh"],
    )
    copy = first.get_local_copy()
    assert files(copy) == files(folder)
    assert first.get_local_copy() == copy
    assert (copy / "a.csv").stat().st_mode & 0o777 == 0o444
    assert (copy / "sub" / "run.sh").stat().st_mode & 0o777 == 0o555
    assert copy.stat().st_mode & 0o777 == 0o555

    second = draft(name)
    assert second.add_files(folder) == 0
    (folder / "a.csv").write_text("changed")
    assert second.add_files(folder / "a.csv", dataset_path="sub") == 1
    assert second.add_files(folder) == 1
    assert second.remove_files("sub/*.sh") == 1
    assert second.list_files() == ["a.csv", "sub/a.csv", "sub/b.csv"]
    second.upload()
    second.finalize()
    second.add_tags(["Production"])
    newest = Dataset.get(dataset_project="room", dataset_name=name)
    assert (newest.id, newest.version, newest.tags) == (second.id, "1.0.1", ["Production"])
    assert Dataset.get(dataset_id=first.id).version == "1.0.0"
    assert Dataset.get(dataset_project="room", dataset_name=name, dataset_version="1.0.0").id == first.id
    assert Dataset.get(dataset_project="room", dataset_name=name, dataset_tags=["Production"]).id == second.id
    assert [each["id"] for each in Dataset.list_datasets("room", partial_name=name[3:])] == [second.id, first.id]
    shared = newest.get_local_copy() / "sub" / "b.csv"
    assert shared.stat().st_ino == (copy / "sub" / "b.csv").stat().st_ino


def test_progress_is_told_in_bytes_and_files(folder: Path, name: str) -> None:
    (folder / "unique").write_bytes(os.urandom(3_000_000))
    read: list[tuple[int, ...]] = []
    got: list[tuple[int, ...]] = []
    version = draft(name)
    version.add_files(folder, wildcard="unique", progress=lambda *counts: read.append(counts))
    version.finalize(auto_upload=True)
    version.get_local_copy(progress=lambda *counts: got.append(counts))
    assert read[-1] == got[-1] == (3_000_000, 3_000_000, 1)


def test_what_was_not_sent_is_not_finalized_by_mistake(folder: Path, name: str) -> None:
    version = draft(name)
    version.add_files(folder)
    with pytest.raises(Conflict, match="not sent"):
        version.finalize()
    assert not version.is_final()


def test_a_final_version_takes_no_files(folder: Path, name: str) -> None:
    version = draft(name)
    version.add_files(folder)
    version.finalize(auto_upload=True)
    with pytest.raises(Conflict, match="writable_copy"):
        version.add_files(folder)
    with pytest.raises(Conflict, match="is final"):
        version.remove_files("a.csv")


def test_a_draft_has_no_local_copy(name: str) -> None:
    with pytest.raises(Conflict, match="is a draft"):
        draft(name).get_local_copy()


def test_of_two_who_changed_one_file_the_second_is_told_and_keeps_its_draft(folder: Path, name: str) -> None:
    one, other = draft(name), draft(name)
    one.add_files(folder)
    (folder / "a.csv").write_text("otherwise")
    other.add_files(folder / "a.csv")
    one.finalize(auto_upload=True)
    with pytest.raises(HeadMoved, match=r"a\.csv"):
        other.finalize(auto_upload=True)
    assert Dataset.get(dataset_id=other.id).list_files() == ["a.csv"]


def test_of_two_who_changed_different_files_the_second_is_rebased(folder: Path, name: str) -> None:
    one, other = draft(name), draft(name)
    one.add_files(folder / "sub")
    other.add_files(folder / "a.csv")
    one.finalize(auto_upload=True)
    other.finalize(auto_upload=True)
    assert (other.version, other.parents) == ("1.0.1", [one.id])
    newest = Dataset.get(dataset_project="room", dataset_name=name)
    assert (newest.id, newest.list_files()) == (other.id, ["a.csv", "b.csv", "run.sh"])
    assert newest.list_added_files() == ["a.csv"]


def test_a_file_that_is_not_there_adds_nothing(folder: Path, name: str) -> None:
    version = draft(name)
    with pytest.raises(InvalidPath, match="absent is not there"):
        version.add_files(folder / "absent")
    (folder / "dangling").symlink_to("nowhere")
    with pytest.raises(InvalidPath, match="dangling"):
        version.add_files(folder)
    assert version.list_files() == []


def test_a_file_and_a_folder_of_one_name_are_refused(folder: Path, name: str) -> None:
    version = draft(name)
    version.add_files(folder)
    version.add_files(folder / "a.csv", dataset_path="a.csv")
    with pytest.raises(InvalidPath, match=r"a\.csv"):
        version.upload()


def test_a_finalizing_whose_answer_is_lost_is_not_told_as_a_failure(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = Client.post
    waited: list[float | None] = []

    def lose_first_answer(self: Client, path: str, body: object = None, **options: Any) -> object:  # noqa: ANN401
        answer = post(self, path, body, **options)
        if path.endswith("/finalize"):
            waited.append(options["timeout_seconds"])
            if len(waited) == 1:
                raise ServerUnreachable("The line was cut.")
        return answer

    version = draft(name)
    version.add_files(folder)
    version.upload()
    monkeypatch.setattr(patience, "PAUSES_SECONDS", (0.01,))
    monkeypatch.setattr(Client, "post", lose_first_answer)
    version.finalize()
    assert version.is_final()
    assert waited == [600.0, 600.0]


def test_what_does_not_exist_is_not_found(name: str) -> None:
    with pytest.raises(NotFound):
        Dataset.get(dataset_project="room", dataset_name=name)
    with pytest.raises(NotFound):
        Dataset.get(dataset_id="0" * 32)
    with pytest.raises(InvalidRequest, match="dataset_id"):
        Dataset.get(dataset_name=name)


def test_an_id_that_is_empty_or_a_path_says_so() -> None:
    with pytest.raises(InvalidRequest, match="dataset_id is empty"):
        Dataset.get(dataset_id="")
    with pytest.raises((NotFound, InvalidRequest)):
        Dataset.get(dataset_id="../tasks")


def test_what_changed_is_told_against_any_version(folder: Path, name: str) -> None:
    first = draft(name)
    first.add_files(folder)
    first.finalize(auto_upload=True)
    second = draft(name)
    (folder / "a.csv").write_text("changed")
    (folder / "new.csv").write_text("new")
    (folder / "sub" / "b.csv").unlink()
    assert second.sync_folder(folder) == (1, 1, 1)
    second.finalize(auto_upload=True)
    assert (second.list_added_files(), second.list_modified_files(), second.list_removed_files()) == (
        ["new.csv"],
        ["a.csv"],
        ["sub/b.csv"],
    )
    assert first.list_added_files(second.id) == ["sub/b.csv"]
    assert second.get_dependency_graph() == {first.id: [], second.id: [first.id]}
    assert "1.0.1" in second.lineage_picture("svg")
    assert second.lineage_picture("mermaid").startswith("flowchart")
    with pytest.raises(InvalidRequest, match="svg or mermaid"):
        second.lineage_picture("png")


def test_versions_are_found_by_what_they_are(folder: Path, name: str) -> None:
    made = []
    for tags in (["a"], ["a", "b"], ["c"]):
        version = draft(name)
        (folder / "a.csv").write_text(str(tags))
        version.add_files(folder)
        version.finalize(auto_upload=True)
        version.add_tags(tags)
        made.append(version)

    def found(**filters: object) -> list[str]:
        return [each["version"] for each in Dataset.list_datasets("room", name, **filters)]  # type: ignore[arg-type]

    assert found() == ["1.0.2", "1.0.1", "1.0.0"]
    assert found(tags=["a", "b"]) == ["1.0.1"]
    assert found(tags_any=["b", "c"]) == ["1.0.2", "1.0.1"]
    assert found(tags_none=["b", "c"]) == ["1.0.0"]
    assert found(version_from="1.0.1", version_before="1.0.2") == ["1.0.1"]
    made[1].publish()
    assert found(only_published=True) == ["1.0.1"]
    assert Dataset.get(dataset_project="room", dataset_name=name, only_published=True).id == made[1].id
    made[2].archive()
    assert found() == ["1.0.1", "1.0.0"]
    assert found(include_archived=True) == ["1.0.2", "1.0.1", "1.0.0"]
    made[2].archive(archived=False)
    assert found()[0] == "1.0.2"
    made[2].remove_tags("c")
    assert made[2].tags == []


def test_a_dataset_gets_another_name_and_project(folder: Path, name: str) -> None:
    version = draft(name)
    version.add_files(folder)
    version.finalize(auto_upload=True)
    draft(name)
    assert Dataset.rename(f"{name} renamed", "room", name) == 2
    assert Dataset.move_to_project("room/attic", "room", f"{name} renamed") == 2
    assert Dataset.get(dataset_project="room/attic", dataset_name=f"{name} renamed").id == version.id
    with pytest.raises(NotFound):
        Dataset.rename("x", "room", name)


def test_versions_are_squashed_and_deleted(folder: Path, name: str) -> None:
    first = draft(name)
    first.add_files(folder)
    first.finalize(auto_upload=True)
    second = draft(name)
    (folder / "a.csv").write_text("second")
    (folder / "unique").write_bytes(os.urandom(1000))
    second.add_files(folder)
    second.finalize(auto_upload=True)
    squashed = Dataset.squash(f"{name} squashed", [first, second.id])
    assert (squashed.is_final(), squashed.parents, squashed.project) == (True, [], "room")
    assert files(squashed.get_local_copy()) == files(folder)
    assert Dataset.delete(dataset_id=second.id) == {"files": 0, "size_bytes": 0}  # the squashed version has them all
    with pytest.raises(NotFound, match="deleted"):
        second.get_local_copy()
    assert Dataset.get(dataset_project="room", dataset_name=name).id == first.id
    freed = Dataset.delete(dataset_project="room", dataset_name=f"{name} squashed", entire_dataset=True)
    assert freed["size_bytes"] >= 1000
    first.publish()
    with pytest.raises(Conflict, match="force"):
        Dataset.delete(dataset_project="room", dataset_name=name, entire_dataset=True)
    Dataset.delete(dataset_project="room", dataset_name=name, entire_dataset=True, force=True)
    with pytest.raises(NotFound):
        Dataset.get(dataset_project="room", dataset_name=name)
    with pytest.raises(InvalidRequest, match="not said"):
        Dataset.delete(dataset_project="room", entire_dataset=True)
    with pytest.raises(InvalidRequest, match="squashed"):
        Dataset.squash("nothing", [])


def test_a_mutable_copy_is_ones_own(folder: Path, name: str, tmp_path: Path) -> None:
    version = draft(name)
    version.add_files(folder)
    version.finalize(auto_upload=True)
    own = version.get_mutable_local_copy(tmp_path / "own")
    (own / "a.csv").write_text("mine")
    assert (own / "sub" / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (version.get_local_copy() / "a.csv").read_text() == "a"
    with pytest.raises(AlreadyExists):
        version.get_mutable_local_copy(tmp_path / "own")
    version.get_mutable_local_copy(tmp_path / "own", overwrite=True)
    assert files(own) == files(folder)
    halves = [version.get_mutable_local_copy(tmp_path / str(part), part=part, num_parts=2) for part in (0, 1)]
    assert files(halves[0]) | files(halves[1]) == files(folder)
    assert not files(halves[0]).keys() & files(halves[1]).keys()


def test_a_view_fetches_what_is_opened(folder: Path, name: str) -> None:
    version = draft(name)
    version.add_files(folder)
    version.finalize(auto_upload=True)
    root = version.open()
    assert (root / "sub" / "b.csv").read_text() == "bb"
    assert sorted(path.name for path in root.rglob("*.csv")) == ["a.csv", "b.csv"]


@pytest.mark.parametrize("value", [{"labels": [1, 2]}, "a note", [1.5, None]])
def test_metadata_come_back_as_they_were_kept(name: str, value: object) -> None:
    version = draft(name)
    version.set_metadata({"first": "replaced"}, "about/labels")
    version.set_metadata(value, "about/labels")
    version.set_metadata(value)
    version.set_description("rooms")
    assert version.get_metadata("about/labels") == version.get_metadata() == value
    assert version.list_metadata() == ["about/labels", "metadata"]
    assert Dataset.get(dataset_id=version.id).description == "rooms"
    with pytest.raises(NotFound, match="'about/labels', 'metadata'"):
        version.get_metadata("nothing")


def test_a_table_is_metadata(name: str) -> None:
    version = draft(name)
    frame = pd.DataFrame({"room": ["a", "b"], "co2": [1.5, 2.0]})
    version.set_metadata(frame, "rooms")
    assert version.get_metadata("rooms").equals(frame)


def test_tables_pictures_and_charts_are_kept_with_the_version(name: str) -> None:
    version = draft(name)
    logger = version.get_logger()
    logger.report_table("rooms", "all", pd.DataFrame({"room": ["a"], "co2": [math.nan]}))
    logger.report_table("rooms", "rows", [["room", "lux"], ["a", 3]])
    logger.report_histogram("CO2", "count", [1, 2], xlabels=["low", "high"])
    logger.report_image("plan", "floor", np.zeros((4, 6, 3), dtype="uint8"))
    logger.report_plotly("plot", "own", {"data": [], "layout": {}})
    with pytest.raises(ValueError, match="2 values and 1 names"):
        logger.report_histogram("CO2", "count", [1, 2], xlabels=["low"])
    with pytest.raises(ValueError, match="at most 1000 rows"):
        logger.report_table("rooms", "many", [["n"], *([n] for n in range(1001))])
    with Client(os.environ["RETRAIN_URL"], os.environ["RETRAIN_TOKEN"]) as client:
        reports = client.get(f"/datasets/{version.id}/reports")["items"]
        kept = {(each["title"], each["series"]): (each["kind"], each["data"]) for each in reports}
        picture = client.get_bytes(f"/blobs/{kept['plan', 'floor'][1]['digest']}")
    assert picture.startswith(b"\x89PNG")
    assert kept["rooms", "all"] == ("table", {"columns": ["room", "co2"], "rows": [["a", None]]})
    assert kept["rooms", "rows"][1]["rows"] == [["a", 3]]
    assert kept["CO2", "count"] == ("histogram", {"labels": ["low", "high"], "values": [1.0, 2.0]})
    assert kept["plot", "own"][0] == "plotly"


def test_a_damaged_file_is_named_and_mended(folder: Path, name: str, server: RunningServer) -> None:
    (folder / "precious.bin").write_bytes(os.urandom(50_000))
    content = (folder / "precious.bin").read_bytes()
    version = draft(name)
    version.add_files(folder)
    version.finalize(auto_upload=True)
    assert version.verify() == []
    damage(server, content)
    assert [each["path"] for each in version.verify()] == ["precious.bin"]
    repaired = version.repair([folder])
    assert (repaired.mended, repaired.still_damaged) == (("precious.bin",), ())
    assert version.verify(sample=1.0) == []
    assert files(version.get_local_copy()) == files(folder)


def test_the_next_version_heals_what_is_known_to_be_damaged(folder: Path, name: str, server: RunningServer) -> None:
    (folder / "precious.bin").write_bytes(os.urandom(50_000))
    first = draft(name)
    first.add_files(folder)
    first.finalize(auto_upload=True)
    damage(server, (folder / "precious.bin").read_bytes())
    assert [each["path"] for each in first.verify()] == ["precious.bin"]
    second = draft(name)
    (folder / "new.csv").write_text("new")
    assert second.add_files(folder / "new.csv") == 1
    with pytest.raises(DigestMismatch, match=r"precious\.bin") as refused:
        second.finalize(auto_upload=True)
    assert "repair" in str(refused.value.hint)
    assert second.add_files(folder) == 1
    assert second.add_files(folder) == 0
    second.finalize(auto_upload=True)
    assert (first.verify(), second.verify()) == ([], [])
    assert files(second.get_local_copy()) == files(folder)


def damage(server: RunningServer, content: bytes) -> None:
    for blob in stored_blobs(server):
        stored = blob.read_bytes()
        if content in stored:
            blob.chmod(0o644)
            blob.write_bytes(stored.replace(content, bytes(len(content))))


def test_a_version_travels_as_one_file(folder: Path, name: str, tmp_path: Path) -> None:
    version = draft(name)
    version.add_files(folder)
    version.set_metadata({"by": "hand"})
    version.finalize(auto_upload=True)
    file = version.export(tmp_path / "version.tar")
    there = Dataset.import_file(file, "room/other", name)
    assert (there.version, there.is_final(), there.get_metadata()) == (version.version, True, {"by": "hand"})
    assert files(there.get_local_copy()) == files(folder)
    with pytest.raises(AlreadyExists):
        Dataset.import_file(file, "room/other", name)


def test_a_profile_is_made_when_a_version_is_final_and_compared_with_the_parents(name: str, tmp_path: Path) -> None:
    versions = []
    for shift in (0, 50):
        (tmp_path / "rooms.csv").write_text("co2\n" + "\n".join(str(400 + shift + n % 37) for n in range(500)))
        version = draft(name)
        version.add_files(tmp_path / "rooms.csv")
        version.finalize(auto_upload=True)
        versions.append(version)
    until = time.monotonic() + 30
    while True:
        try:
            comparison = versions[1].compare_profile()
            break
        except NotFound:
            assert time.monotonic() < until
            time.sleep(0.1)
    (table,) = versions[1].get_profile()["tables"]
    assert (table["rows"], [column["name"] for column in table["columns"]]) == (500, ["co2"])
    assert "large" in json.dumps(comparison)


def test_a_task_records_which_version_it_used_and_a_clone_may_replace_it(folder: Path, name: str) -> None:
    script = f"""
from orchestrator import Dataset, Task
task = Task.init("room", "uses {name}", auto_connect_arg_parser=False)
Dataset.get(dataset_project="room", dataset_name={name!r}, alias="fixed")
Dataset.get(dataset_project="room", dataset_name={name!r}, alias="rooms", overridable=True)
"""
    version = draft(name)
    version.add_files(folder)
    version.finalize(auto_upload=True)
    subprocess.run([sys.executable, "-c", script], check=True, env=dict(os.environ), cwd=folder)
    with Client(os.environ["RETRAIN_URL"], os.environ["RETRAIN_TOKEN"]) as client:
        (task,) = client.get("/tasks", name=f"uses {name}")["items"]
        parameters = {each["name"]: each["value"] for each in client.get(f"/tasks/{task['id']}")["parameters"]}
    assert parameters["Datasets/fixed"] == parameters["Datasets/rooms"] == version.id
    with pytest.raises(InvalidRequest, match="alias"):
        Dataset.get(dataset_id=version.id, overridable=True)


def test_plots_are_kept_with_the_version(name: str) -> None:
    version = draft(name)
    logger = version.get_logger()
    logger.report_scatter2d(title="CO2", series="2015-02-05", scatter=[(1, 2.5), (2, 3)], iteration=0)
    logger.report_scalar("rows", "all", 12)
    logger.report_scatter2d("CO2", "gaps", [(math.nan, 1), (2, -math.inf)])
    logger.report_scalar("rows", "mean", math.nan)
    logger.report_text("note", "as it came")
    with Client(os.environ["RETRAIN_URL"], os.environ["RETRAIN_TOKEN"]) as client:
        reports = client.get(f"/datasets/{version.id}/reports")["items"]
    kept = {(each["title"], each["series"]): each["data"] for each in reports}
    assert kept == {
        ("CO2", "2015-02-05"): [[1.0, 2.5], [2.0, 3.0]],
        ("CO2", "gaps"): [[None, 1.0], [2.0, None]],
        ("rows", "all"): 12.0,
        ("rows", "mean"): None,
        ("note", ""): "as it came",
    }


def test_many_processes_make_one_copy(folder: Path, name: str) -> None:
    for number in range(50):
        (folder / f"{number}.bin").write_bytes(os.urandom(1000))
    version = draft(name)
    version.add_files(folder)
    version.finalize(auto_upload=True)
    program = f"from orchestrator import Dataset\nprint(Dataset.get(dataset_id='{version.id}').get_local_copy())"
    started = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    copies = {process.communicate(timeout=60)[0].strip() for process in started}
    assert copies == {str(version.get_local_copy())}
    assert files(version.get_local_copy()) == files(folder)


def test_what_one_has_downloaded_another_gets_only_if_he_may_read_it(
    server: RunningServer, folder: Path, name: str, tmp_path: Path
) -> None:
    version = draft(name)
    version.add_files(folder)
    version.finalize(auto_upload=True)
    with Client(server.url, server.token) as client:
        local_copy(client, version.id, cache=tmp_path / "cache")
        stranger = client.post("/tokens", {"name": "stranger", "role": "editor", "project": "elsewhere"})
    with Client(server.url, stranger["token"]) as client, pytest.raises((NotFound, Forbidden)):
        local_copy(client, version.id, cache=tmp_path / "cache", unasked=True)


def test_a_copy_serves_by_hand_while_the_server_is_away(folder: Path, name: str, tmp_path: Path) -> None:
    version = draft(name)
    version.add_files(folder)
    version.finalize(auto_upload=True)
    copy = version.get_local_copy()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with Client(url) as away:
            cache = tmp_path / "home" / "cache"
            assert local_copy(away, version.id, cache=cache, unasked=True) == copy
            with pytest.raises(ServerUnreachable):
                local_copy(away, version.id, cache=cache)


def test_files_of_a_copy_that_someone_wrote_to_are_restored(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    version = draft(name)
    version.add_files(folder)
    version.finalize(auto_upload=True)
    copy = version.get_local_copy()
    assert version.get_local_copy() == copy
    assert capsys.readouterr().err == ""
    draft(name).finalize()  # another version of the same files, and so of the same blobs
    copy.chmod(0o755)
    (copy / "a.csv").unlink()
    for harmed in (copy / "sub" / "b.csv", copy / "sub" / "run.sh"):
        harmed.chmod(0o755)
        harmed.write_text("x" * len(harmed.read_bytes()))
    another = Dataset.get(dataset_project="room", dataset_name=name).get_local_copy()
    assert another != copy
    assert files(another) == files(folder)
    assert version.get_local_copy() == copy
    assert files(copy) == files(folder)
    assert "3 files" in capsys.readouterr().err
    assert {path.stat().st_mode & 0o777 for path in copy.rglob("*.csv")} == {0o444}
    assert (copy / "sub" / "run.sh").stat().st_mode & 0o777 == 0o555
    assert (copy / "sub").stat().st_mode & 0o777 == copy.stat().st_mode & 0o777 == 0o555


def test_a_copy_that_was_broken_off_is_made_anew(folder: Path, name: str, tmp_path: Path) -> None:
    version = draft(name)
    version.add_files(folder)
    version.finalize(auto_upload=True)
    left = tmp_path / "cache" / "datasets" / f".{version.id}.{os.getpid()}"
    left.mkdir(parents=True)
    (left / "half").write_text("half")
    left.chmod(0o555)
    with Client(os.environ["RETRAIN_URL"], os.environ["RETRAIN_TOKEN"]) as client:
        assert files(local_copy(client, version.id, cache=tmp_path / "cache")) == files(folder)


def test_without_blake3_the_server_makes_the_digests(folder: Path, name: str) -> None:
    program = f"""
import sys
import importlib.machinery
find_spec = importlib.machinery.PathFinder.find_spec
importlib.machinery.PathFinder.find_spec = lambda name, *more: None if name == "blake3" else find_spec(name, *more)
from orchestrator import Dataset
version = Dataset.create({name!r}, "room")
assert version.add_files({str(folder)!r}) == 3
version.finalize(auto_upload=True)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    assert files(Dataset.get(dataset_project="room", dataset_name=name).get_local_copy()) == files(folder)


def test_strange_names_are_kept_exactly(folder: Path, name: str) -> None:
    strange = ["spa ce", "tab\tname", "new\nline", "quote'\"", "ünï", "x" * 255, "-rf", "%2e%2e"]
    for each in strange:
        (folder / each).write_text(each)
    version = draft(name)
    version.add_files(folder)
    version.finalize(auto_upload=True)
    assert files(version.get_local_copy()) == files(folder)


def test_an_empty_file_is_a_file(folder: Path, name: str) -> None:
    (folder / "empty").touch()
    version = draft(name)
    version.add_files(folder)
    version.finalize(auto_upload=True)
    assert files(version.get_local_copy())["empty"] == b""


def test_what_holds_no_space_says_which_disk(folder: Path, name: str, tmp_path: Path) -> None:
    from orchestrator.errors import NoSpace  # noqa: PLC0415  for this test alone

    (folder / "big").write_bytes(os.urandom(3_000_000))
    version = draft(name)
    version.add_files(folder)
    version.finalize(auto_upload=True)
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small disk needs root")
    try:
        client = Client(os.environ["RETRAIN_URL"], os.environ["RETRAIN_TOKEN"])
        with client, pytest.raises(NoSpace, match=str(small)):
            local_copy(client, version.id, cache=small / "cache")
        assert not [path for path in (small / "cache" / "datasets").iterdir() if path.is_dir()]
    finally:
        subprocess.run(["umount", str(small)], check=True)
