"""Several drafts from one version become final in any order: nobody's files vanish from the newest version."""

from __future__ import annotations

import uuid
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.errors import AlreadyExists, HeadMoved, InvalidPath, InvalidRequest
from orchestrator.records.blob import PlacedAt, StoredObject
from orchestrator.records.dataset import DatasetState, ManifestEntry
from orchestrator.records.manifest import Manifest, named
from orchestrator.services import finalize as finalizing
from orchestrator.services.create_dataset import create_dataset
from orchestrator.services.dataset_entries import edit_entries
from orchestrator.services.delete_dataset import delete_dataset
from orchestrator.services.finalize import (
    FinalizePlan,
    PlanOutdated,
    finalize_dataset,
    finalize_in_steps,
    prepare_finalize,
)
from orchestrator.services.ids import SYSTEM
from orchestrator.wire import CreateDataset, EditEntries

if TYPE_CHECKING:
    from orchestrator.records.dataset import DatasetVersion
    from orchestrator.store.protocol import Store

Files = dict[str, int]
"""Paths to numbers of contents."""

PATHS = ("a", "b", "c", "a/x", "a/y", "d/e", "d/f", "d/f/g", "h")
DIGESTS = [bytes([number]) * 32 for number in range(1, 5)]
CHANGES = st.dictionaries(st.sampled_from(PATHS), st.none() | st.integers(0, 3), max_size=5)


