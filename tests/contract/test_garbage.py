"""Collecting garbage never takes what is named, whatever happens between two of its steps."""

from __future__ import annotations

import os
import time
import uuid
from contextlib import closing
from datetime import timedelta
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import pytest
from blake3 import blake3

from orchestrator.blobs import open_objects
from orchestrator.errors import Conflict, InvalidRequest, NotFound, Unavailable
from orchestrator.records.blob import PlacedAt, StoredObject
from orchestrator.records.dataset import ManifestEntry
from orchestrator.records.manifest import named, raw
from orchestrator.services import collect_garbage as collecting
from orchestrator.services import verify_dataset as verifying
from orchestrator.services.blobs import forget_blob, pin_blobs
from orchestrator.services.collect_garbage import collect_garbage
from orchestrator.services.create_dataset import create_dataset
from orchestrator.services.dataset_entries import edit_entries
from orchestrator.services.dataset_metadata import put_metadata
from orchestrator.services.delete_dataset import delete_dataset, freed_by_deleting
from orchestrator.services.finalize import prepare_finalize
from orchestrator.services.ids import SYSTEM
from orchestrator.services.named_blobs import Range, ranges
from orchestrator.services.read_bytes import span_of
from orchestrator.services.results import put_dataset_report
from orchestrator.services.storage_access import Storages
from orchestrator.services.storages import put_storage
from orchestrator.services.verify_dataset import verify_files
from orchestrator.store.sql import open_store
from orchestrator.wire import Collected, CreateDataset, EditEntries, Freed, PutMetadata, PutReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from typing import Never

    from orchestrator.blobs import BlobStore, Pack, Span
    from orchestrator.store.protocol import Store, Transaction


class Depot:
    """A store of records with a storage of bytes."""

    def __init__(self, store: Store, root: Path) -> None:
        self.store = store
        self.root = root
        self.storages = Storages(store, default_url=str(root))
        self.storages.register_default()

    @property
    def blobs(self) -> BlobStore:
        return self.storages.of("default")

    def pack(self, contents: Iterable[bytes]) -> list[bytes]:
        """Store blobs in a pack, pinned by nobody."""

        def record(pack: Pack) -> None:
            placed = [PlacedAt(raw(blob.digest), blob.offset, blob.size_bytes) for blob in pack.blobs]
            self.store.write(
                lambda tx: tx.blobs.add_object(StoredObject("default", pack.path, pack.size_bytes), blobs=placed)
            )

        digests = []
        with self.blobs.packs(on_pack=record) as packs:
            for data in contents:
                digests.append(blake3(data).digest())
                packs.add(named(digests[-1]), data)
        return digests

    def put(self, data: bytes) -> bytes:
        """Store a blob as an object of its own, pinned by nobody."""
        stored = self.blobs.put([data])
        placed = PlacedAt(raw(stored.digest), 0, len(data))
        self.store.write(
            lambda tx: tx.blobs.add_object(StoredObject("default", stored.path, len(data)), blobs=[placed])
        )
        return placed.digest

    def draft(self, *digests: bytes, size_bytes: int = 100, parents: tuple[str, ...] = ()) -> str:
        body = CreateDataset(project="p", name=uuid.uuid4().hex, parents=parents)
        version = self.store.write(partial(create_dataset, actor=SYSTEM, body=body)).id
        self.edit(version, *digests, size_bytes=size_bytes)
        return version

    def edit(self, version: str, *digests: bytes, size_bytes: int = 100) -> None:
        entries = tuple(
            ManifestEntry(path=f"{number}-{digest.hex()}", digest=named(digest), size_bytes=size_bytes)
            for number, digest in enumerate(digests)
        )
        self.store.write(partial(edit_entries, actor=SYSTEM, version_id=version, body=EditEntries(put=entries)))

    def delete(self, version: str) -> Freed:
        freed = self.store.read(partial(freed_by_deleting, actor=SYSTEM, version_id=version, force=False))
        self.store.write(partial(delete_dataset, actor=SYSTEM, version_id=version, force=False))
        return freed

    def collect(self, *, grace_seconds: float = 0.0, dry_run: bool = False) -> Collected:
        return collect_garbage(self.store, storages=self.storages, grace_seconds=grace_seconds, dry_run=dry_run)

    def readable(self, digest: bytes) -> bool:
        try:
            place = self.store.read(lambda tx: tx.blobs.get(digest))
            return sum(map(len, self.blobs.read(span_of(place), digest=named(digest)))) == place.size_bytes
        except NotFound:
            return False

    def files(self) -> set[str]:
        return {listed.path for folder in ("packs", "blake3") for listed in self.blobs.objects.listing(folder)}

    def recorded(self) -> set[str]:
        files = sorted(self.files())
        return self.store.read(lambda tx: tx.blobs.object_paths("default", files))


