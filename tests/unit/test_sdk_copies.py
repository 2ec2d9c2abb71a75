"""Parts of local copies that need no server."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import AlreadyExists, DigestMismatch, InvalidPath, InvalidRequest
from orchestrator.records.manifest import NO_DIGEST, Entry, Kind, Manifest, order
from orchestrator.records.manifest_changes import edit
from orchestrator.sdk.copies import locks
from orchestrator.sdk.copies.cache import Cache
from orchestrator.sdk.copies.contents import Contents, blocks_of
from orchestrator.sdk.copies.mutable_copy import mutable_copy
from orchestrator.sdk.copies.raw_files import copy_contents, remove_tree
from orchestrator.sdk.copies.subset import Subset
from orchestrator.sdk.copies.trees import find_missing, make_tree
from orchestrator.settings import cache_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from orchestrator.sdk.client import Client

LIMIT = 1 << 30


def file(path: str, data: bytes = b"", *, kind: Kind = Kind.FILE) -> Entry:
    return Entry(path, int(kind), len(data), blake3(data).digest())


def directory(path: str) -> Entry:
    return Entry(path, int(Kind.DIRECTORY), 0, NO_DIGEST)


def content(size_bytes: int, seed: object) -> bytes:
    return blake3(repr(seed).encode()).digest(size_bytes)


class Files:
    """A manifest in memory."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        blocks: dict[bytes, bytes] = {}

        def save(data: bytes) -> bytes:
            blocks[blake3(data).digest()] = data
            return blake3(data).digest()

        def load(digests: Sequence[bytes]) -> Iterator[bytes]:
            return (blocks[digest] for digest in digests)

        self._load = load
        changes = sorted(((each.path, each) for each in entries), key=lambda change: order(change[0]))
        self._manifest = edit(Manifest(), changes, load=load, save=save)

    def entries(self, *, after: str | None = None, below: str | None = None) -> Iterator[Entry]:
        return self._manifest.entries(load=self._load, after=after, below=below)


def paths(subset: Subset, files: Files) -> list[str]:
    return [entry.path for entry in subset.entries(files)]  # type: ignore[arg-type]


class Stocked:
    """A cache that trees are made in without a server: the bytes are there."""

    def __init__(self, root: Path, *, limit_bytes: int = LIMIT) -> None:
        self.cache = Cache(root, limit_bytes=limit_bytes)

    def tree(
        self, name: str, files: dict[str, bytes], *, age_seconds: float = 0, entries: Iterable[Entry] = ()
    ) -> Path:
        made = [*(file(path, data) for path, data in files.items()), *entries]
        made.sort(key=lambda entry: order(entry.path))
        self.cache.use(name)
        missing = find_missing(made, blobs=self.cache.blobs)
        with self.cache.making(name) as making, self.cache.room(making, size_bytes=missing.size_bytes):
            for path, data in files.items():
                self.cache.blobs.write(file(path, data), data)
            self.cache.contents(name).write(blocks_of(made), version_id=name, title=name, subset="")
            make_tree(self.cache, name, client=NOBODY, making=making, progress=None)
        self.cache.let_go(name)
        used_at = time.time() - age_seconds
        os.utime(self.cache.use_lock(name), (used_at, used_at))
        return self.cache.tree(name)

    def blobs(self) -> list[Path]:
        return [path for path in (self.cache.root / "blobs").rglob("*") if path.is_file()]


NOBODY: Client = None  # type: ignore[assignment]  nobody is asked for what is there


@pytest.fixture
def stocked(tmp_path: Path) -> Iterator[Stocked]:
    made = Stocked(tmp_path / "cache")
    yield made
    for name in made.cache.names():
        made.cache.let_go(name)


segments = st.text(alphabet="ab.-é", min_size=1, max_size=3).filter(lambda part: part not in {".", ".."})


@given(st.sets(st.lists(segments, min_size=1, max_size=3).map("/".join), max_size=40), st.integers(1, 7))
def test_parts_are_disjoint_even_and_together_the_whole(names: set[str], parts: int) -> None:
    files = Files(
        file(name) for name in names if not any(other.startswith(f"{name}/") for other in names if other != name)
    )
    whole = paths(Subset(), files)
    dealt = [paths(Subset(part=part, parts=parts), files) for part in range(parts)]
    assert sorted(path for part in dealt for path in part) == sorted(whole)
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1


