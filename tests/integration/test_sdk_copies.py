"""Local copies against a real server, with real processes."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from agent.node_data import NodeData
from agent.settings import AgentSettings
from agent.testing import create_script_task, running_agent, wait_for
from orchestrator import Dataset
from orchestrator.api.testing import running_server
from orchestrator.errors import (
    Conflict,
    DigestMismatch,
    Forbidden,
    NotFound,
    ServerUnreachable,
)
from orchestrator.records.links import LinkPolicy
from orchestrator.sdk.client import Client
from orchestrator.sdk.copies.cache import Cache
from orchestrator.sdk.copies.dataset_path import DatasetPath
from orchestrator.sdk.copies.fetching import Fetcher
from orchestrator.sdk.copies.local_copy import Subset, local_copy
from orchestrator.sdk.session import session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent.runs import RunDirectory
    from orchestrator.api.testing import RunningServer
    from orchestrator.records.manifest import Entry


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


class Counting(Client):
    """Notes what is asked; on demand it is one who may not know the storages, and so reads through the server."""

    def __init__(self, server: RunningServer, *, knows_storages: bool = True) -> None:
        super().__init__(server.url, server.token)
        self.knows_storages = knows_storages
        self.asked: list[str] = []

    def _note(self, path: str) -> None:
        self.asked.append("/".join(part if len(part) < 32 else "…" for part in path.split("/")))

    def get(self, path: str, **query: Any) -> Any:  # noqa: ANN401  the base class's
        self._note(path)
        if path == "/storages" and not self.knows_storages:
            raise Forbidden
        return super().get(path, **query)

    def get_bytes(self, path: str, **query: Any) -> bytes:  # noqa: ANN401  the base class's
        self._note(path)
        return super().get_bytes(path, **query)

    def get_bytes_and_header(self, path: str, header: str) -> tuple[bytes, str | None]:
        self._note(path)
        return super().get_bytes_and_header(path, header)

    def post_for_bytes(self, path: str, body: object) -> bytes:
        self._note(path)
        return super().post_for_bytes(path, body)

    def download(self, path: str, target: IO[bytes], *, on_bytes: Callable[[bytes], object] | None = None) -> int:
        self._note(path)
        return super().download(path, target, on_bytes=on_bytes)


@pytest.fixture(params=[True, False], ids=["straight from the storage", "through the server"])
def client(request: pytest.FixtureRequest, server: RunningServer) -> Iterator[Counting]:
    with Counting(server, knows_storages=request.param) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for number in range(30):
        file = root / f"class{number % 3}" / f"{number:02}.bin"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(os.urandom(1000 + number))
    (root / "large.bin").write_bytes(os.urandom(5_000_000))
    (root / "same.bin").write_bytes((root / "large.bin").read_bytes())
    (root / "empty.txt").touch()
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "plain.sh").write_text("#!/bin/sh\n")
    return root


@pytest.fixture
def version(folder: Path, request: pytest.FixtureRequest) -> Dataset:
    made = Dataset.create(f"data of {request.node.name}"[:100], "copies")
    made.add_files(folder)
    made.finalize(auto_upload=True)
    return made


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    made = Cache(tmp_path / "cache")
    yield made
    for name in made.names():
        made.let_go(name)


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def visible(cache: Cache) -> list[str]:
    return [tree.name for tree in cache.trees()]


def test_a_copy_has_the_files_exactly_and_is_made_once(
    client: Counting, version: Dataset, folder: Path, cache: Cache
) -> None:
    told: list[tuple[int, int, int]] = []
    copy = local_copy(client, version.id, cache=cache, progress=lambda *counts: told.append(counts))
    assert files(copy) == files(folder)
    assert (copy / "run.sh").stat().st_mode & 0o777 == 0o555
    assert {path.stat().st_mode & 0o777 for path in copy.rglob("*.bin")} == {0o444}
    assert (copy / "large.bin").samefile(copy / "same.bin")
    assert told[-1][0] == told[-1][1] + 5_000_000  # the second of two that are alike is done, and was not to be fetched
    assert told[-1][2] == 35
    straight = "/blobs/bundle" not in client.asked and "/blobs/…" not in client.asked
    assert straight is client.knows_storages
    client.asked.clear()
    assert local_copy(client, version.id, cache=cache) == copy
    assert client.asked == ["/datasets/…"]
    assert cache.usage() == sum(path.stat().st_size for path in (cache.root / "blobs").rglob("*") if path.is_file())


def test_parts_share_no_file_and_together_are_the_whole(
    client: Counting, version: Dataset, folder: Path, cache: Cache
) -> None:
    parts = [files(local_copy(client, version.id, cache=cache, subset=Subset(part=part, parts=4))) for part in range(4)]
    assert sum(map(len, parts)) == len(files(folder)) == len(set().union(*parts))
    assert {path: data for part in parts for path, data in part.items()} == files(folder)


def test_a_pattern_fetches_what_it_names(client: Counting, version: Dataset, folder: Path, cache: Cache) -> None:
    copy = local_copy(client, version.id, cache=cache, subset=Subset(patterns=("class1", "*.sh")))
    expected = {path for path in files(folder) if path.startswith("class1/") or path.endswith(".sh")}
    assert set(files(copy)) == expected
    assert cache.usage() < 100_000
    with pytest.raises(NotFound, match="'nothing'"):
        local_copy(client, version.id, cache=cache, subset=Subset(patterns=("nothing",)))


def test_what_is_in_the_cache_is_not_fetched_again(
    client: Counting, version: Dataset, folder: Path, cache: Cache
) -> None:
    local_copy(client, version.id, cache=cache, subset=Subset(patterns=("class*",)))
    (folder / "class0" / "00.bin").write_bytes(b"changed")
    following = Dataset.create(version.name, version.project, parent_datasets=[version])
    following.add_files(folder)
    following.finalize(auto_upload=True)
    told: list[tuple[int, int, int]] = []
    copy = local_copy(
        client,
        following.id,
        cache=cache,
        subset=Subset(patterns=("class*",)),
        progress=lambda *counts: told.append(counts),
    )
    assert files(copy / "class0")["00.bin"] == b"changed"
    assert told[-1] == (7, 7, 1)


def test_files_that_lie_elsewhere_are_fetched_once_and_checked(
    client: Counting, cache: Cache, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRAIN_ALLOW_HTTP_LINKS", "1")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "one.bin").write_bytes(b"one")
    got: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            got.append(self.path)
            super().do_GET()

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(elsewhere))) as web:
        threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        made = Dataset.create(f"links of {request.node.name}"[:100], "copies")
        made.add_external_files(f"http://127.0.0.1:{web.server_port}/one.bin")
        made.finalize(auto_upload=True)
        got.clear()
        copy = local_copy(client, made.id, cache=cache)
        assert files(copy) == {"one.bin": b"one"}
        local_copy(client, made.id, cache=cache, subset=Subset(patterns=("*.bin",)))
        assert got == ["/one.bin"]
        (elsewhere / "one.bin").write_bytes(b"other")
        fresh = Cache(tmp_path / "fresh")
        with pytest.raises(DigestMismatch, match=r"one\.bin"):
            local_copy(client, made.id, cache=fresh)
        assert visible(fresh) == []
        web.shutdown()


def test_a_draft_has_no_copy(client: Counting, cache: Cache) -> None:
    draft = Dataset.create("draft", "copies")
    with pytest.raises(Conflict, match="draft"):
        local_copy(client, draft.id, cache=cache)


def damage(server: RunningServer, data: bytes, *, cut: bool) -> None:
    """Change a blob where it is stored."""
    for path in Path(server.settings.blobs_url).rglob("*"):
        if path.is_file():
            stored = path.read_bytes()
            place = stored.find(data)
            if place >= 0:
                path.chmod(0o644)
                path.write_bytes(
                    stored[: place + 10] if cut else stored[:place] + bytes(len(data)) + stored[place + len(data) :]
                )
                return
    raise AssertionError("nobody stored that")


@pytest.mark.parametrize("cut", [False, True], ids=["changed", "cut"])
@pytest.mark.parametrize("name", ["class1/07.bin", "large.bin"])
def test_a_damaged_blob_is_named_and_no_copy_is_made(
    client: Counting,
    version: Dataset,
    server: RunningServer,
    folder: Path,
    cache: Cache,
    name: str,
    cut: bool,
) -> None:
    damage(server, (folder / name).read_bytes(), cut=cut)
    named = r"class\d/\d\d\.bin" if cut and "class" in name else rf"{name}|same\.bin"
    with pytest.raises(DigestMismatch, match=named) as raised:
        local_copy(client, version.id, cache=cache)
    assert "repair" in str(raised.value.hint)
    assert visible(cache) == []


PROGRAM = """
import os, sys, time
from pathlib import Path
from orchestrator.sdk.client import Client
from orchestrator.sdk.copies.blob_files import BlobFiles
from orchestrator.sdk.copies.local_copy import local_copy
url, token, version, cache, doing = sys.argv[1:]
if doing == "slowly":
    write = BlobFiles.write
    def slow(self, entry, data):
        write(self, entry, data)
        print("wrote", flush=True)
        time.sleep(0.2)
    BlobFiles.write = slow