@pytest.fixture
def depot(store: Store, tmp_path: Path) -> Depot:
    return Depot(store, tmp_path / "blobs")


def some(number: int, size_bytes: int = 100) -> list[bytes]:
    return [os.urandom(size_bytes) for _ in range(number)]


def test_what_nothing_names_goes_and_what_a_draft_names_stays(depot: Depot) -> None:
    kept, gone = depot.put(some(1)[0]), depot.put(some(1)[0])
    depot.draft(kept)
    done = depot.collect()
    assert (done.deleted_blobs, done.freed_bytes, done.condemned_blobs) == (1, 100, 0)
    assert depot.readable(kept)
    assert not depot.readable(gone)
    assert len(depot.files()) == 1


def test_within_the_grace_period_nothing_goes(depot: Depot) -> None:
    digest = depot.put(some(1)[0])
    for _ in range(2):
        done = depot.collect(grace_seconds=3600)
        assert (done.deleted_blobs, done.condemned_blobs, done.condemned_bytes) == (0, 1, 100)
    assert depot.readable(digest)


def test_what_was_condemned_long_enough_goes_with_the_next_collection(depot: Depot) -> None:
    digest = depot.put(some(1)[0])
    depot.store.write(lambda tx: tx.blobs.condemn([digest], at=tx.now() - timedelta(hours=2)))
    dry = depot.collect(grace_seconds=3600, dry_run=True)
    assert (dry.deleted_blobs, dry.freed_bytes) == (1, 100)
    assert depot.readable(digest)
    assert depot.collect(grace_seconds=3600).deleted_blobs == 1
    assert not depot.readable(digest)


def test_a_pack_of_which_little_is_used_is_rewritten(depot: Depot) -> None:
    digests = depot.pack(some(20))
    depot.draft(*digests[:3])
    (before,) = depot.files()
    size_bytes = (depot.root / before).stat().st_size
    done = depot.collect()
    (after,) = depot.files()
    assert after != before
    assert 300 < (depot.root / after).stat().st_size < 600
    assert (done.deleted_blobs, done.freed_bytes) == (17, size_bytes - (depot.root / after).stat().st_size)
    assert [depot.readable(digest) for digest in digests] == [True] * 3 + [False] * 17


def test_a_pack_that_would_not_get_smaller_stays(depot: Depot) -> None:
    depot.draft(*depot.pack([b"tiny"]), size_bytes=4)
    before = depot.files()
    depot.collect()
    assert depot.files() == before


def test_a_damaged_blob_in_a_sparse_pack_is_forgotten_and_the_others_are_moved(depot: Depot) -> None:
    digests = depot.pack(some(20))
    depot.draft(*digests[:3])
    (path,) = depot.files()
    data = bytearray((depot.root / path).read_bytes())
    data[150] ^= 1
    (depot.root / path).write_bytes(data)
    depot.collect()
    assert [depot.readable(digest) for digest in digests[:3]] == [True, False, True]
    depot.collect()
    assert [depot.readable(digest) for digest in digests[:3]] == [True, False, True]
    assert path not in depot.files()