def test_directories_with_nothing_in_them_are_in_one_part() -> None:
    files = Files([file("a"), directory("b"), file("c"), directory("d")])
    assert [paths(Subset(part=part, parts=2), files) for part in (0, 1)] == [["a", "b", "d"], ["c"]]


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        (("*.csv",), ["a.csv", "sub/b.csv", "sub/deep/c.csv", "sub[1]/f.csv"]),
        (("sub",), ["sub/b.csv", "sub/deep/c.csv", "sub/deep/d.txt"]),
        (("sub/",), ["sub/b.csv", "sub/deep/c.csv", "sub/deep/d.txt"]),
        (("sub/deep/d.txt", "a.csv"), ["a.csv", "sub/deep/d.txt"]),
        (("sub[1]",), ["sub[1]/f.csv"]),
        (("su?/deep/*",), ["sub/deep/c.csv", "sub/deep/d.txt"]),
        (("nothing",), []),
    ],
)
def test_patterns_are_wildcards_paths_and_folders(patterns: tuple[str, ...], found: list[str]) -> None:
    names = ("a.csv", "sub/b.csv", "sub/deep/c.csv", "sub/deep/d.txt", "sub.txt", "sub[1]/f.csv")
    assert paths(Subset(patterns=patterns), Files(map(file, names))) == found


@pytest.mark.parametrize(("part", "parts"), [(None, 2), (0, None), (2, 2), (-1, 2), (0, 0)])
def test_a_part_that_is_none_is_refused(part: int | None, parts: int | None) -> None:
    with pytest.raises(InvalidRequest):
        Subset(part=part, parts=parts)


def test_every_subset_has_a_tree_of_its_own() -> None:
    subsets = [
        Subset(),
        Subset(part=0, parts=2),
        Subset(part=1, parts=2),
        Subset(patterns=("a",)),
        Subset(patterns=("a",), part=0, parts=2),
    ]
    assert len({each.tree_name("v") for each in subsets}) == len(subsets)
    assert Subset().tree_name("v") == Subset(part=0, parts=1).tree_name("v") == "v"
    assert Subset(patterns=("a", "b/")).tree_name("v") == Subset(patterns=("b", "a")).tree_name("v")


def test_contents_tell_what_a_tree_has_and_whether_they_are_whole(tmp_path: Path) -> None:
    contents = Contents(tmp_path / "some.files")
    assert contents.summary() is None
    entries = [file(f"{number:05}", b"x") for number in range(2000)]
    written = contents.write(blocks_of(entries), version_id="v", title="p/n 1.0.0", subset="")
    assert contents.summary() == written
    assert (written.files, written.size_bytes) == (2000, 2000)
    assert list(contents.entries()) == entries
    contents.path.write_bytes(contents.path.read_bytes()[:-100])
    assert contents.summary() is None
    contents.path.write_bytes(contents.path.read_bytes()[:30_000])
    with pytest.raises(DigestMismatch):
        list(contents.entries())


def test_blocks_of_old_caches_are_no_contents(tmp_path: Path) -> None:
    (tmp_path / "old.files").write_text('[["a.csv", "blake3:00", 1, 420]]')
    assert Contents(tmp_path / "old.files").summary() is None


def test_a_tree_has_its_directories_empty_ones_too_and_cannot_be_written_to(stocked: Stocked) -> None:
    tree = stocked.tree(
        "v", {"a": b"1", "d/e/f": b"2", "d/g": b"", "z": b"3"}, entries=[directory("d/h"), directory("empty")]
    )
    found = {path.relative_to(tree).as_posix(): path for path in tree.rglob("*")}
    assert sorted(found) == ["a", "d", "d/e", "d/e/f", "d/g", "d/h", "empty", "z"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in found.values() if path.is_dir()} == {0o555}
    assert {stat.S_IMODE(path.stat().st_mode) for path in found.values() if path.is_file()} == {0o444}
    assert stat.S_IMODE(tree.stat().st_mode) == 0o555
    assert found["d/e/f"].read_bytes() == b"2"


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a//b", ".", "x" * 256])
def test_names_are_checked_again_on_the_way_out(stocked: Stocked, tmp_path: Path, name: str) -> None:
    data = b"1"
    bad = file(name, data)
    stocked.cache.blobs.write(bad, data)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InvalidPath):
        stocked.tree("v", {}, entries=[bad])
    assert not stocked.cache.tree("v").exists()
    assert not stocked.cache.draft("v").exists()
    assert sorted(tmp_path.iterdir()) == before


