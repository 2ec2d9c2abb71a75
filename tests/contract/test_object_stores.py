"""Every kind of store is held to one contract, against a real server where it has one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.blobs import BlobStore, Span, open_objects, parts
from orchestrator.blobs.remote import FsspecObjects
from orchestrator.blobs.testing import CutObjects, ObjectStoreContract, digest_of, paths_in, servers
from orchestrator.errors import Forbidden, InvalidRequest, NoSpace, NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orchestrator.blobs import Objects

# Of the libraries' making: they hand large bodies to aiohttp as bytes.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")


class TestDirectory(ObjectStoreContract):
    @pytest.fixture
    def open_again(self, tmp_path: Path) -> Callable[[], Objects]:
        return lambda: open_objects(str(tmp_path / "store"))


class TestS3(ObjectStoreContract):
    @pytest.fixture
    def open_again(self, s3: str) -> Callable[[], Objects]:
        return lambda: open_objects(f"{s3}/some/prefix")


class TestAzure(ObjectStoreContract):
    @pytest.fixture
    def open_again(self, azure: str) -> Callable[[], Objects]:
        return lambda: open_objects(azure)


class TestGoogle(ObjectStoreContract):
    @pytest.fixture
    def open_again(self, gcs: str) -> Callable[[], Objects]:
        return lambda: open_objects(gcs)

    def test_of_several_who_mark_a_store_at_once_all_get_one_mark(
        self,
        objects: Objects,  # noqa: ARG002  the contract's own signature
        open_again: Callable[[], Objects],  # noqa: ARG002  likewise
    ) -> None:
        pytest.skip("not applicable: this emulator passes over ifGenerationMatch, which Google's own service heeds")


@pytest.fixture
def proxied(s3: str, s3_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[BlobStore, servers.CuttingProxy]]:
    """S3 through a line that can be cut, tried four times without waiting."""
    monkeypatch.setattr(FsspecObjects, "pauses_seconds", (0.01, 0.01, 0.01))
    monkeypatch.setattr(parts, "PART_BYTES", 1 << 20)
    proxy = servers.CuttingProxy(s3_port)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{proxy.port}")
    yield BlobStore(s3), proxy
    proxy.close()


def test_a_line_that_is_cut_now_and_then_is_not_noticed(
    proxied: tuple[BlobStore, servers.CuttingProxy], tmp_path: Path
) -> None:
    store, proxy = proxied
    file = tmp_path / "file"
    file.write_bytes(os.urandom(6 << 20))
    digest = digest_of(file.read_bytes())
    proxy.cut_every(3 << 19, times=3)
    span = store.put_file(file, digest=digest, size_bytes=6 << 20)
    assert proxy.cuts_left == 0
    assert b"".join(store.read(span, digest=digest)) == file.read_bytes()


def test_a_line_that_stays_cut_is_named_and_the_next_call_sends_what_is_missing(
    proxied: tuple[BlobStore, servers.CuttingProxy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, proxy = proxied
    file = tmp_path / "file"
    file.write_bytes(os.urandom(8 << 20))
    digest = digest_of(file.read_bytes())
    proxy.cut_after(9 << 19)
    monkeypatch.setattr(FsspecObjects, "pauses_seconds", ())
    with pytest.raises(Unavailable, match="s3://"):
        store.put_file(file, digest=digest, size_bytes=8 << 20)
    proxy.mend()
    arrived = paths_in(store.objects)
    assert 0 < len(arrived) < 8
    counted = CutObjects(store.objects, puts=100)
    span = BlobStore(counted).put_file(file, digest=digest, size_bytes=8 << 20)  # type: ignore[arg-type]
    assert sorted(arrived + counted.put_paths) == [f"{span.path}/{number:05}" for number in range(8)]
    assert b"".join(store.read(span, digest=digest)) == file.read_bytes()


def test_a_store_that_does_not_answer_is_named(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{servers.free_port()}")
    monkeypatch.setattr(FsspecObjects, "pauses_seconds", (0.01,))
    with pytest.raises(Unavailable, match=r"s3://bucket-.*AWS_ENDPOINT_URL_S3"):
        open_objects(s3).put("a", b"x")


@pytest.mark.parametrize("kind", ["s3", "azure"])
def test_a_bucket_that_is_not_there_is_named(kind: str, request: pytest.FixtureRequest) -> None:
    scheme = request.getfixturevalue(kind).partition("://")[0]
    objects = open_objects(f"{scheme}://no-such-bucket")
    with pytest.raises(NotFound, match=r"no-such-bucket.*bucket or container"):
        objects.put("a", b"x")


def test_credentials_that_are_refused_are_named(azure: str, azure_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = servers.azure_connection(azure_port, key="d3Jvbmc=")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", wrong)
    objects = open_objects(azure)
    with pytest.raises(Forbidden, match="AZURE_STORAGE_CONNECTION_STRING"):
        objects.put("a", b"x")


def test_missing_credentials_are_named(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # Another endpoint than before: the library keeps what it has opened with the credentials of that time.
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", os.environ["AWS_ENDPOINT_URL_S3"].replace("127.0.0.1", "localhost"))
    with pytest.raises(Forbidden, match="AWS_ACCESS_KEY_ID"):
        open_objects(s3).put("a", b"x")


@pytest.fixture
def small_disk() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="disk-"))
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(directory)], check=False)
    if mounted.returncode != 0:
        directory.rmdir()
        pytest.skip("only root may mount a small disk")
    yield directory
    subprocess.run(["umount", "--lazy", str(directory)], check=True)
    directory.rmdir()


def test_a_full_disk_is_named_and_nothing_partial_stays(small_disk: Path, tmp_path: Path) -> None:
    store = BlobStore(str(small_disk / "store"))
    file = tmp_path / "file"
    file.write_bytes(os.urandom(10 << 20))
    digest = digest_of(file.read_bytes())

    def packs() -> None:
        with store.packs(on_pack=lambda _: None) as writer:
            writer.add(digest, file.read_bytes())

    for store_it in (
        lambda: store.put([file.read_bytes()]),
        lambda: store.put_file(file, digest=digest, size_bytes=10 << 20),
        lambda: store.put_stream_file(file),
        packs,
    ):
        with pytest.raises(NoSpace, match=str(small_disk)):
            store_it()
        assert paths_in(store.objects) == []
    store.put([b"there is room again"])

    other = BlobStore(str(tmp_path / "store"))
    span = other.put_file(file, digest=digest, size_bytes=10 << 20)
    with pytest.raises(NoSpace, match=str(small_disk)):
        other.copy_to(span, small_disk / "copy", digest=digest)
    assert not (small_disk / "copy").exists()


def test_bytes_cross_from_one_file_system_to_another(small_disk: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(3 << 20))
    with file.open("r+b") as sparse:
        sparse.truncate(5 << 20)
    store = BlobStore(str(small_disk / "store"))
    digest, span = store.put_stream_file(file)
    store.copy_to(span, tmp_path / "copy", digest=digest)
    assert (tmp_path / "copy").read_bytes() == file.read_bytes()


_PACKING = """
import os, sys
from orchestrator.blobs import BlobStore