print(local_copy(Client(url, token), version, cache=Path(cache)), flush=True)
if doing == "stays":
    sys.stdin.read()
"""


def start(server: RunningServer, version: Dataset, cache: Cache, doing: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, server.url, server.token, version.id, str(cache.root), doing]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str], *, by: signal.Signals = signal.SIGKILL) -> None:
    process.send_signal(by)
    process.communicate(timeout=30)


def test_two_processes_at_once_make_one_tree(
    server: RunningServer, version: Dataset, folder: Path, cache: Cache
) -> None:
    started = [start(server, version, cache, "slowly") for _ in range(2)]
    wrote = [process.communicate(timeout=120)[0].splitlines() for process in started]
    assert {lines[-1] for lines in wrote} == {str(cache.tree(version.id))}
    assert sorted(len(lines) > 1 for lines in wrote) == [False, True]  # one of them fetched, the other waited
    assert files(cache.tree(version.id)) == files(folder)


def test_a_process_that_is_killed_leaves_nothing_to_be_seen(
    server: RunningServer, version: Dataset, folder: Path, cache: Cache
) -> None:
    process = start(server, version, cache, "slowly")
    assert line(process) == line(process) == "wrote"
    end(process)
    assert visible(cache) == []
    with Client(server.url, server.token) as client:
        copy = local_copy(client, version.id, cache=cache)
    assert files(copy) == files(folder)
    assert not cache.draft(version.id).exists()
    assert cache.evict(1 << 40).left_bytes == cache.usage()


def test_what_another_process_uses_is_not_evicted_until_it_ends(
    server: RunningServer, version: Dataset, folder: Path, cache: Cache
) -> None:
    process = start(server, version, cache, "stays")
    try:
        assert line(process) == str(cache.tree(version.id))
        assert cache.evict(0).names == []
        assert [tree.in_use for tree in cache.trees()] == [True]
        assert files(cache.tree(version.id)) == files(folder)
    finally:
        end(process)
    assert cache.evict(0).names == [version.id]
    assert cache.usage() == 0
    with Client(server.url, server.token) as client:
        assert files(local_copy(client, version.id, cache=cache)) == files(folder)


def test_a_cache_that_is_too_small_for_two_serves_many_processes(
    server: RunningServer, version: Dataset, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRAIN_CACHE_BYTES", "5100000")
    (folder / "large.bin").write_bytes(os.urandom(5_000_000))
    (folder / "same.bin").unlink()
    other = Dataset.create(version.name, version.project)
    other.add_files(folder)
    other.finalize(auto_upload=True)
    cache = Cache(tmp_path / "cache")
    for _ in range(2):
        started = [start(server, each, cache, "at once") for each in (version, other, version, other)]
        assert [process.communicate(timeout=120)[1] for process in started] == [None] * 4
        assert {process.returncode for process in started} == {0}
    assert 1 <= len(visible(cache)) <= 2
    assert cache.evict(5_100_000).left_bytes <= 5_100_000


def test_a_copy_serves_by_hand_while_the_server_is_away(server: RunningServer, version: Dataset, cache: Cache) -> None:
    with Client(server.url, server.token) as client:
        copy = local_copy(client, version.id, cache=cache)
        part = local_copy(client, version.id, cache=cache, subset=Subset(part=0, parts=2))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        away = Client(f"http://127.0.0.1:{free.getsockname()[1]}")
        assert local_copy(away, version.id, cache=cache, unasked=True) == copy
        assert local_copy(away, version.id, cache=cache, unasked=True, subset=Subset(part=0, parts=2)) == part
        with pytest.raises(ServerUnreachable):
            local_copy(away, version.id, cache=cache, unasked=True, subset=Subset(part=1, parts=2))
        with pytest.raises(ServerUnreachable):
            local_copy(away, version.id, cache=cache)


def test_a_file_that_is_opened_costs_one_block_and_its_bytes(client: Counting, version: Dataset, folder: Path) -> None:
    root = DatasetPath.root(client, version.id)
    path = root / "class1" / "07.bin"
    assert path.read_bytes() == (folder / "class1" / "07.bin").read_bytes()
    reading = ["/storages"] if client.knows_storages else ["/storages", "/blobs/…"]
    assert client.asked == ["/datasets/…/manifest", "/datasets/…/blocks", *reading]
    client.asked.clear()
    with path.open("rb") as opened:
        assert len(opened.read()) == 1007
    assert path.stat().st_size == 1007
    assert client.asked == []
    trees = Cache(Path(os.environ["RETRAIN_HOME"]) / "cache").trees()
    assert [(tree.name, tree.in_use) for tree in trees] == [(f"{version.id}.view", True)]


def test_files_of_a_view_come_at_the_same_time_but_each_once(
    client: Counting, version: Dataset, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = DatasetPath.root(client, version.id)
    paths = [root / "class1" / "07.bin", root / "class2" / "08.bin"]
    met = threading.Barrier(len(paths), timeout=10)
    fetch, fetched = Fetcher.fetch, []

    def meet(self: Fetcher, entries: list[Entry]) -> None:
        fetched.append([entry.path for entry in entries])
        met.wait()
        fetch(self, entries)

    monkeypatch.setattr(Fetcher, "fetch", meet)
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda path: path.read_bytes(), paths * 2))
    assert read == [(folder / str(path)).read_bytes() for path in paths] * 2
    assert sorted(fetched) == [["class1/07.bin"], ["class2/08.bin"]]
    kept = Cache(Path(os.environ["RETRAIN_HOME"]) / "cache")
    assert not list(kept.folder.glob("*.making"))
    assert len(list(kept.contents(f"{version.id}.view").entries())) == 2


def test_a_view_is_like_a_path(client: Counting, version: Dataset, folder: Path) -> None:
    root = DatasetPath.root(client, version.id)
    assert [path.name for path in root.iterdir()] == sorted(path.name for path in folder.iterdir())
    assert [str(path) for path in (root / "class2").iterdir()][:2] == ["class2/02.bin", "class2/05.bin"]
    for pattern in ("*.sh", "class?/0*.bin", "**/*.bin", "class1/**/*", "**", "class0/*.bin", "c*0", "nothing/*"):
        found = {path.as_posix() for path in root.glob(pattern)} - {"."}
        assert found == {path.relative_to(folder).as_posix() for path in folder.glob(pattern)} - {"."} | (
            set(files(folder)) if pattern == "**" else set()
        ), pattern
    assert [path.name for path in root.rglob("2?.bin")] == sorted(
        (path.name for path in folder.rglob("2?.bin")), key=lambda name: (int(name[:2]) % 3, name)
    )
    script = root / "run.sh"
    assert (script.name, script.stem, script.suffix, script.parent) == ("run.sh", "run", ".sh", root)
    assert script.read_text() == "#!/bin/sh\n"
    assert os.access(script, os.X_OK)
    assert (root.is_dir(), root.is_file(), script.is_dir(), script.is_file()) == (True, False, False, True)
    assert not (root / "class9").exists()
    assert not (root / "class1" / "07").exists()
    with pytest.raises(FileNotFoundError):
        (root / "absent.bin").read_bytes()
    with pytest.raises(FileNotFoundError):
        list((root / "absent").iterdir())
    with pytest.raises(NotADirectoryError):
        list(script.iterdir())
    with pytest.raises(IsADirectoryError):
        open(root / "class1")  # noqa: PTH123, SIM115  what others do with it
    with pytest.raises(OSError, match="Read-only"):
        script.open("w")
    assert len({script, root / "run.sh", root / "plain.sh"}) == 2


def test_a_view_can_be_sent_to_another_process(version: Dataset, server: RunningServer, folder: Path) -> None:
    with Client(server.url, server.token) as client:
        sent = pickle.dumps(DatasetPath.root(client, version.id) / "class1" / "07.bin")
    program = "import pickle, sys; sys.stdout.buffer.write(pickle.loads(sys.stdin.buffer.read()).read_bytes())"
    got = subprocess.run([sys.executable, "-c", program], input=sent, stdout=subprocess.PIPE, check=True).stdout
    assert got == (folder / "class1" / "07.bin").read_bytes()


def test_listing_one_directory_does_not_read_the_whole_manifest(server: RunningServer, tmp_path: Path) -> None:
    root = tmp_path / "many"
    for name, count in (("a", 1), ("b", 12_000), ("c", 1)):
        (root / name).mkdir(parents=True)
        for number in range(count):
            (root / name / f"{number}.txt").write_text(name)
    made = Dataset.create("many", "copies")
    made.add_files(root)
    made.finalize(auto_upload=True)
    with Counting(server) as client:
        view = DatasetPath.root(client, made.id)
        assert [path.name for path in view.iterdir()] == ["a", "b", "c"]
        assert client.asked.count("/datasets/…/blocks") <= 4
        assert len(view._version.files._blocks) < 10 < len(view._version.files._files.manifest.blocks)
        client.asked.clear()
        assert sum(1 for _ in view.rglob("*.txt")) == 12_002
        assert client.asked.count("/datasets/…/blocks") <= 10


class Run:
    """As much of a run's directory as the node's data needs."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        self.claim_file = path / "claim.json"
        self.claim_file.touch()
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def node_data(cache: Cache, run: Run, client: Client) -> NodeData:
    directory: RunDirectory = run  # type: ignore[assignment]  see above
    return NodeData(cache.root, run=directory, client=client, links=LinkPolicy(), patience_seconds=5)


