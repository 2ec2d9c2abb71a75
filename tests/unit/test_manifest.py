"""Manifests against a dictionary that is sorted anew each time."""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import DigestMismatch, InvalidPath
from orchestrator.records.manifest import (
    NO_DIGEST,
    Entry,
    Kind,
    Manifest,
    decode_block,
    encode_block,
    named,
    order,
    raw,
)
from orchestrator.records.manifest_changes import Change, contested, diff, edit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Shelf:
    """Blocks by digest, and how many were read and written."""

    def __init__(self) -> None:
        self.blocks: dict[bytes, bytes] = {}
        self.read = self.written = 0

    def load(self, digests: Sequence[bytes]) -> list[bytes]:
        self.read += len(digests)
        return [self.blocks[digest] for digest in digests]

    def save(self, data: bytes) -> bytes:
        self.written += 1
        digest = hashlib.sha256(data).digest()
        self.blocks[digest] = data
        return digest

    def edited(self, manifest: Manifest, changes: dict[str, Entry | None]) -> Manifest:
        ordered = sorted(changes.items(), key=lambda pair: order(pair[0]))
        return edit(manifest, ordered, load=self.load, save=self.save)

    def made(self, entries: Iterable[Entry]) -> Manifest:
        return self.edited(Manifest(), {entry.path: entry for entry in entries})


def a_file(path: str, content: int = 0, size_bytes: int = 1) -> Entry:
    return Entry(path, Kind.FILE, size_bytes, hashlib.sha256(b"%d" % content).digest())


def many(count: int) -> list[Entry]:
    return [a_file(f"part-{number % 7}/{number:06}.png", number) for number in range(count)]


paths = st.lists(st.sampled_from(["a", "b", "a.b", "a-b", "B", "é", "0", " ", "x" * 40]), min_size=1, max_size=3).map(
    "/".join
)
files = st.dictionaries(paths, st.integers(0, 3), max_size=40)


def without_clashes(wanted: dict[str, int]) -> dict[str, Entry]:
    kept: dict[str, Entry] = {}
    for path, content in sorted(wanted.items()):
        if not any(path.startswith(f"{other}/") for other in wanted):
            kept[path] = a_file(path, content)
    return kept


@given(before=files, after=files)
def test_edits_and_differences_are_those_of_a_dictionary(before: dict[str, int], after: dict[str, int]) -> None:
    old, new = without_clashes(before), without_clashes(after)
    shelf = Shelf()
    manifest = shelf.made(old.values())
    changes: dict[str, Entry | None] = {path: None for path in old if path not in new}
    changes |= {path: entry for path, entry in new.items() if old.get(path) != entry}
    edited = shelf.edited(manifest, changes)
    assert list(edited.entries(load=shelf.load)) == sorted(new.values(), key=lambda entry: order(entry.path))
    assert edited == shelf.made(new.values())  # whatever led to it
    assert Manifest.decode(edited.encode()) == edited
    assert (edited.file_count, edited.size_bytes) == (len(new), len(new))
    found = list(diff(manifest, edited, load=shelf.load))
    assert found == [Change(path, old.get(path), changes[path]) for path in sorted(changes, key=order)]
    for path in {*old, *new, "nothing"}:
        assert edited.entry(path, load=shelf.load) == new.get(path)


@settings(max_examples=25)
@given(st.data())
def test_blocks_are_the_same_whatever_led_to_them(data: st.DataObject) -> None:
    entries = many(3000)
    shelf = Shelf()
    whole = shelf.made(entries)
    assert len(whole.blocks) > 2
    manifest, known = whole, {entry.path: entry for entry in entries}
    for _ in range(3):
        touched = data.draw(st.lists(st.integers(0, 3200), max_size=20, unique=True))
        changes: dict[str, Entry | None] = {}
        for number in touched:
            path = f"part-{number % 7}/{number:06}.png"
            changes[path] = data.draw(st.sampled_from([None, a_file(path, -number), a_file(path, number)]))
        manifest = shelf.edited(manifest, changes)
        known = {path: entry for path, entry in (known | changes).items() if entry is not None}
    assert manifest == shelf.made(known.values())