def test_a_file_and_a_directory_of_one_name_make_no_tree(stocked: Stocked) -> None:
    data = b"1"
    stocked.cache.blobs.write(file("a", data), data)
    with pytest.raises((InvalidPath, NotADirectoryError)):
        stocked.tree("v", {}, entries=[file("a", data), file("a/b", data)])
    assert not stocked.cache.tree("v").exists()


def test_executable_files_are_files_of_their_own(stocked: Stocked) -> None:
    data = b"#!/bin/sh\n"
    script = file("run.sh", data, kind=Kind.EXECUTABLE)
    stocked.cache.blobs.write(file("plain", data), data)
    assert not stocked.cache.blobs.has(script)
    assert stocked.cache.blobs.take_from_twin(script)
    assert stocked.cache.blobs.has(script)
    modes = [Path(stocked.cache.blobs.path(each)).stat().st_mode for each in (script, file("plain", data))]
    assert list(map(stat.S_IMODE, modes)) == [0o555, 0o444]


def test_a_blob_that_another_process_left_unfinished_is_written_anew(stocked: Stocked) -> None:
    data = content(1000, "x")
    entry = file("a", data)
    stocked.cache.blobs.write(entry, data)
    half = Path(stocked.cache.blobs.path(entry))
    half.chmod(0o644)
    half.write_bytes(data[:500])
    assert not stocked.cache.blobs.has(entry)
    stocked.cache.blobs.write(entry, data)
    assert stocked.cache.blobs.has(entry)