def test_a_node_fills_its_cache_once_for_two_attempts(
    client: Counting, version: Dataset, folder: Path, cache: Cache, tmp_path: Path
) -> None:
    runs = [Run(tmp_path / "one"), Run(tmp_path / "two")]
    nodes = [node_data(cache, run, client) for run in runs]
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda node=node: found.append(node.folder(version.id, Subset()))) for node in nodes
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert len(set(found)) == 1
    assert files(found[0]) == files(folder)
    assert sum(map(len, (run.said for run in runs))) == 1
    file = nodes[0].file(version.id, "class1/07.bin")
    assert file.read_bytes() == (folder / "class1" / "07.bin").read_bytes()
    with pytest.raises(NotFound, match="absent"):
        nodes[0].file(version.id, "absent")
    for name in cache.names():
        cache.let_go(name)  # as when the supervisors are killed
    assert cache.evict(0).names == []
    nodes[0].let_go()
    assert cache.evict(0).names == [f"{version.id}.view"]
    runs[1].claim_file.unlink()  # as when the run is cleaned away after its end
    assert cache.evict(0).names == [version.id]


@pytest.mark.parametrize("url", ["https://127.0.0.1:1/far", "https://localhost:1/far", "s3://bucket/far"])
def test_a_node_follows_no_link_that_only_it_can_reach(
    client: Counting, cache: Cache, tmp_path: Path, request: pytest.FixtureRequest, url: str
) -> None:
    made = Dataset.create(f"inside {request.node.name}"[:100], "copies")
    far = {"path": "far", "kind": "external", "size_bytes": 1, "url": url}
    client.post(f"/datasets/{made.id}/entries", {"put": [far]})
    made.finalize(auto_upload=True)
    directory: RunDirectory = Run(tmp_path / "run")  # type: ignore[assignment]  see above
    settings = AgentSettings(home=tmp_path, url="", token="", redis_url="", slots=())
    node = NodeData(cache.root, run=directory, client=client, links=settings.links, patience_seconds=5)
    with pytest.raises(Forbidden, match="This agent does not follow"):
        node.folder(made.id, Subset())
    with pytest.raises(Forbidden, match="This agent does not follow"):
        node.file(made.id, "far")


