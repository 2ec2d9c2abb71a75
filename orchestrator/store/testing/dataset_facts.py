"""What is known of versions and their files, and which storage new bytes go to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.errors import NotFound
from orchestrator.records.dataset import DatasetState, StorageChoice
from orchestrator.store.testing.records import a_storage, a_version, blob, digest, each, moment, new_id, some_metadata

if TYPE_CHECKING:
    from orchestrator.store.protocol import Store, Transaction


class DatasetFactContract:
    """Metadata, profiles and storages."""

    def test_the_newest_metadata_of_a_name_stand(self, store: Store) -> None:
        version = a_version()
        store.write(lambda tx: tx.datasets.add(version))
        written = [
            some_metadata(version, "b"),
            some_metadata(version, "a", preview="é"),
            some_metadata(version, "b", digest=digest(2), changed_at=moment(1)),
        ]
        store.write(each(written, lambda tx: tx.datasets.put_metadata))
        assert store.read(lambda tx: tx.datasets.metadata(version.id)) == written[1:]
        assert store.read(lambda tx: tx.datasets.metadata(new_id())) == []
        with pytest.raises(NotFound):
            store.write(lambda tx: tx.datasets.put_metadata(some_metadata(a_version(), "a")))

    def test_profiles_of_files_are_kept_by_their_bytes(self, store: Store) -> None:
        profiles = {blob(number): {"rows": number, "mean": float("inf"), "é": [None]} for number in range(6000)}
        store.write(lambda tx: tx.datasets.put_file_profiles(profiles))
        store.write(lambda tx: tx.datasets.put_file_profiles({blob(1): [1, "two"]}))
        store.write(lambda tx: tx.datasets.put_file_profiles({}))
        asked = [blob(number) for number in (1, 2, 9999)]
        assert store.read(lambda tx: tx.datasets.file_profiles(asked)) == {
            blob(1): [1, "two"],
            blob(2): profiles[blob(2)],
        }
        assert len(store.read(lambda tx: tx.datasets.file_profiles(list(profiles)))) == len(profiles)
        assert store.read(lambda tx: tx.datasets.file_profiles([])) == {}

    def test_final_versions_wait_for_a_profile_oldest_first(self, store: Store) -> None:
        final = [a_version(state=DatasetState.FINAL, version=f"1.0.{number}") for number in range(3)]
        published = a_version(state=DatasetState.PUBLISHED, version="2.0.0")
        others = [a_version(), a_version(state=DatasetState.FINAL, version="3.0.0", deleted_at=moment(1))]
        store.write(each([*others, *reversed(final), published], lambda tx: tx.datasets.add))
        assert store.read(lambda tx: tx.datasets.unprofiled(limit=3)) == [version.id for version in final]
        store.write(lambda tx: tx.datasets.put_profile(final[1].id, {"files": 1}))
        assert store.read(lambda tx: tx.datasets.unprofiled()) == [final[0].id, final[2].id, published.id]
        assert store.read(lambda tx: tx.datasets.profile(final[0].id)) is None
        store.write(lambda tx: tx.datasets.put_profile(final[1].id, {"files": 2}))
        assert store.read(lambda tx: tx.datasets.profile(final[1].id)) == {"files": 2}
        with pytest.raises(NotFound):
            store.write(lambda tx: tx.datasets.put_profile(new_id(), {}))

    def test_storages_have_names(self, store: Store) -> None:
        lake, shared = a_storage("lake"), a_storage("Shared disk")
        moved = lake.changed(url="s3://bucket/lake")
        store.write(each([lake, shared, moved], lambda tx: tx.datasets.put_storage))
        assert store.read(lambda tx: tx.datasets.storages()) == [shared, moved]

    def test_a_storage_is_chosen_for_a_project_or_a_dataset(self, store: Store) -> None:
        made = [
            StorageChoice(project="b", storage="lake"),
            StorageChoice(project="a/b", dataset="sensors", storage="lake"),
            StorageChoice(project="a/b", storage="disk"),
            StorageChoice(project="b", storage="disk"),
        ]

        def drop(tx: Transaction) -> list[bool]:
            return [tx.datasets.drop_choice(project="a/b", dataset=dataset) for dataset in ("", "", "other")]

        store.write(each(made, lambda tx: tx.datasets.put_choice))
        assert store.read(lambda tx: tx.datasets.choices()) == [made[2], made[1], made[3]]
        assert store.write(drop) == [True, False, False]
        assert store.read(lambda tx: tx.datasets.choices()) == [made[1], made[3]]
