"""Dataset versions and their manifests."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from orchestrator.errors import AlreadyExists, Conflict, HeadMoved, InvalidRequest, NotFound
from orchestrator.records.dataset import DatasetState
from orchestrator.store.testing.records import a_report, a_version, an_entry, digest, each, moment, new_id

if TYPE_CHECKING:
    from orchestrator.records.dataset import DatasetVersion
    from orchestrator.store.protocol import Store, Transaction


def _stored(store: Store, **fields: object) -> DatasetVersion:
    version = a_version(**fields)
    store.write(lambda tx: tx.datasets.add(version))
    return version


class DatasetContract:
    """Versions, heads, manifests and reports."""

    def test_a_version_comes_back_as_it_went_in(self, store: Store) -> None:
        version = _stored(store, parents=(new_id(), new_id()), tags=("b", "a"), base=new_id(), finalized_at=moment(1))
        assert store.read(lambda tx: tx.datasets.get(version.id)) == version
        with pytest.raises(NotFound):
            store.read(lambda tx: tx.datasets.get(new_id()))

    def test_a_version_that_changed_since_it_was_read_is_not_overwritten(self, store: Store) -> None:
        read = _stored(store, tags=("a",))
        tagged = read.changed(tags=("a", "Production"))
        store.write(lambda tx: tx.datasets.replace(tagged, expected=read))
        with pytest.raises(Conflict, match="Production"):
            store.write(lambda tx: tx.datasets.replace(read.changed(tags=()), expected=read))
        with pytest.raises(Conflict, match="open"):
            store.write(lambda tx: tx.datasets.replace(tagged, expected=tagged.changed(state=DatasetState.FINAL)))
        assert store.read(lambda tx: tx.datasets.find(tags=["Production"])) == [tagged]

    def test_a_version_number_is_final_once(self, store: Store) -> None:
        first, second = _stored(store), _stored(store)
        final = first.changed(state=DatasetState.FINAL)
        store.write(lambda tx: tx.datasets.replace(final, expected=first))
        with pytest.raises(AlreadyExists, match=r"1\.0\.0"):
            store.write(lambda tx: tx.datasets.replace(second.changed(state=DatasetState.FINAL), expected=second))
        store.write(lambda tx: tx.datasets.replace(final.changed(state=DatasetState.PUBLISHED), expected=final))
        _stored(store, name="other", state=DatasetState.FINAL)
        assert store.read(lambda tx: tx.datasets.get(second.id)) == second

    def test_versions_are_found_newest_first_by_what_they_are(self, store: Store) -> None:
        one = _stored(store, project="a", tags=("x", "y"))
        two = _stored(store, project="a/b", tags=("y",), version="1.0.1", state=DatasetState.FINAL)
        three = _stored(store, project="a-b", name="other", state=DatasetState.PUBLISHED)

        def found(**filters: object) -> list[str]:
            return [version.id for version in store.read(lambda tx: tx.datasets.find(**filters))]  # type: ignore[arg-type]

        assert found() == [three.id, two.id, one.id]
        assert found(project="a") == [two.id, one.id]
        assert found(project="a", exact_project=True) == [one.id]
        assert found(projects_below="a/b") == [two.id]
        assert found(name="other") == [three.id]
        assert found(version="1.0.1") == [two.id]
        assert found(states=["final", "published"]) == [three.id, two.id]
        assert found(tags=["y"]) == [two.id, one.id]
        assert found(tags=["x", "y"]) == [one.id]
        assert found(after=three.id, limit=1) == [two.id]

    def test_the_newest_version_is_the_largest_by_number(self, store: Store) -> None:
        ids = {
            version: _stored(store, version=version, state=DatasetState.FINAL, tags=tags).id
            for version, tags in {"1.10.0": (), "1.9.0": ("x",), "0.99.99": ("x",)}.items()
        }
        _stored(store, version="2.0.0")

        def newest(*tags: str, states: tuple[str, ...] = ("final",)) -> str | None:
            found = store.read(
                lambda tx: tx.datasets.newest(project="occupancy", name="sensors", states=states, tags=tags)
            )
            return None if found is None else found.version

        assert newest() == "1.10.0"
        assert newest("x") == "1.9.0"
        assert newest("x", "y") is None
        assert newest(states=("open", "final")) == "2.0.0"
        assert len(ids) == 3

    def test_a_number_too_large_for_a_database_is_refused(self, store: Store) -> None:
        with pytest.raises(InvalidRequest, match="64 bits"):
            _stored(store, version=f"{1 << 63}.0.0")

    def test_of_two_who_finalize_from_one_head_the_second_is_refused(self, store: Store) -> None:
        first, second, third = _stored(store), _stored(store), _stored(store)

        def move(expected: str | None, to: str) -> None:
            store.write(lambda tx: tx.datasets.move_head(project="occupancy", name="sensors", expected=expected, to=to))

        assert store.read(lambda tx: tx.datasets.head(project="occupancy", name="sensors")) is None
        move(None, first.id)
        with pytest.raises(HeadMoved, match=first.id):
            move(None, second.id)
        move(first.id, second.id)
        with pytest.raises(HeadMoved, match=second.id):
            move(first.id, third.id)
        assert store.read(lambda tx: tx.datasets.head(project="occupancy", name="sensors")) == second.id

    def test_of_many_who_move_a_head_at_once_one_does(self, store: Store) -> None:
        versions = [_stored(store) for _ in range(8)]

        def move(version: DatasetVersion) -> bool:
            try:
                store.write(lambda tx: tx.datasets.move_head(project="p", name="n", expected=None, to=version.id))
            except HeadMoved:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(move, versions)) == 1

    def test_entries_are_sorted_by_the_bytes_of_their_paths(self, store: Store) -> None:
        version = _stored(store).id
        paths = ["b", "B", "a/b", "a.b", "a", "é", "a b", "-", "Z", "日本", "a/B"]
        store.write(lambda tx: tx.datasets.put_entries(version, [an_entry(path) for path in paths]))
        expected = sorted(paths, key=str.encode)
        pages: list[str] = []

        def next_page(tx: Transaction) -> list[str]:
            return [entry.path for entry in tx.datasets.entries(version, after=pages[-1] if pages else None, limit=4)]

        while page := store.read(next_page):
            pages += page
        assert pages == expected
        everything = store.read(lambda tx: tx.datasets.entries(version, limit=None))
        assert [entry.path for entry in everything] == expected

    def test_entries_are_put_removed_and_summed_up(self, store: Store) -> None:
        version = _stored(store).id
        store.write(lambda tx: tx.datasets.put_entries(version, [an_entry("a"), an_entry("b"), an_entry("c")]))
        changed = an_entry("b", 2, size_bytes=1 << 40, mode=0o755)
        store.write(lambda tx: tx.datasets.put_entries(version, [an_entry("b", 9), changed]))
        assert store.write(lambda tx: tx.datasets.remove_entries(version, ["c", "nothing", "a"])) == ["a", "c"]
        assert store.read(lambda tx: tx.datasets.entries(version)) == [changed]
        assert store.read(lambda tx: tx.datasets.totals(version)) == (1, 1 << 40)
        assert store.read(lambda tx: tx.datasets.totals(new_id())) == (0, 0)

    def test_a_draft_begins_with_its_parents_files(self, store: Store) -> None:
        one, two, draft = _stored(store).id, _stored(store).id, _stored(store).id
        store.write(lambda tx: tx.datasets.put_entries(one, [an_entry("a", 1), an_entry("b", 1)]))
        store.write(lambda tx: tx.datasets.put_entries(two, [an_entry("b", 2), an_entry("c", 2)]))
        for parent in (one, two):
            store.write(lambda tx, parent=parent: tx.datasets.copy_entries(source=parent, target=draft))  # type: ignore[misc]
        assert store.read(lambda tx: tx.datasets.entries(draft)) == [
            an_entry("a", 1),
            an_entry("b", 2),
            an_entry("c", 2),
        ]
        assert store.read(lambda tx: tx.datasets.totals(one))[0] == 2

    def test_versions_are_compared(self, store: Store) -> None:
        old, new = _stored(store).id, _stored(store).id
        shared = [an_entry("same"), an_entry("digest"), an_entry("mode")]
        store.write(lambda tx: tx.datasets.put_entries(old, [*shared, an_entry("gone")]))
        changed = [an_entry("same"), an_entry("digest", 2), an_entry("mode", mode=0o755), an_entry("new")]
        store.write(lambda tx: tx.datasets.put_entries(new, changed))
        assert store.read(lambda tx: tx.datasets.compare(new, old)) == (1, 2, 1)
        assert store.read(lambda tx: tx.datasets.compare(new, None)) == (4, 0, 0)
        assert store.read(lambda tx: tx.datasets.compare(new, new)) == (0, 0, 0)

    def test_a_path_cannot_be_file_and_directory(self, store: Store) -> None:
        version, other = _stored(store).id, _stored(store).id
        entries = [an_entry(path) for path in ("a", "a/b/c", "a.b", "b", "b0/c", "d/e", "d%/x", "d%")]
        store.write(lambda tx: tx.datasets.put_entries(version, entries))
        store.write(lambda tx: tx.datasets.put_entries(other, [an_entry("b/c")]))
        asked = [entry.path for entry in entries] + ["d", "a/b"]
        assert store.read(lambda tx: tx.datasets.clashes(version, asked)) == ["a", "d%"]
        assert store.read(lambda tx: tx.datasets.clashes(version, ["b", "d"])) == []

    def test_blobs_that_no_store_has_are_named(self, store: Store) -> None:
        version = _stored(store).id
        store.write(lambda tx: tx.datasets.put_entries(version, [an_entry("a", 1), an_entry("b", 1), an_entry("c", 2)]))
        assert store.read(lambda tx: tx.datasets.missing_blobs(version)) == [digest(1), digest(2)]
        store.write(lambda tx: tx.blobs.add(digest(1), size_bytes=1, store="main", location="x"))
        assert store.read(lambda tx: tx.datasets.missing_blobs(version)) == [digest(2)]

    def test_the_newest_report_of_a_name_stands(self, store: Store) -> None:
        owner = new_id()
        points = [[0.5, float("inf")], [1, 2]]
        reports = [
            a_report(owner, "b"),
            a_report(owner, "a", iteration=10),
            a_report(owner, "a", iteration=9, kind="scatter2d", data=points),
            a_report(owner, "b", data="newer"),
            a_report(new_id(), "a"),
        ]
        store.write(each(reports, lambda tx: tx.reports.put))
        assert store.read(lambda tx: tx.reports.of(owner)) == [reports[2], reports[1], reports[3]]