@pytest.mark.redis
def test_attempts_get_the_node_s_copy(server: RunningServer, version: Dataset, folder: Path, tmp_path: Path) -> None:
    script = (
        "from orchestrator import Dataset\n"
        f"data = Dataset.get(dataset_id='{version.id}')\n"
        "copy = data.get_local_copy()\n"
        "print('copy', copy, sum(1 for path in copy.rglob('*') if path.is_file()))\n"
        "part = data.get_local_copy(part=1, num_parts=2)\n"
        "print('part', sum(1 for path in part.rglob('*') if path.is_file()))\n"
        "print('file', (data.open() / 'class1' / '07.bin').read_bytes().hex())\n"
    )
    with (
        Client(server.url, server.token) as client,
        tempfile.TemporaryDirectory(prefix="agent-", ignore_cleanup_errors=True) as home,
        running_agent(Path(home), server),
    ):
        texts = []
        for number in range(2):
            task = create_script_task(client, script, directory=tmp_path, name=f"task {number}")
            client.post(f"/tasks/{task}/enqueue", {})

            def done(task: str = task) -> bool:
                return client.get(f"/tasks/{task}")["task"]["status"] in {"completed", "failed", "stopped"}

            wait_for(done, seconds=60, what="the end of the task")
            texts.append(client.get(f"/tasks/{task}/console")["text"])
        cache = Cache(Path(home) / "cache")
        for text in texts:
            assert f"copy {cache.tree(version.id)} 35" in text
            assert "part 17\n" in text
            assert f"file {(folder / 'class1' / '07.bin').read_bytes().hex()}" in text
        assert "downloading data" in texts[0]
        assert "downloading data" not in texts[1]
        assert files(cache.tree(version.id)) == files(folder)

        def unused() -> bool:
            return not any(tree.in_use for tree in cache.trees())

        wait_for(unused, what="the supervisors' end")
        assert len(cache.evict(0).names) == 3


