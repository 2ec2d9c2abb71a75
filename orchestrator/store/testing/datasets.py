"""Dataset versions: what they are, what they are called, and how they are found."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from orchestrator.errors import AlreadyExists, Conflict, HeadMoved, InvalidRequest, NotFound
from orchestrator.records.dataset import DatasetState, StorageChoice
from orchestrator.store.testing.records import a_report, a_version, digest, each, moment, new_id

if TYPE_CHECKING:
    from orchestrator.records.dataset import DatasetVersion
    from orchestrator.store.protocol import Store, Transaction


def _stored(store: Store, **fields: object) -> DatasetVersion:
    version = a_version(**fields)
    store.write(lambda tx: tx.datasets.add(version))
    return version


class DatasetContract:
    """Versions, heads, names and reports."""

    def test_a_version_comes_back_as_it_went_in(self, store: Store) -> None:
        version = _stored(store, parents=(new_id(), new_id()), tags=("b", "a"), base=new_id(), finalized_at=moment(1))
        full = _stored(
            store,
            version="1.0.1",
            numbered=True,
            storage="lake",
            manifest=digest(9),
            published_at=moment(2),
            archived_at=moment(3),
            deleted_at=moment(4),
        )
        assert store.read(lambda tx: tx.datasets.get(full.id)) == full
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
        assert found(tags_any=["x", "z"]) == [one.id]
        assert found(tags_any=["x", "y"]) == [two.id, one.id]
        assert found(tags_none=["x", "z"]) == [three.id, two.id]
        assert found(tags=["y"], tags_none=["x"]) == [two.id]
        assert found(name_part="enso") == [two.id, one.id]
        assert found(name_part="") == [three.id, two.id, one.id]
        for nothing in ("SENSORS", "%", "s_nsors", "sensorss"):
            assert found(name_part=nothing) == []
        assert found(after=three.id, limit=1) == [two.id]

    def test_ranges_of_versions_are_compared_by_number(self, store: Store) -> None:
        ids = {it: _stored(store, version=it).id for it in ("1.9.0", "1.10.0", "0.99.99", "2.0.0", "1.9.10", "1.9.9")}

        def found(**filters: str) -> set[str]:
            those = {version.id for version in store.read(lambda tx: tx.datasets.find(**filters))}  # type: ignore[arg-type]
            return {version for version, identity in ids.items() if identity in those}

        assert found(version_from="1.9.9") == {"1.9.9", "1.9.10", "1.10.0", "2.0.0"}
        assert found(version_before="1.9.10") == {"0.99.99", "1.9.0", "1.9.9"}
        assert found(version_from="1.9.0", version_before="1.10.0") == {"1.9.0", "1.9.9", "1.9.10"}
        assert found(version_from="2.0.1") == set()
        for wrong in ("1.9", "1.9.0-rc", "one"):
            with pytest.raises(InvalidRequest, match="version"):
                found(version_from=wrong)

    def test_archived_and_deleted_versions_are_found_when_asked_for(self, store: Store) -> None:
        kept = _stored(store)
        archived = _stored(store, archived_at=moment(1))
        deleted = _stored(store, deleted_at=moment(2), archived_at=moment(1), state=DatasetState.FINAL)

        def found(**filters: bool | None) -> list[str]:
            return [version.id for version in store.read(lambda tx: tx.datasets.find(**filters))]  # type: ignore[arg-type]

        assert found() == [kept.id]
        assert found(archived=True) == [archived.id]
        assert found(archived=None) == [archived.id, kept.id]
        assert found(archived=None, deleted=True) == [deleted.id, archived.id, kept.id]
        assert found(deleted=True) == [kept.id]
        assert store.read(lambda tx: tx.datasets.get(deleted.id)) == deleted
        newest = {"project": "occupancy", "name": "sensors"}
        assert store.read(lambda tx: tx.datasets.newest(**newest, states=["final"])) is None
        final = _stored(store, state=DatasetState.FINAL, version="0.0.1", archived_at=moment(1))
        assert store.read(lambda tx: tx.datasets.newest(**newest, states=["final"])) == final

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

    def test_a_dataset_may_be_left_without_a_head(self, store: Store) -> None:
        version, other = _stored(store), _stored(store)

        def move(expected: str | None, to: str | None) -> None:
            store.write(lambda tx: tx.datasets.move_head(project="p", name="n", expected=expected, to=to))

        move(None, None)
        move(None, version.id)
        for expected in (None, other.id):
            with pytest.raises(HeadMoved, match=version.id):
                move(expected, None)
        move(version.id, None)
        assert store.read(lambda tx: tx.datasets.head(project="p", name="n")) is None
        with pytest.raises(HeadMoved, match="None"):
            move(version.id, other.id)

    def test_a_dataset_is_renamed_with_all_that_it_has(self, store: Store) -> None:
        first, second = _stored(store, state=DatasetState.FINAL), _stored(store, version="1.0.1")
        beside = _stored(store, name="sensors2")

        def rename(name: str, new_project: str, new_name: str) -> int:
            return store.write(
                lambda tx: tx.datasets.rename(
                    project="occupancy", name=name, new_project=new_project, new_name=new_name
                )
            )

        def fill(tx: Transaction) -> None:
            tx.datasets.move_head(project="occupancy", name="sensors", expected=None, to=first.id)
            tx.datasets.put_choice(StorageChoice(project="occupancy", dataset="sensors", storage="lake"))
            tx.datasets.put_choice(StorageChoice(project="a/b", dataset="probes", storage="left behind"))

        store.write(fill)
        for taken in ("sensors2", "sensors"):
            with pytest.raises(AlreadyExists, match=taken):
                rename("sensors", "occupancy", taken)
        assert rename("sensors", "a/b", "probes") == 2
        found = store.read(lambda tx: tx.datasets.find(project="a/b", name="probes"))
        assert [version.id for version in found] == [second.id, first.id]
        assert store.read(lambda tx: tx.datasets.head(project="a/b", name="probes")) == first.id
        assert store.read(lambda tx: tx.datasets.head(project="occupancy", name="sensors")) is None
        assert store.read(lambda tx: tx.datasets.choices()) == [
            StorageChoice(project="a/b", dataset="probes", storage="lake")
        ]
        assert store.read(lambda tx: tx.datasets.get(beside.id)) == beside
        with pytest.raises(NotFound, match="sensors"):
            rename("sensors", "a/b", "other")

    def test_a_final_number_stays_taken_under_a_new_name(self, store: Store) -> None:
        _stored(store, name="a", state=DatasetState.FINAL)
        store.write(lambda tx: tx.datasets.rename(project="occupancy", name="a", new_project="p", new_name="b"))
        draft = _stored(store, project="p", name="b")
        with pytest.raises(AlreadyExists, match=r"1\.0\.0"):
            store.write(lambda tx: tx.datasets.replace(draft.changed(state=DatasetState.FINAL), expected=draft))

    def test_versions_know_their_children(self, store: Store) -> None:
        parent, other = _stored(store), _stored(store)
        both = _stored(store, parents=(parent.id, other.id))
        one = _stored(store, parents=(parent.id, parent.id))

        def children(*versions: DatasetVersion) -> list[str]:
            return store.read(lambda tx: tx.datasets.children([version.id for version in versions]))

        assert children(parent) == children(parent, other) == [both.id, one.id]
        assert children(other) == [both.id]
        assert children(one, both) == children() == []
        store.write(lambda tx: tx.datasets.replace(both.changed(parents=(one.id,)), expected=both))
        assert children(one) == [both.id]
        assert children(other) == []

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