def test_what_is_lost_is_known_for_as_long_as_something_needs_it(depot: Depot) -> None:
    kept, unused = depot.put(b"kept" * 25), depot.put(b"unused" * 20)
    depot.draft(kept)
    for digest in (kept, unused):
        place = depot.store.read(lambda tx, it=digest: tx.blobs.get(it))  # type: ignore[misc]
        depot.store.write(partial(forget_blob, digest=digest, place=place))
    depot.collect(dry_run=True)
    assert depot.store.read(lambda tx: tx.blobs.lost()) == {kept, unused}
    depot.collect()
    assert depot.store.read(lambda tx: tx.blobs.lost()) == {kept}


def test_pinned_blobs_stay(depot: Depot) -> None:
    digest = depot.put(some(1)[0])
    depot.store.write(partial(pin_blobs, actor=SYSTEM, digests=[digest]))
    assert depot.collect().deleted_blobs == 0
    assert depot.readable(digest)


def test_deleting_says_just_what_nothing_else_names(depot: Depot) -> None:
    shared, own, elsewhere = (depot.put(data) for data in some(3))
    version = depot.draft(shared, own, own, elsewhere)
    depot.draft(shared)
    task_only = named(elsewhere)
    depot.store.write(lambda tx: tx.tasks.put_artifact(artifact(tx, digest=task_only)))
    assert depot.delete(version) == Freed(files=2, size_bytes=100)
    depot.collect()
    assert [depot.readable(digest) for digest in (shared, own, elsewhere)] == [True, False, True]


def artifact(tx: Transaction, *, digest: str) -> object:
    from orchestrator.records.task import Artifact, Task  # noqa: PLC0415  one test's own
    from orchestrator.services.ids import new_id  # noqa: PLC0415

    now = tx.now()
    task = Task(
        id=new_id(), project="p", name="n", type="training", created_at=now, created_by=SYSTEM.id, changed_at=now
    )
    tx.tasks.add(task)
    return Artifact(
        task_id=task.id, attempt=1, name="a", kind="file", filename="a", digest=digest, size_bytes=100, created_at=now
    )


def between(monkeypatch: pytest.MonkeyPatch, *, do: Callable[[], object]) -> None:
    """Do something once, after a mark has read what is named and before anything is written."""
    read, times = collecting._named, count()

    def reading(transaction: Transaction, *, within: Range) -> object:
        found = read(transaction, within=within)
        if not next(times):
            pending.append(do)
        return found

    pending: list[Callable[[], object]] = []
    judge = collecting._Collection._judge

    def judging(self: object, *arguments: object, **named: object) -> None:
        while pending:
            pending.pop()()
        judge(self, *arguments, **named)

    monkeypatch.setattr(collecting, "_named", reading)
    monkeypatch.setattr(collecting._Collection, "_judge", judging)