@pytest.mark.docker
@pytest.mark.redis
def test_a_container_cannot_write_to_the_node_s_copy(
    server: RunningServer, version: Dataset, folder: Path, tmp_path: Path, docker_image: str
) -> None:
    script = (
        "from orchestrator import Dataset\n"
        f"data = Dataset.get(dataset_id='{version.id}')\n"
        "for file in (data.get_local_copy() / 'class1' / '07.bin', data.open() / 'class1' / '07.bin'):\n"
        "    with open(file, 'rb') as opened:\n"
        "        print(opened.read(8).hex())\n"
        "for file in (data.get_local_copy() / 'class1' / '07.bin', data.get_local_copy() / 'new'):\n"
        "    try:\n"
        "        file.open('ab')\n"
        "    except OSError as error:\n"
        "        print('refused', error.strerror)\n"
    )
    with (
        Client(server.url, server.token) as client,
        tempfile.TemporaryDirectory(prefix="agent-", ignore_cleanup_errors=True) as home,
        running_agent(Path(home), server, executor="docker", image=docker_image),
    ):
        task = create_script_task(client, script, directory=tmp_path)
        client.post(f"/tasks/{task}/enqueue", {})

        def done() -> bool:
            return client.get(f"/tasks/{task}")["task"]["status"] in {"completed", "failed", "stopped"}

        wait_for(done, seconds=60, what="the end of the task")
        text = client.get(f"/tasks/{task}/console")["text"]
        begin = (folder / "class1" / "07.bin").read_bytes()[:8].hex()
        assert text.splitlines()[-4:-2] == [begin, begin], text
        assert [line.partition(" ")[0] for line in text.splitlines()[-2:]] == ["refused", "refused"], text
        assert text.endswith("Read-only file system\n"), text