def test_a_file_with_as_many_links_as_a_disk_allows_gets_a_copy(
    stocked: Stocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"label"
    real = os.link
    refused: list[str] = []

    def link(source: str, target: str) -> None:
        if Path(source).stat().st_nlink >= 4:
            refused.append(target)
            raise OSError(31, "Too many links")
        real(source, target)

    monkeypatch.setattr(os, "link", link)
    tree = stocked.tree("v", {f"{number}": data for number in range(10)})
    assert {path.read_bytes() for path in tree.iterdir()} == {data}
    assert len(refused) == 3
    assert stat.S_IMODE((tree / "9").stat().st_mode) == 0o444


def test_the_tree_that_was_not_used_for_longest_is_evicted_first(stocked: Stocked) -> None:
    for name, age_seconds in (("middle", 200), ("oldest", 300), ("newest", 100)):
        stocked.tree(name, {"own": content(1000, name), "shared": content(500, "shared")}, age_seconds=age_seconds)
    assert stocked.cache.usage() == 3500
    assert [tree.name for tree in stocked.cache.trees()] == ["oldest", "middle", "newest"]
    evicted = stocked.cache.evict(2500)
    assert evicted.names == ["oldest"]
    assert (evicted.freed_bytes, evicted.left_bytes) == (1000, 2500)  # what others link to stays
    assert stocked.cache.usage() == 2500
    assert stocked.cache.evict(0).names == ["middle", "newest"]
    assert stocked.cache.usage() == 0
    assert stocked.blobs() == []
    assert list(stocked.cache.folder.iterdir()) == []


def test_what_is_in_use_is_not_evicted(stocked: Stocked) -> None:
    stocked.tree("used", {"a": content(100, 1)}, age_seconds=100)
    stocked.tree("free", {"a": content(100, 2)})
    stocked.cache.use("used")
    assert stocked.cache.evict(0).names == ["free"]
    assert [(tree.name, tree.in_use) for tree in stocked.cache.trees()] == [("used", True)]
    stocked.cache.let_go("used")
    assert stocked.cache.evict(0).names == ["used"]


def test_what_a_file_keeps_is_not_evicted_while_that_exists(stocked: Stocked, tmp_path: Path) -> None:
    keeper = tmp_path / "claim.json"
    keeper.touch()
    stocked.tree("kept", {"a": content(100, 1)})
    stocked.cache.pin("kept", keeper=keeper)
    stocked.cache.pin("kept", keeper=keeper)
    assert stocked.cache.evict(0).names == []
    keeper.unlink()
    assert stocked.cache.evict(0).names == ["kept"]
    stocked.tree("again", {"a": content(100, 1)})
    keeper.touch()
    stocked.cache.pin("again", keeper=keeper)
    stocked.cache.unpin(keeper=keeper)
    assert stocked.cache.evict(0).names == ["again"]
    assert list(stocked.cache.folder.iterdir()) == []


def test_bytes_that_come_make_others_go(tmp_path: Path) -> None:
    stocked = Stocked(tmp_path / "cache", limit_bytes=2500)
    for number in range(5):
        stocked.tree(f"v{number}", {"a": content(1000, number)}, age_seconds=100 - number)
    assert [tree.name for tree in stocked.cache.trees()] == ["v3", "v4"]
    assert stocked.cache.usage() == 2000


def test_a_version_over_the_limit_is_made_all_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stocked = Stocked(tmp_path / "cache", limit_bytes=500)
    tree = stocked.tree("v", {"a": content(1000, 1)})
    assert (tree / "a").stat().st_size == 1000
    assert "RETRAIN_CACHE_BYTES" in capsys.readouterr().err


def test_usage_is_counted_anew_when_in_doubt(stocked: Stocked) -> None:
    stocked.tree("v", {"a": content(1000, 1)})
    for doubtful in (b"", b"12", b"x" * 20, b"1" * 30):
        (stocked.cache.root / "usage").write_bytes(doubtful)
        assert stocked.cache.usage() == 1000


def test_leftovers_of_killed_processes_are_swept(stocked: Stocked) -> None:
    stocked.tree("v", {"a": content(1000, 1)})
    orphan = content(10, "orphan")
    stocked.cache.blobs.write(file("orphan", orphan), orphan)
    gone = stocked.cache.folder / ".gone-0123"
    gone.mkdir()
    (gone / "half").touch()
    gone.chmod(0o555)
    left = stocked.cache.draft("other")
    left.mkdir()
    stocked.cache.use_lock("other").touch()
    incoming = stocked.cache.root / "incoming"
    incoming.mkdir(exist_ok=True)
    (incoming / "half").write_bytes(b"half")
    stocked.cache.evict(LIMIT)
    assert not gone.exists()
    assert not left.exists()
    assert stocked.cache.names() == ["v"]
    assert stocked.cache.blobs.has(file("orphan", orphan))  # it may be on its way into a tree
    assert (incoming / "half").exists()


def test_old_orphans_are_swept(stocked: Stocked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.sdk.copies.blob_files.ORPHAN_SECONDS", -10.0)
    orphan = content(10, "orphan")
    stocked.cache.blobs.write(file("orphan", orphan), orphan)
    with stocked.cache.blobs.incoming() as used:
        used.write_bytes(b"x")
        (used.parent / "half").write_bytes(b"half")
        assert stocked.cache.evict(LIMIT).left_bytes == 0
        assert used.exists()
        assert not (used.parent / "half").exists()
    assert stocked.blobs() == []


def test_files_that_were_written_to_are_restored(stocked: Stocked, capsys: pytest.CaptureFixture[str]) -> None:
    files = {"a": b"1", "d/b": b"22", "d/c": b"333"}
    tree = stocked.tree("v", files)
    (tree / "d").chmod(0o755)
    (tree / "d" / "b").unlink()
    (tree / "d" / "b").write_bytes(b"xx")
    stocked.tree("v", files)
    assert (tree / "d" / "b").read_bytes() == b"22"
    assert stat.S_IMODE((tree / "d").stat().st_mode) == 0o555
    assert "1 files" in capsys.readouterr().err


def test_a_folder_that_became_a_link_is_not_written_through(stocked: Stocked, tmp_path: Path) -> None:
    files = {"a": b"1", "d/b": b"22"}
    tree = stocked.tree("v", files)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    tree.chmod(0o755)
    remove_tree(tree / "d")
    (tree / "d").symlink_to(elsewhere)
    stocked.tree("v", files)
    assert list(elsewhere.iterdir()) == []
    assert not (tree / "d").is_symlink()
    assert (tree / "d" / "b").read_bytes() == b"22"


def test_a_lock_whose_file_was_removed_is_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locks.alone(path) as first:
        assert first is not None
        with locks.alone(path, wait=False) as second:
            assert second is None
        path.unlink()
        with locks.alone(path, wait=False) as third:
            assert third is not None
    locks.keep(path)
    path.unlink()
    locks.keep(path)
    assert locks.is_held(path)
    locks.let_go(path)
    assert not locks.is_held(path)


@pytest.fixture
def copy(stocked: Stocked) -> Path:
    tree = stocked.tree("v", {"a": b"1", "d/b": b"22"}, entries=[directory("empty")])
    (tree / "d" / "b").chmod(0o555)
    return tree


def test_a_mutable_copy_can_be_written_to_and_does_not_change_the_cache(copy: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "mine"
    assert mutable_copy(copy, target=target) == target
    modes = {path.relative_to(target).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in target.rglob("*")}
    assert modes == {"a": 0o644, "d": 0o755, "d/b": 0o755, "empty": 0o755}
    (target / "a").write_bytes(b"changed")
    assert (copy / "a").read_bytes() == b"1"


def test_a_mutable_copy_takes_an_empty_folder_and_no_other(copy: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine"
    target.mkdir()
    mutable_copy(copy, target=target)
    with pytest.raises(AlreadyExists):
        mutable_copy(copy, target=target)
    (target / "more").touch()
    mutable_copy(copy, target=target, overwrite=True)
    assert sorted(path.name for path in target.iterdir()) == ["a", "d", "empty"]
    (tmp_path / "file").touch()
    with pytest.raises(InvalidPath):
        mutable_copy(copy, target=tmp_path / "file", overwrite=True)
    with pytest.raises(InvalidPath):
        mutable_copy(copy, target=copy / "d", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "file", "mine"]


def test_the_folder_one_stands_in_keeps_its_place(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "mine"
    (target / "old").mkdir(parents=True)
    monkeypatch.chdir(target)
    mutable_copy(copy, target=target, overwrite=True)
    assert sorted(path.name for path in target.iterdir()) == ["a", "d", "empty"]
    assert Path.cwd() == target


@pytest.mark.parametrize("stays", [False, True])
def test_a_mutable_copy_that_fails_changes_nothing(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stays: bool
) -> None:
    target = tmp_path / "mine"
    (target / "old").mkdir(parents=True)
    if stays:
        monkeypatch.chdir(target)
    calls: list[object] = []

    def fails(real: Callable[..., None]) -> Callable[..., None]:
        def copy_or_fail(*arguments: object, **more: object) -> None:
            calls.append(arguments)
            if len(calls) == 2:
                raise OSError(5, "Input/output error")
            real(*arguments, **more)

        return copy_or_fail

    monkeypatch.setattr("orchestrator.sdk.copies.mutable_copy.copy_contents", fails(copy_contents))
    with pytest.raises(OSError, match="Input/output"):
        mutable_copy(copy, target=target, overwrite=True)
    assert [path.name for path in target.iterdir()] == ["old"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "mine"]


def test_holes_stay_holes(tmp_path: Path) -> None:
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as target:
        target.seek(50 << 20)
        target.write(b"data")
        target.truncate(100 << 20)
    copy_contents(sparse, tmp_path / "copy")
    found = (tmp_path / "copy").stat()
    assert found.st_size == 100 << 20
    assert found.st_blocks * 512 < 1 << 20
    with (tmp_path / "copy").open("rb") as copied:
        copied.seek(50 << 20)
        assert copied.read(5) == b"data\0"


def test_the_limit_comes_from_the_environment() -> None:
    assert cache_bytes({}) == 50 << 30
    assert cache_bytes({"RETRAIN_CACHE_BYTES": "1000"}) == 1000
    for wrong in ("0", "-1", "many", "1e9"):
        with pytest.raises(InvalidRequest, match="RETRAIN_CACHE_BYTES"):
            cache_bytes({"RETRAIN_CACHE_BYTES": wrong})