class Line:
    """One dataset."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.name = uuid.uuid4().hex

    def draft(self, *parents: str, version: str | None = None) -> str:
        body = CreateDataset(project="p", name=self.name, parents=parents, version=version)
        return self.store.write(partial(create_dataset, actor=SYSTEM, body=body)).id

    def edit(self, version_id: str, changes: dict[str, int | None]) -> None:
        put = tuple(
            ManifestEntry(path=path, digest=named(DIGESTS[content]), size_bytes=1)
            for path, content in changes.items()
            if content is not None
        )
        remove = tuple(path for path, content in changes.items() if content is None)
        body = EditEntries(put=put, remove=remove)
        self.store.write(partial(edit_entries, actor=SYSTEM, version_id=version_id, body=body))

    def prepare(self, version_id: str) -> FinalizePlan:
        return self.store.read(partial(prepare_finalize, actor=SYSTEM, version_id=version_id))

    def carry_out(self, version_id: str, plan: FinalizePlan | None) -> DatasetVersion:
        return self.store.write(partial(finalize_dataset, actor=SYSTEM, version_id=version_id, plan=plan))

    def finalize(self, version_id: str) -> DatasetVersion:
        return finalize_in_steps(
            prepare=lambda: self.prepare(version_id), carry_out=lambda plan: self.carry_out(version_id, plan)
        )

    def final(self, changes: dict[str, int | None], *parents: str) -> str:
        version = self.draft(*parents)
        self.edit(version, changes)
        return self.finalize(version).id

    def files(self, version_id: str) -> Files:
        entries = self.store.read(lambda tx: list(tx.datasets.manifest(version_id).entries(load=tx.datasets.blocks)))
        return {entry.path: DIGESTS.index(entry.digest) for entry in entries}

    def get(self, version_id: str) -> DatasetVersion:
        return self.store.read(lambda tx: tx.datasets.get(version_id))

    def head(self) -> str | None:
        return self.store.read(lambda tx: tx.datasets.head(project="p", name=self.name))


@pytest.fixture
def line(store: Store) -> Line:
    add_blobs(store)
    return Line(store)


def add_blobs(store: Store) -> None:
    placed = [PlacedAt(digest, number, 1) for number, digest in enumerate(DIGESTS)]
    store.write(lambda tx: tx.blobs.add_object(StoredObject("default", "x", len(placed)), blobs=placed))


def applied(files: Files, changes: dict[str, int | None]) -> Files:
    merged = {**files, **changes}
    return {path: content for path, content in merged.items() if content is not None}


def differing(before: Files, after: Files) -> dict[str, int | None]:
    return {path: after.get(path) for path in before | after if before.get(path) != after.get(path)}


def is_tree(files: Files) -> bool:
    return not any(other.startswith(f"{path}/") for path in files for other in files)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_newest_version_has_everyones_files_or_whoever_comes_late_is_told(
    store: Store, data: st.DataObject
) -> None:
    with_blobs(store)
    line = Line(store)
    base_files = {path: content for path, content in data.draw(CHANGES).items() if content is not None} or {"a": 0}
    if not is_tree(base_files):
        base_files = {"a": 0}
    base = line.final(dict(base_files))
    drafts: dict[str, Files] = {}
    for changes in data.draw(st.lists(CHANGES, min_size=1, max_size=4)):
        draft = line.draft(base)
        wanted = applied(base_files, changes)
        if is_tree(wanted):
            line.edit(draft, changes)
        else:
            with pytest.raises(InvalidPath):
                line.edit(draft, changes)
            wanted = base_files
        drafts[draft] = wanted
    newest = base_files
    for draft in data.draw(st.permutations(list(drafts))):
        head = line.head()
        mine, theirs = differing(base_files, drafts[draft]), differing(base_files, newest)
        contested = {path for path in mine.keys() & theirs.keys() if mine[path] != theirs[path]}
        merged = applied(newest, mine)
        if not drafts[draft] or (not contested and not merged):
            with pytest.raises(InvalidRequest):
                line.finalize(draft)
        elif contested or not is_tree(merged):
            with pytest.raises(HeadMoved) as refused:
                line.finalize(draft)
            assert not contested or any(repr(path) in refused.value.message for path in contested)
        else:
            done = line.finalize(draft)
            newest = merged
            assert head in done.parents
            assert done.file_count == len(merged)
            against = line.files(str(head))
            assert done.added_count == len(merged.keys() - against.keys())
            assert done.removed_count == len(against.keys() - merged.keys())
        assert line.files(str(line.head())) == newest
        if line.get(draft).state is DatasetState.OPEN:
            assert line.files(draft) == drafts[draft]


def with_blobs(store: Store) -> None:
    if store.read(lambda tx: tx.blobs.missing(DIGESTS)):
        add_blobs(store)


def test_a_draft_whose_base_was_deleted_takes_what_came_before_it(line: Line) -> None:
    old = line.final({"a": 0})
    newer = line.final({"b": 0}, old)
    draft = line.draft(newer)
    line.edit(draft, {"c": 0})
    line.store.write(partial(delete_dataset, actor=SYSTEM, version_id=newer, force=False))
    assert line.head() == old
    done = line.finalize(draft)
    assert line.files(done.id) == {"a": 0, "b": 0, "c": 0}
    assert done.parents == (old,)


def test_who_comes_late_counts_up_and_takes_the_place_behind_the_newest(line: Line) -> None:
    base = line.final({"a": 0})
    one, two = line.draft(base), line.draft(base)
    line.edit(one, {"b": 0})
    line.edit(two, {"c": 0})
    first = line.finalize(two)
    second = line.finalize(one)
    assert (first.version, second.version) == ("1.0.2", "1.0.3")
    assert second.parents == (first.id,)
    assert (second.added_count, second.modified_count, second.removed_count) == (1, 0, 0)
    assert second.base == first.id


def test_a_number_that_somebody_asked_for_never_changes(line: Line) -> None:
    base = line.final({"a": 0})
    one, two = line.draft(base, version="2.0.0"), line.draft(base, version="2.0.0")
    line.edit(one, {"b": 0})
    line.edit(two, {"c": 0})
    assert line.finalize(one).version == "2.0.0"
    with pytest.raises(AlreadyExists):
        line.finalize(two)


def test_the_number_of_a_deleted_version_is_not_given_again(line: Line) -> None:
    base = line.final({"a": 0})
    gone = line.final({"b": 0}, base)
    line.store.write(partial(delete_dataset, actor=SYSTEM, version_id=gone, force=False))
    again = line.draft(base)
    line.edit(again, {"b": 1})
    assert line.finalize(again).version == "1.0.2"
    with pytest.raises(AlreadyExists, match=r"1\.0\.1 was deleted"):
        line.draft(base, version="1.0.1")


def test_what_happens_between_plan_and_writing_makes_a_new_plan(line: Line) -> None:
    base = line.final({"a": 0})
    draft, other = line.draft(base), line.draft(base)
    line.edit(draft, {"b": 0})
    line.edit(other, {"c": 0})
    plan = line.prepare(draft)
    line.edit(draft, {"b": 1})
    with pytest.raises(PlanOutdated):
        line.carry_out(draft, plan)
    plan = line.prepare(draft)
    line.finalize(other)
    with pytest.raises(PlanOutdated):
        line.carry_out(draft, plan)
    assert line.files(line.finalize(draft).id) == {"a": 0, "b": 1, "c": 0}


def test_a_plan_that_is_always_outdated_is_made_where_nobody_can_come_between(line: Line) -> None:
    base = line.final({"a": 0})
    draft = line.draft(base)
    line.edit(draft, {"mine": 0})
    numbers = count()

    def prepare() -> FinalizePlan:
        plan = line.prepare(draft)
        line.final({f"other {next(numbers)}": 0}, str(line.head()))
        return plan

    done = finalize_in_steps(prepare=prepare, carry_out=lambda plan: line.carry_out(draft, plan))
    assert len(line.files(done.id)) == 2 + finalizing._PLANS


def test_a_version_of_many_files_is_merged_without_reading_what_nobody_touched(line: Line) -> None:
    base = line.draft()
    for start in range(0, 20_000, 10_000):
        line.edit(base, {f"{number:06}": 0 for number in range(start, start + 10_000)})
    line.finalize(base)
    one, two = line.draft(base), line.draft(base)
    line.edit(one, {"000007": 1})
    line.edit(two, {"015000": 2, "000100": None})
    line.finalize(one)
    read: list[int] = []

    def counting() -> FinalizePlan:
        def work(tx: object) -> FinalizePlan:
            real = tx.datasets.blocks

            def blocks(digests: list[bytes]) -> list[bytes]:
                read.append(len(digests))
                return real(digests)

            tx.datasets.blocks = blocks
            return prepare_finalize(tx, SYSTEM, version_id=two)

        return line.store.read(work)

    done = finalize_in_steps(prepare=counting, carry_out=lambda plan: line.carry_out(two, plan))
    blocks = len(line.store.read(lambda tx: tx.datasets.manifest(done.id)).blocks)
    assert blocks > 30
    assert sum(read) < 20
    files = line.files(done.id)
    assert (files["000007"], files["015000"], "000100" in files, len(files)) == (1, 2, False, 19_999)


def test_a_draft_that_was_never_filled_is_empty(line: Line) -> None:
    assert line.store.read(lambda tx: tx.datasets.manifest(line.draft())) == Manifest()