@pytest.mark.parametrize("how", ["pinned", "stored again", "named by a draft"])
def test_what_comes_to_use_between_mark_and_sweep_stays(
    depot: Depot, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    data = some(1)[0]
    digest = depot.put(data)
    draft = depot.draft(depot.put(some(1)[0]))
    depot.store.write(lambda tx: tx.blobs.condemn([digest], at=tx.now() - timedelta(hours=2)))
    deeds: dict[str, Callable[[], object]] = {
        "pinned": lambda: depot.store.write(partial(pin_blobs, actor=SYSTEM, digests=[digest])),
        "stored again": lambda: depot.put(data),
        "named by a draft": lambda: depot.edit(draft, digest),
    }
    between(monkeypatch, do=deeds[how])
    assert depot.collect(grace_seconds=3600).deleted_blobs == 0
    assert depot.readable(digest)


def test_what_is_stored_again_while_its_object_is_being_deleted_stays(
    depot: Depot, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = some(1)[0]
    digest = depot.put(data)
    delete = collecting._Collection._delete

    def deleting(self: object, *arguments: object, **named: object) -> None:
        depot.put(data)
        delete(self, *arguments, **named)

    monkeypatch.setattr(collecting._Collection, "_delete", deleting)
    assert depot.collect().deleted_blobs == 1
    assert depot.readable(digest)


class Crash(Exception):
    """The process dies here."""


@pytest.mark.parametrize("step", ["write", "delete"])
def test_a_crash_at_any_step_loses_nothing_and_the_next_collection_does_the_rest(
    depot: Depot, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    for stop in count(1):
        kept = [*depot.pack(some(12))[:3], depot.put(some(1)[0]), depot.pack(some(2))[0]]
        for data in some(2):
            depot.put(data)
        version = depot.draft(*kept)
        gone = depot.draft(*depot.pack(some(3)))
        depot.delete(gone)
        with monkeypatch.context() as patch:
            crash_at(patch, depot, step=step, stop=stop)
            try:
                depot.collect()
            except Crash:
                crashed = True
            else:
                crashed = False
        assert all(map(depot.readable, kept))
        depot.edit(version, *kept)
        age(depot)
        depot.collect()
        assert all(map(depot.readable, kept))
        assert depot.files() == depot.recorded()
        assert depot.store.read(lambda tx: tx.blobs.sparse_objects(most_used=0.4)) == []
        if not crashed:
            assert stop > 3
            return


def crash_at(patch: pytest.MonkeyPatch, depot: Depot, *, step: str, stop: int) -> None:
    calls = count(1)
    target, name = (depot.store, "write") if step == "write" else (depot.blobs.objects, "delete")
    real = getattr(target, name)

    def crashing(*arguments: object, **named: object) -> object:
        if next(calls) == stop:
            raise Crash
        return real(*arguments, **named)

    patch.setattr(target, name, crashing)


def age(depot: Depot) -> None:
    """Make what lies in the storage two days old."""
    for path in depot.files():
        os.utime(depot.root / path, (0, 0))


def test_files_that_nobody_recorded_go_when_they_are_old(depot: Depot) -> None:
    path = depot.root / "packs" / "ab" / f"ab{'0' * 30}.pack"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    depot.collect()
    assert path.exists()
    os.utime(path, (0, 0))
    assert depot.collect().freed_bytes == 1
    assert not path.exists()


def test_blocks_that_no_manifest_names_go(depot: Depot) -> None:
    digests = depot.pack(some(3))
    version = depot.draft(*digests)
    blocks = [block.digest for block in depot.store.read(lambda tx: tx.datasets.manifest(version)).blocks]
    depot.edit(version, *depot.pack(some(1)))
    depot.collect()
    with pytest.raises(NotFound):
        depot.store.read(lambda tx: tx.datasets.blocks(blocks))


def test_one_collection_at_a_time(depot: Depot) -> None:
    with depot.store.hold("collect"), pytest.raises(Conflict):
        depot.collect()
    depot.collect()


def test_a_storage_that_is_away_is_left_alone_and_nothing_of_it_is_forgotten(depot: Depot) -> None:
    kept = [*depot.pack(some(20))[:2], depot.put(some(1)[0])]
    depot.draft(*kept)
    away = depot.root.rename(depot.root.with_name("away"))
    assert depot.collect().unreachable == ("default",)
    assert not depot.root.exists()
    away.rename(depot.root)
    assert all(map(depot.readable, kept))


def test_a_storage_that_goes_while_it_is_tidied_up_loses_nothing(depot: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = depot.pack(some(20))[:2]
    depot.draft(*kept)
    away = depot.root.with_name("away")
    read_many = type(depot.blobs).read_many

    def reading(self: BlobStore, blobs: Iterable[tuple[str, Span]]) -> Iterable[tuple[str, bytes]]:
        if not away.exists():
            depot.root.rename(away)
        return read_many(self, blobs)

    monkeypatch.setattr(type(depot.blobs), "read_many", reading)
    with pytest.raises(Unavailable, match="not the storage"):
        depot.collect()
    away.rename(depot.root)
    assert all(map(depot.readable, kept))


def verify(depot: Depot, version: str) -> list[str]:
    manifest = depot.store.read(lambda tx: tx.datasets.manifest(version))
    lines = verify_files(depot.store, storages=depot.storages, manifest=manifest, sample=1.0, forget=True)
    return [each.digest for line in lines for each in line.damaged]


def test_verifying_while_the_storage_is_away_forgets_nothing(depot: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [*depot.pack(some(3)), depot.put(some(1)[0])]
    version = depot.draft(*kept)
    away = depot.root.with_name("away")
    monkeypatch.setattr(verifying, "read_blobs", lambda _, wanted: gone(depot.root, away, wanted))
    with pytest.raises(Unavailable, match="not the storage"):
        verify(depot, version)
    monkeypatch.undo()
    away.rename(depot.root)
    assert verify(depot, version) == []
    place = depot.store.read(lambda tx: tx.blobs.get(kept[-1]))
    (depot.root / place.path).unlink()
    assert verify(depot, version) == [named(kept[-1])]
    assert depot.store.read(lambda tx: tx.blobs.missing(kept)) == [kept[-1]]


def gone(root: Path, away: Path, wanted: Iterable[object]) -> Iterator[Never]:
    """Read blobs from a storage that is unmounted just now."""
    list(wanted)
    root.rename(away)
    raise NotFound("no such object")
    yield


def test_a_server_whose_storage_is_not_mounted_does_not_start_with_an_empty_one(depot: Depot) -> None:
    depot.put(b"x")
    away = depot.root.rename(depot.root.with_name("away"))
    depot.root.mkdir()
    again = Storages(depot.store, default_url=str(depot.root))
    with pytest.raises(Unavailable, match=r"marker retrain-store\.json is not there"):
        again.register_default()
    assert list(depot.root.iterdir()) == []
    moved = Storages(depot.store, default_url=str(away))
    moved.register_default()
    assert moved.of("default").url == str(away)


def test_a_storage_of_another_database_is_refused_and_left_alone(depot: Depot, tmp_path: Path) -> None:
    digest = depot.put(some(1)[0])
    depot.draft(digest)
    with closing(open_store(f"sqlite:///{tmp_path}/other.sqlite")) as other:
        with pytest.raises(Conflict, match="belongs to another server"):
            Storages(other, default_url=str(depot.root)).register_default()
        (depot.root / "retrain-owner.json").unlink()
        theirs = Depot(other, depot.root)
        age(depot)
        assert depot.collect().unreachable == ("default",)
        assert depot.readable(digest)
        theirs.storages.confirm_ours("default")


def test_the_parts_of_an_upload_that_takes_long_stay_until_the_newest_is_old(depot: Depot) -> None:
    folder = depot.root / "parts" / "ab" / ("c" * 62)
    folder.mkdir(parents=True)
    parts = [folder / "00000", folder / "00001"]
    for part in parts:
        part.write_bytes(b"x")
    os.utime(parts[0], (0, 0))
    depot.collect()
    assert all(part.exists() for part in parts)
    os.utime(parts[1], (0, 0))
    assert depot.collect().freed_bytes == 2
    assert not any(part.exists() for part in parts)


def test_uploads_that_were_cut_off_long_ago_go_from_every_storage(depot: Depot, tmp_path: Path) -> None:
    lake = open_objects(str(tmp_path / "lake"))
    identity = depot.storages.take(lake)
    depot.store.write(partial(put_storage, actor=SYSTEM, name="lake", url=lake.url, identity=identity))
    left = [root / "uploads" / "left" for root in (depot.root, tmp_path / "lake")]
    for file in left:
        file.write_bytes(b"x")
    depot.collect()
    assert all(file.exists() for file in left)
    for file in left:
        os.utime(file, (0, 0))
    depot.collect()
    assert not any(file.exists() for file in left)


def test_a_storage_elsewhere_is_looked_at_again_after_a_while(depot: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = open_objects(f"memory://{uuid.uuid4().hex}")
    identity = depot.storages.take(lake)
    depot.store.write(partial(put_storage, actor=SYSTEM, name="lake", url=lake.url, identity=identity))
    depot.storages.of("lake")
    lake.put("retrain-store.json", b'{"id": "another"}')
    depot.storages.of("lake")
    with pytest.raises(Unavailable):
        depot.storages.confirm("lake")
    later = time.monotonic() + 61
    monkeypatch.setattr("orchestrator.services.storage_access.time.monotonic", lambda: later)
    with pytest.raises(Unavailable):
        depot.storages.of("lake")


def test_a_place_has_one_name(depot: Depot) -> None:
    identity = depot.blobs.objects.identity(create=False)
    with pytest.raises(Conflict, match="the storage 'default' already"):
        depot.store.write(partial(put_storage, actor=SYSTEM, name="b", url=str(depot.root), identity=identity))


def test_what_is_kept_with_a_version_goes_with_it(depot: Depot) -> None:
    file, table, image = (depot.put(data) for data in some(3))
    version = depot.draft(file)
    other = depot.draft(file)
    body = PutMetadata(kind="table", filename="t.csv", digest=named(table), size_bytes=100)
    depot.store.write(partial(put_metadata, actor=SYSTEM, version_id=version, name="t", body=body))
    picture = PutReport(title="i", series="", kind="image", data={"digest": named(image), "width": 1, "height": 1})
    depot.store.write(partial(put_dataset_report, actor=SYSTEM, version_id=version, body=picture))
    depot.store.write(lambda tx: tx.datasets.put_profile(version, {}))
    assert depot.delete(version) == Freed(files=2, size_bytes=200)
    depot.collect()
    assert [depot.readable(digest) for digest in (file, table, image)] == [True, False, False]
    left = depot.store.read(
        lambda tx: (tx.datasets.metadata(version), tx.datasets.profile(version), tx.reports.of(version))
    )
    assert left == ([], None, [])
    with pytest.raises(NotFound):
        depot.store.write(partial(put_dataset_report, actor=SYSTEM, version_id=version, body=picture))
    assert depot.delete(other) == Freed(files=1, size_bytes=100)


def test_an_object_that_another_process_deleted_before_it_was_recorded_is_sent_again(depot: Depot) -> None:
    place = depot.store.read(lambda tx: tx.blobs.get(depot.put(b"x")))
    depot.storages.require_kept("default", place.path)
    with depot.storages.deleting("default", place.path) as unrecorded:
        assert not unrecorded
    (depot.root / place.path).unlink()
    with pytest.raises(Unavailable, match="collected"):
        depot.storages.require_kept("default", place.path)


def test_files_whose_bytes_are_missing_are_named(depot: Depot) -> None:
    absent = [blake3(data).digest() for data in some(7)]
    with pytest.raises(InvalidRequest, match=r"7 files .*'0-[0-9a-f]+', '1-.* and 2 more"):
        depot.draft(*absent)


def test_memory_is_bounded_by_passes_over_ranges(depot: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = depot.pack(some(60))
    depot.draft(*digests[:30])
    monkeypatch.setattr(collecting, "ranges", lambda count: ranges(count, most=7))
    assert depot.collect().deleted_blobs == 30
    assert [depot.readable(digest) for digest in digests] == [True] * 30 + [False] * 30


def test_files_whose_bytes_went_before_a_version_is_final_are_named(depot: Depot) -> None:
    digest = depot.put(some(1)[0])
    version = depot.draft(digest)

    def remove(tx: Transaction) -> None:
        tx.blobs.condemn([digest], at=tx.now() - timedelta(hours=1))
        tx.blobs.remove_condemned([digest], before=tx.now())

    depot.store.write(remove)
    with pytest.raises(InvalidRequest, match=f"'0-{digest.hex()}'"):
        depot.store.read(partial(prepare_finalize, actor=SYSTEM, version_id=version))
