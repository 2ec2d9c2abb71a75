"""Files on their way into a draft, against a real server."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator import Dataset
from orchestrator.api.testing import running_server
from orchestrator.blobs import BlobStore
from orchestrator.blobs.testing.servers import CuttingProxy
from orchestrator.errors import Conflict, InvalidPath, NoSpace, ServerUnreachable
from orchestrator.records.manifest import Kind
from orchestrator.sdk.client import Client
from orchestrator.sdk.copies.storages import Storages
from orchestrator.sdk.ingest import direct, patience, senders, steady, storing
from orchestrator.sdk.session import session
from orchestrator.services.resumable_uploads import ArrivingUpload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.api.testing import RunningServer
    from orchestrator.blobs import Span


PACKED_BYTES = 100
"""What a pack may say of a blob in it."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(params=["direct", "through the server"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("RETRAIN_DIRECT", "1" if request.param == "direct" else "0")
    monkeypatch.setattr(senders, "UNASKED_BYTES", -1)  # else few bytes go through the server in any case
    return str(request.param)


@pytest.fixture(autouse=True)
def _logged_in(server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    log_in(server.url, server.token, home=tmp_path / "home", monkeypatch=monkeypatch)
    yield
    session.close()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return f"sensors of {request.node.name}"[:100]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    (root / "sub").mkdir(parents=True)
    for each in ("a.csv", "sub/b.csv", "sub/run.sh"):
        (root / each).write_text(f"{each} of {tmp_path}")
    (root / "sub" / "run.sh").chmod(0o755)
    return root


def log_in(url: str, token: str, *, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRAIN_URL", url)
    monkeypatch.setenv("RETRAIN_TOKEN", token)
    monkeypatch.setenv("RETRAIN_HOME", str(home))


def draft(name: str) -> Dataset:
    return Dataset.get(dataset_project="room", dataset_name=name, auto_create=True, writable_copy=True)


def committed(version: Dataset) -> Dataset:
    version.finalize(auto_upload=True)
    return version


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def stored_bytes(server: RunningServer) -> int:
    found = (path for path in Path(server.settings.blobs_url).rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in found)


@pytest.mark.usefixtures("way")
def test_only_bytes_that_are_new_are_stored(server: RunningServer, folder: Path, name: str) -> None:
    (folder / "big.bin").write_bytes(os.urandom(storing.SMALL_BYTES))
    first = draft(name)
    before = stored_bytes(server)
    assert first.add_files(folder) == 4
    content = sum(map(len, files(folder).values()))
    assert stored_bytes(server) - before - content in range(3 * PACKED_BYTES)
    assert committed(first).list_files() == ["a.csv", "big.bin", "sub/b.csv", "sub/run.sh"]
    assert files(first.get_local_copy()) == files(folder)

    (folder / "a.csv").rename(folder / "renamed.csv")
    (folder / "big.bin").rename(folder / "sub" / "large.bin")
    (folder / "sub" / "b.csv").touch()
    (folder / "sub" / "run.sh").chmod(0o644)
    other = draft(f"{name} 2"[-100:])
    before = stored_bytes(server)
    assert other.add_files(folder) == 4
    assert stored_bytes(server) == before
    assert files(committed(other).get_local_copy()) == files(folder)

    second = draft(name)
    changed = f"changed {folder}"
    (folder / "sub" / "b.csv").write_text(changed)
    before = stored_bytes(server)
    assert second.sync_folder(folder) == (2, 2, 2)
    assert stored_bytes(server) - before - len(changed) in range(PACKED_BYTES)
    assert files(committed(second).get_local_copy()) == files(folder)


def test_a_file_that_did_not_change_is_not_read_again_by_any_dataset(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in folder.rglob("*"):
        os.utime(path, (1, 1))
    monkeypatch.setattr("orchestrator.sdk.ingest.file_index._TRUSTED_AFTER_NS", 0)
    committed_files = draft(name)
    committed_files.add_files(folder)
    committed(committed_files)
    (folder / "new").write_text("new")

    def read(file: str, **_: object) -> steady.Read | None:
        assert file.endswith("/new")
        return steady.read_whole(file, most_bytes=100)

    monkeypatch.setattr(storing, "read_whole", read)
    other = draft(f"{name} 2"[-100:])
    assert other.add_files(folder) == 4
    assert other.add_files(folder, dataset_path="again") == 4
    assert files(committed(other).get_local_copy() / "again") == files(folder)


def test_a_remembered_digest_whose_bytes_are_gone_is_read_again(
    folder: Path, name: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.sdk.ingest.file_index._TRUSTED_AFTER_NS", 0)
    (folder / "big.bin").write_bytes(os.urandom(storing.SMALL_BYTES))
    draft(name).add_files(folder)
    with running_server(tmp_path_factory.mktemp("other")) as another:
        log_in(another.url, another.token, home=tmp_path / "home", monkeypatch=monkeypatch)
        version = draft(name)
        assert version.add_files(folder) == 4
        assert files(committed(version).get_local_copy()) == files(folder)
        session.close()


def test_a_folder_is_mirrored_below_its_target_and_nowhere_else(folder: Path, name: str) -> None:
    version = draft(name)
    version.add_files(folder, dataset_path="in")
    version.add_files(folder / "a.csv")
    version.add_files(folder / "a.csv", dataset_path="in2")
    (folder / "sub" / "b.csv").unlink()
    (folder / "a.csv").write_text("changed")
    (folder / "new.csv").write_text("new")
    assert version.sync_folder(folder, dataset_path="in") == (1, 1, 1)
    assert version.list_files() == ["a.csv", "in/a.csv", "in/new.csv", "in/sub/run.sh", "in2/a.csv"]
    version.upload()
    assert version.sync_folder(folder, dataset_path="in") == (0, 0, 0)
    assert not version._draft
    (folder / "a.csv").unlink()
    (folder / "sub" / "run.sh").unlink()
    assert version.sync_folder(folder, dataset_path="in", wildcard="*.csv") == (1, 0, 0)
    assert version.list_files("in") == ["in/new.csv", "in/sub/run.sh"]
    assert version.sync_folder(folder, dataset_path="in") == (1, 0, 0)
    version.finalize(auto_upload=True)
    assert version.list_files() == ["a.csv", "in/new.csv", "in2/a.csv"]
    with pytest.raises(Conflict):
        version.sync_folder(folder)


def test_a_folder_that_becomes_a_file_and_back_is_mirrored(folder: Path, name: str) -> None:
    version = draft(name)
    version.add_files(folder)
    version.upload()
    for file in (folder / "sub").iterdir():
        file.unlink()
    (folder / "sub").rmdir()
    (folder / "sub").write_text("a file now")
    with pytest.raises(InvalidPath, match="sub is a file and sub in the dataset a folder"):
        version.add_files(folder)
    assert version.sync_folder(folder) == (2, 1, 0)
    version.upload()
    assert version.list_files() == ["a.csv", "sub"]
    (folder / "sub").unlink()
    (folder / "sub").mkdir()
    (folder / "sub" / "again").write_text("again")
    assert version.sync_folder(folder) == (1, 1, 0)
    version.finalize(auto_upload=True)
    assert version.list_files() == ["a.csv", "sub/again"]


@pytest.mark.usefixtures("way")
def test_empty_files_and_folders_are_kept(folder: Path, name: str) -> None:
    (folder / "nothing").touch()
    (folder / "void" / "inner").mkdir(parents=True)
    version = draft(name)
    assert version.add_files(folder) == 4
    version.upload()
    kinds = {entry.path: entry.kind for entry in version._draft.entries()}
    assert kinds["void/inner"] == Kind.DIRECTORY
    assert "void/inner" not in version.list_files()
    (folder / "void" / "inner" / "file").write_text("no more")
    assert version.sync_folder(folder) == (0, 1, 0)
    version.finalize(auto_upload=True)
    assert version.list_files() == ["a.csv", "nothing", "sub/b.csv", "sub/run.sh", "void/inner/file"]
    assert files(version.get_local_copy()) == files(folder)


@pytest.mark.usefixtures("way")
def test_strange_names_are_kept_exactly(folder: Path, name: str) -> None:
    strange = [
        "spa ce",
        "tab\tname",
        "new\nline",
        "quote'\"",
        "ünï",
        "u\u0308ni",
        "x" * 255,
        "-rf",
        "%2e%2e",
        "\U0001f600",
    ]
    for each in (*strange, "Case", "case"):
        (folder / each).write_text(each)
    os.link(folder / "a.csv", folder / "hard link")
    version = draft(name)
    assert version.add_files(folder) == 16
    version.finalize(auto_upload=True)
    assert files(version.get_local_copy()) == files(folder)


def test_a_file_that_changes_while_it_is_read_is_read_again_once(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = writing_while_reading(folder / "a.csv", monkeypatch, times=1)
    version = draft(name)
    assert version.add_files(folder) == 3
    assert len(reads) == 2
    version.finalize(auto_upload=True)
    assert files(version.get_local_copy())["a.csv"].endswith(b"+")


def test_a_file_that_never_holds_still_is_refused_by_name_and_nothing_is_added(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing_while_reading(folder / "a.csv", monkeypatch, times=100)
    version = draft(name)
    with pytest.raises(InvalidPath, match=r"a\.csv changed while it was read"):
        version.add_files(folder)
    assert version.list_files() == []
    assert not version._draft


def writing_while_reading(file: Path, monkeypatch: pytest.MonkeyPatch, *, times: int) -> list[int]:
    """Append to a file each time when it has just been read."""
    read, reads, inode = steady._read, [], file.stat().st_ino

    def read_and_write(descriptor: int, size_bytes: int) -> bytes:
        data = read(descriptor, size_bytes)
        if os.fstat(descriptor).st_ino == inode:
            reads.append(size_bytes)
            if len(reads) <= times:
                with file.open("ab") as more:
                    more.write(b"+")
        return data

    monkeypatch.setattr(steady, "_read", read_and_write)
    return reads


def test_what_was_added_is_what_is_sent_whatever_becomes_of_the_file(folder: Path, name: str) -> None:
    version = draft(name)
    version.add_files(folder)
    added = files(folder)
    (folder / "a.csv").write_text("another")
    (folder / "sub" / "b.csv").unlink()
    version.finalize(auto_upload=True)
    assert files(version.get_local_copy()) == added


@pytest.mark.usefixtures("way")
def test_a_large_file_that_is_written_to_is_refused_by_name(folder: Path, name: str) -> None:
    (folder / "log").write_bytes(os.urandom(storing.SMALL_BYTES))
    ended = threading.Event()

    def write() -> None:
        with (folder / "log").open("r+b", buffering=0) as log:
            while not ended.wait(0.001):
                log.seek(0)
                log.write(os.urandom(8))

    writer = threading.Thread(target=write)
    version = draft(name)
    writer.start()
    try:
        with pytest.raises(InvalidPath, match="log changed while it was"):
            version.add_files(folder)
    finally:
        ended.set()
        writer.join()
    assert version.list_files() == []
    assert version.add_files(folder) == 4
    assert files(committed(version).get_local_copy()) == files(folder)


def test_all_files_that_cannot_be_read_are_named_at_once(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(11):
        (folder / f"lost{number:02}").symlink_to("nowhere")
    real = os.open

    def refuse(path: str | Path, *arguments: int, **options: int) -> int:
        if str(path).endswith("b.csv"):
            raise PermissionError(13, "Permission denied", path)
        return real(path, *arguments, **options)

    version = draft(name)
    seen: list[str] = []

    def gone(each: str) -> None:
        seen.append(each)
        if each == "sub/run.sh":  # the walk is over, and nothing was read yet
            (folder / "a.csv").unlink()

    monkeypatch.setattr(steady.os, "open", refuse)
    with pytest.raises(InvalidPath, match="13 files cannot be added") as caught:
        version._draft.add(folder, on_name=gone)
    assert seen == ["a.csv", "sub/b.csv", "sub/run.sh"]
    for said in ("data/lost00 is a link to nothing", "a.csv is not there", "b.csv cannot be read: Permission denied"):
        assert said in caught.value.message
    assert version.list_files() == []


def test_a_sparse_file_is_stored_in_constant_memory_and_its_holes_stay(
    server: RunningServer, folder: Path, name: str
) -> None:
    with (folder / "sparse").open("wb") as sparse:
        sparse.write(b"begin")
        sparse.truncate(2 << 30)
        sparse.seek(1 << 30)
        sparse.write(b"middle")
    version = draft(name)
    program = f"""
from pathlib import Path
from orchestrator import Dataset
version = Dataset.get(dataset_id={version.id!r})
assert version.add_files({str(folder)!r}) == 4
version.upload()
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert int(done.stdout) < 300 * 1024
    blobs = [path for path in Path(server.settings.blobs_url).rglob("*") if path.is_file()]
    (stored,) = [path for path in blobs if path.stat().st_size == 2 << 30]
    assert stored.stat().st_blocks * 512 < 64 << 20
    with stored.open("rb") as source:
        assert source.read(5) == b"begin"
        source.seek(1 << 30)
        assert source.read(6) == b"middle"


@pytest.fixture
def proxy(server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy(int(server.url.rpartition(":")[2]))
    log_in(f"http://127.0.0.1:{proxy.port}", server.token, home=tmp_path / "home", monkeypatch=monkeypatch)
    monkeypatch.setenv("RETRAIN_DIRECT", "0")
    monkeypatch.setattr(patience, "PAUSES_SECONDS", (0.02,) * 5)
    monkeypatch.setattr(senders, "PIECE_BYTES", 1 << 20)
    yield proxy
    proxy.close()


def test_a_large_file_goes_on_after_cuts_where_it_was(folder: Path, name: str, proxy: CuttingProxy) -> None:
    (folder / "large").write_bytes(os.urandom(16 << 20))
    version = draft(name)
    proxy.cut_every(5 << 19, times=4)
    shown: list[tuple[int, int, int]] = []
    assert version.add_files(folder, progress=lambda *numbers: shown.append(numbers)) == 4
    assert proxy.cuts_left == 0
    version.finalize(auto_upload=True)
    assert files(version.get_local_copy()) == files(folder)
    total = sum(map(len, files(folder).values()))
    assert shown[-1] == (total, total, 4)


def test_a_large_file_that_is_stored_under_another_name_is_not_copied(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, copied = BlobStore.put_stream_file, []

    def count(self: BlobStore, file: Path, **options: Any) -> object:  # noqa: ANN401
        copied.append(file.name)
        return put(self, file, **options)

    monkeypatch.setattr(BlobStore, "put_stream_file", count)
    (folder / "large").write_bytes(os.urandom(storing.SMALL_BYTES + 1))
    version = draft(name)
    version.add_files(folder)
    (folder / "large").rename(folder / "renamed")
    assert version.sync_folder(folder)[:2] == (1, 1)
    (folder / "same size").write_bytes(os.urandom(storing.SMALL_BYTES + 1))
    assert version.add_files(folder) == 1
    assert copied == ["large", "same size"]
    assert files(committed(version).get_local_copy()) == files(folder)


def test_a_storage_that_takes_longer_than_an_answer_may_is_waited_for(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRAIN_DIRECT", "0")
    monkeypatch.setattr(patience, "PAUSES_SECONDS", (0.01,) * 3)
    monkeypatch.setattr(senders, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(senders, "POLL_SECONDS", 0.1)
    store, stores = ArrivingUpload.store, []

    def store_slowly(self: ArrivingUpload, blobs: BlobStore) -> Span:
        stores.append(self.path)
        time.sleep(1.5)
        return store(self, blobs)

    monkeypatch.setattr(ArrivingUpload, "store", store_slowly)
    (folder / "large").write_bytes(os.urandom(storing.SMALL_BYTES))
    version = draft(name)
    assert version.add_files(folder / "large") == 1
    assert len(stores) == 1
    assert files(committed(version).get_local_copy())["large"] == (folder / "large").read_bytes()


def test_holes_stay_holes_through_the_server_and_in_the_copy(
    server: RunningServer, folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRAIN_DIRECT", "0")
    size_bytes = (64 << 20) + 4321
    with (folder / "sparse").open("wb") as sparse:
        sparse.write(b"begin")
        sparse.seek(20_000_000)
        sparse.write(f"middle of {folder}".encode())
        sparse.truncate(size_bytes)
    version = draft(name)
    version.add_files(folder / "sparse")
    blobs = [path for path in Path(server.settings.blobs_url).rglob("*") if path.is_file()]
    (stored,) = [path for path in blobs if path.stat().st_size == size_bytes]
    monkeypatch.setattr(Storages, "fetch", lambda _self, entries, **_: entries)  # nothing is copied past the server
    copied = committed(version).get_local_copy() / "sparse"
    for place in (stored, copied):
        assert place.stat().st_blocks * 512 < 4 << 20
        assert place.read_bytes() == (folder / "sparse").read_bytes()


def test_small_files_are_sent_again_after_cuts(folder: Path, name: str, proxy: CuttingProxy) -> None:
    for number in range(64):
        (folder / f"{number}").write_bytes(os.urandom(100_000))
    version = draft(name)
    proxy.cut_every(3_000_000, times=3)
    assert version.add_files(folder) == 67
    version.finalize(auto_upload=True)
    assert proxy.cuts_left == 0
    assert files(version.get_local_copy()) == files(folder)


def test_what_was_sent_before_a_long_outage_is_not_sent_again(folder: Path, name: str, proxy: CuttingProxy) -> None:
    content = os.urandom(16 << 20)
    (folder / "large").write_bytes(content)
    version = draft(name)
    proxy.cut_after(10 << 20)
    with pytest.raises(ServerUnreachable):
        version.add_files(folder)
    assert version._draft._changes.count == 0
    sent: list[int] = []
    put_bytes = Client.put_bytes

    def count(self: Client, path: str, data: bytes, **query: object) -> object:
        sent.append(len(data))
        return put_bytes(self, path, data, **query)

    proxy.mend()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Client, "put_bytes", count)
        assert version.add_files(folder) == 4
    assert sum(sent) < 10 << 20
    version.finalize(auto_upload=True)
    assert files(version.get_local_copy())["large"] == content


def test_a_full_disk_is_named_and_nothing_of_it_is_visible(
    folder: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(small)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    try:
        with running_server(tmp_path / "server", blobs_url=str(small / "blobs")) as full:
            log_in(full.url, full.token, home=tmp_path / "home", monkeypatch=monkeypatch)
            version = draft(name)
            for kind in ("small", "large"):
                for number in range(8):
                    size_bytes = 1_000_000 if kind == "small" else storing.SMALL_BYTES
                    (folder / f"{number}").write_bytes(os.urandom(size_bytes))
                for direct in ("1", "0"):
                    monkeypatch.setenv("RETRAIN_DIRECT", direct)
                    with pytest.raises(NoSpace, match=str(small)):
                        version.add_files(folder)
                    assert not version._draft
                    assert version.list_files() == []
            for number in range(8):
                (folder / f"{number}").unlink()
            left = [path for path in (small / "blobs").rglob("*") if path.is_file()]
            assert sum(path.stat().st_size for path in left) < 6 << 20
            assert not list((small / "blobs" / "uploads").glob("*"))
            with Client(full.url, full.token) as client:  # nothing registered that is not there
                for storage in client.get("/storages")["items"]:
                    assert storage["size_bytes"] <= sum(path.stat().st_size for path in left)
            session.close()
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.usefixtures("way")
def test_two_processes_add_the_same_folder_at_once(folder: Path, name: str) -> None:
    for number in range(300):
        (folder / f"{number}.bin").write_bytes(os.urandom(3_000))
    (folder / "large").write_bytes(os.urandom(storing.SMALL_BYTES))
    drafts = [draft(f"{number} {name}"[:100]) for number in range(2)]
    program = "import sys; from orchestrator import Dataset; d = Dataset.get(dataset_id=sys.argv[1])\n"
    program += "print(d.add_files(sys.argv[2])); d.finalize(auto_upload=True)"
    started = [
        subprocess.Popen([sys.executable, "-c", program, each.id, str(folder)], stdout=subprocess.PIPE, text=True)
        for each in drafts
    ]
    assert [process.communicate(timeout=120)[0] for process in started] == ["304\n", "304\n"]
    for each in drafts:
        assert files(Dataset.get(dataset_id=each.id).get_local_copy()) == files(folder)


def test_without_blake3_the_server_makes_the_digests(folder: Path, name: str) -> None:
    (folder / "large").write_bytes(os.urandom(storing.SMALL_BYTES))
    program = f"""
import importlib.machinery
find_spec = importlib.machinery.PathFinder.find_spec
importlib.machinery.PathFinder.find_spec = lambda name, *more: None if name == "blake3" else find_spec(name, *more)
from orchestrator import Dataset
version = Dataset.create({name!r}, "room")
assert version.add_files({str(folder)!r}) == 4
version.upload()
assert version.add_files({str(folder)!r}) == 0
version.finalize()
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    assert files(Dataset.get(dataset_project="room", dataset_name=name).get_local_copy()) == files(folder)


def test_a_directory_that_is_not_the_servers_is_not_written_to(
    server: RunningServer, folder: Path, name: str, tmp_path: Path
) -> None:
    with Client(server.url, server.token) as client:
        client.put("/storages/elsewhere", {"url": str(tmp_path / "elsewhere")})
        client.put("/storages/choices", {"project": "room", "dataset": name, "storage": "elsewhere"})
    marker = tmp_path / "elsewhere" / "retrain-store.json"
    assert direct.find_direct(session.client, version_id=draft(name).id, patience=patience.Patience()) is not None
    content = marker.read_text()
    marker.write_text('{"id": "another"}')
    assert direct.find_direct(session.client, version_id=draft(name).id, patience=patience.Patience()) is None
    marker.write_text(content)
    version = draft(name)
    version.add_files(folder)
    version.finalize(auto_upload=True)
    assert files(version.get_local_copy()) == files(folder)


def test_bytes_go_straight_to_s3_with_credentials_of_ones_own(
    server: RunningServer, folder: Path, name: str, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(senders, "UNASKED_BYTES", -1)
    monkeypatch.setattr(senders.ThroughServer, "store_small", None)
    monkeypatch.setattr(senders.ThroughServer, "store_large", None)
    (folder / "large").write_bytes(os.urandom(storing.SMALL_BYTES))
    with Client(server.url, server.token) as client:
        client.put("/storages/bucket", {"url": f"{s3}/data"})
        client.put("/storages/choices", {"project": "room", "dataset": name, "storage": "bucket"})
    version = draft(name)
    assert version.add_files(folder) == 4
    assert draft(f"{name} 2"[-100:]).add_files(folder) == 4
    version.finalize(auto_upload=True)
    assert files(version.get_local_copy()) == files(folder)


def test_more_changes_than_a_request_takes_are_sent_in_several(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.sdk.ingest.draft.BATCH_ENTRIES", 7)
    for number in range(30):
        (folder / f"{number:02}").write_text(str(number))
    version = draft(name)
    assert version.add_files(folder) == 33
    version.upload()
    assert version.remove_files("1*") == 10
    assert version.remove_files("sub") == 2
    (folder / "sub" / "b.csv").unlink()
    (folder / "sub" / "run.sh").unlink()
    (folder / "sub").rmdir()
    (folder / "sub").write_text("a file now")
    assert version.add_files(folder) == 11
    version.finalize(auto_upload=True)
    assert files(version.get_local_copy()) == files(folder)


def test_what_is_removed_and_listed_is_matched_alike(folder: Path, name: str) -> None:
    version = draft(name)
    version.add_files(folder)
    assert version.list_files("*.csv") == ["a.csv", "sub/b.csv"]
    assert version.list_files("*.csv", recursive=False) == ["a.csv"]
    assert version.list_files("sub/") == ["sub/b.csv", "sub/run.sh"]
    assert version.list_files(recursive=False) == ["a.csv"]
    assert version.remove_files("nothing") == 0
    assert version.remove_files("*.csv", recursive=False) == 1
    assert version.remove_files("sub/b.csv") == 1
    assert version.list_files() == ["sub/run.sh"]
    version.upload()
    assert version.remove_files("sub/run.sh") == 1
    assert version.add_files(folder / "sub") == 2
    assert version.list_files() == ["b.csv", "run.sh"]