with BlobStore(sys.argv[1]).packs(on_pack=lambda pack: None) as writer:
    for _ in range(20):
        writer.add("blake3:" + "0" * 64, os.urandom(1 << 20))
    print("in the middle", flush=True)
    sys.stdin.read()
"""


def test_a_process_that_is_killed_in_the_middle_of_a_pack_leaves_nothing_visible(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _PACKING, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in the middle\n"
        process.send_signal(signal.SIGKILL)
    store = BlobStore(str(tmp_path))
    assert list(store.objects.listing("")) == []
    (left,) = (tmp_path / "uploads").iterdir()
    os.utime(left, (0, 0))
    store.sweep_uploads()
    assert paths_in(store.objects) == []


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("s3://AKIA:hunter2@bucket/prefix", "AWS_ACCESS_KEY_ID"),
        ("s3://AKIA@bucket", "AWS_ACCESS_KEY_ID"),
        ("az://container/prefix?sig=hunter2", "AZURE_STORAGE_CONNECTION_STRING"),
        ("abfs://container:hunter2@account.dfs.core.windows.net/x", "AZURE_STORAGE_CONNECTION_STRING"),
        ("gs://bucket/x?key=hunter2", "GOOGLE_APPLICATION_CREDENTIALS"),
    ],
)
def test_credentials_in_a_url_are_refused_and_not_repeated(url: str, named: str) -> None:
    with pytest.raises(InvalidRequest, match=named) as refused:
        open_objects(url)
    assert "hunter2" not in str(refused.value)
    assert "AKIA" not in str(refused.value)


@pytest.mark.parametrize("url", ["nonsense://x", "s3://", "az:///x"])
def test_a_url_that_names_no_store_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest, match="names no"):
        open_objects(url)


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [
        ("s3://b/x", "s3fs", "s3"),
        ("gs://b/x", "gcsfs", "gcs"),
        ("az://c/x", "adlfs", "azure"),
        ("s3://b", "fsspec", "s3"),
    ],
)
def test_a_package_that_is_missing_comes_with_the_line_that_installs_it(url: str, package: str, extra: str) -> None:
    program = (
        f"import sys; sys.modules['{package}'] = None\n"
        "from orchestrator.blobs import open_objects\n"
        "from orchestrator.errors import InvalidRequest\n"
        f"try:\n    open_objects('{url}')\nexcept InvalidRequest as error:\n    print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert f"pip install 'retrain-orchestrator[{extra}]'" in said


def test_a_directory_needs_nothing_but_the_standard_library_and_blake3(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from orchestrator.blobs import BlobStore\n"
        "BlobStore(sys.argv[1]).put([b'x'])\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names))\n"
    )
    command = [sys.executable, "-I", "-S", "-c"]
    site = str(Path(pytest.__file__).parents[1])
    root = str(Path(__file__).parents[2])
    program = f"import sys; sys.path += [{root!r}, {site!r}]\n{program}"
    said = subprocess.run([*command, program, str(tmp_path)], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "['__main__', 'blake3', 'orchestrator']"


def test_any_other_store_that_fsspec_knows_will_do() -> None:
    store = BlobStore(f"memory://{uuid.uuid4().hex}/prefix")
    stored = store.put([b"data"])
    assert paths_in(store.objects) == [stored.path]
    assert list(store.read_many([(stored.digest, Span(stored.path, 0, 4))])) == [(stored.digest, b"data")]
    assert store.delete(stored.path, 0) == 4


def test_reading_stops_when_nobody_wants_more(s3: str) -> None:
    objects = open_objects(s3)
    objects.put("a", bytes(20 << 20))
    chunks = objects.read("a", size_bytes=20 << 20)
    assert next(chunks)
    chunks.close()  # type: ignore[attr-defined]
    store = BlobStore(objects)
    with pytest.raises(NotFound):
        list(store.read(Span("b", 0, 20 << 20), digest=digest_of(b"")))