def test_a_version_that_changes_ten_files_writes_and_reads_at_most_that_many_blocks() -> None:
    shelf = Shelf()
    manifest = shelf.made(many(20_000))
    shelf.read = shelf.written = 0
    changed = shelf.edited(manifest, {entry.path: a_file(entry.path, -1) for entry in many(20_000)[::2000]})
    assert 0 < shelf.written <= 10
    assert shelf.read <= 10
    assert len(changed.blocks) == len(manifest.blocks) > 20
    shelf.read = 0
    assert len(list(diff(manifest, changed, load=shelf.load))) == 10
    assert shelf.read <= 20
    shelf.read = 0
    assert changed.entry("part-3/000010.png", load=shelf.load) == a_file("part-3/000010.png", 10)
    assert shelf.read == 1


def test_a_page_and_a_directory_are_read_in_part() -> None:
    shelf = Shelf()
    entries = sorted([*many(5000), a_file("part-3.txt"), a_file("part-3-x")], key=lambda entry: order(entry.path))
    manifest = shelf.made(entries)
    for at in (0, 1, 700, 4999):
        after = entries[at].path
        assert list(manifest.entries(load=shelf.load, after=after)) == entries[at + 1 :]
    assert list(manifest.entries(load=shelf.load, after="part-2/zzz")) == [
        entry for entry in entries if order(entry.path) > order("part-2/zzz")
    ]
    inside = [entry for entry in entries if entry.path.startswith("part-3/")]
    assert list(manifest.entries(load=shelf.load, below="part-3")) == inside
    assert list(manifest.entries(load=shelf.load, below="part-3", after=inside[5].path)) == inside[6:]
    assert list(manifest.entries(load=shelf.load, below="part-3.txt")) == [a_file("part-3.txt")]
    assert list(manifest.entries(load=shelf.load, below="part")) == []
    shelf.read = 0
    assert len(list(manifest.entries(load=shelf.load, below="part-6"))) == 714
    assert shelf.read < len(manifest.blocks)


@pytest.mark.parametrize(("one", "other"), [("a", "a/b"), ("a/b", "a/b/c/d")])
@pytest.mark.parametrize("between", [[], ["a-b", "a.b", "a0"]])
def test_no_name_is_file_and_directory(one: str, other: str, between: list[str]) -> None:
    shelf = Shelf()
    for first, second in ((one, other), (other, one)):
        manifest = shelf.made(a_file(path) for path in [first, *between])
        with pytest.raises(InvalidPath, match=f"'{one}' cannot be a file and a directory"):
            shelf.edited(manifest, {second: a_file(second)})
        replaced = shelf.edited(manifest, {second: a_file(second), first: None})
        assert replaced.entry(second, load=shelf.load) == a_file(second)


def test_an_empty_directory_gives_way_to_what_is_put_into_it() -> None:
    shelf = Shelf()
    manifest = shelf.made([Entry("a", Kind.DIRECTORY, 0, NO_DIGEST), a_file("b")])
    assert manifest.file_count == 1
    filled = shelf.edited(manifest, {"a/x": a_file("a/x")})
    assert [entry.path for entry in filled.entries(load=shelf.load)] == ["a/x", "b"]


def test_links_come_back_as_they_went_in() -> None:
    link = Entry("far", Kind.EXTERNAL, 7, NO_DIGEST, "s3://bucket/far", '"tag"')
    entries = [a_file("a"), link, a_file("new\nline", 3, size_bytes=1 << 40)]
    assert decode_block(encode_block(entries)) == entries
    assert decode_block(encode_block([])) == []


def test_two_sets_of_changes_contest_what_they_want_differently() -> None:
    mine = [Change("a", None, a_file("a", 1)), Change("b", a_file("b"), None), Change("c", None, a_file("c", 1))]
    theirs = [
        Change("a", None, a_file("a", 1)),
        Change("b", a_file("b"), a_file("b", 2)),
        Change("d", None, a_file("d")),
    ]
    assert list(contested(mine, theirs)) == ["b"]


@given(st.binary(max_size=60))
def test_other_bytes_are_refused(data: bytes) -> None:
    for read in (decode_block, Manifest.decode):
        with pytest.raises(DigestMismatch):
            read(data)


def test_a_block_that_was_cut_is_refused() -> None:
    data = encode_block(many(10))
    for length in range(0, len(data), 7):
        with pytest.raises(DigestMismatch):
            decode_block(data[:length])


def test_what_unpacks_to_more_than_any_block_has_is_refused() -> None:
    packed = zlib.compress(bytes(33 << 20))
    with pytest.raises(DigestMismatch, match="unpacks to more"):
        decode_block(struct.pack("<4sII", b"rtb1", 0, len(packed)) + packed)


def test_digests_have_names() -> None:
    digest = bytes(range(32))
    assert raw(named(digest)) == digest
    assert named(digest).startswith("blake3:0001")
