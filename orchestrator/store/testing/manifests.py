"""Manifests and the blocks that they share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from blake3 import blake3

from orchestrator.errors import Conflict, NotFound
from orchestrator.records.manifest import Block, Manifest, order
from orchestrator.store.testing.records import a_version, an_entry, filled, keep_block, new_id

if TYPE_CHECKING:
    from orchestrator.records.dataset import DatasetVersion
    from orchestrator.records.manifest import Entry
    from orchestrator.store.protocol import Store, Transaction

_MANY = [an_entry(f"d{number % 7}/f{number}", number) for number in range(6000)]


class ManifestContract:
    """What versions are made of."""

    def test_a_version_has_the_files_that_were_put(self, store: Store) -> None:
        version = _draft(store)
        assert store.read(lambda tx: tx.datasets.manifest(version.id)) == Manifest()
        entries = [an_entry(path, place) for place, path in enumerate(("a/b", "a.b", "é", "B", "a b", "日本"))]
        written = store.write(lambda tx: filled(tx, version, *entries))
        assert store.read(lambda tx: tx.datasets.manifest(version.id)) == written
        assert _entries(store, version) == sorted(entries, key=lambda entry: order(entry.path))
        changed = an_entry("B", 99, size_bytes=1 << 40)
        store.write(lambda tx: filled(tx, version, changed, remove=["a b", "nothing"]))
        assert [entry.path for entry in _entries(store, version)] == ["B", "a/b", "a.b", "é", "日本"]
        assert _entries(store, version)[0] == changed

    def test_a_child_shares_the_blocks_that_it_does_not_change(self, store: Store) -> None:
        parent, child = _draft(store), _draft(store)
        old = store.write(lambda tx: filled(tx, parent, *_MANY))
        new = store.write(lambda tx: filled(tx, child, an_entry("d3/f10", 9), onto=tx.datasets.manifest(parent.id)))
        assert len(old.blocks) > 5
        assert len(set(new.blocks) - set(old.blocks)) == 1
        assert store.read(lambda tx: tx.datasets.manifests()) == [parent.id, child.id]
        assert len(_entries(store, child)) == len(_MANY)

    def test_blocks_come_in_the_order_asked(self, store: Store) -> None:
        data = [b"one", b"", b"three" * 10_000]
        digests = store.write(lambda tx: [keep_block(tx, each) for each in [*data, b"one"]])
        assert digests == [blake3(each).digest() for each in [*data, b"one"]]
        asked = [digests[2], digests[0], digests[2], digests[1]]
        assert store.read(lambda tx: tx.datasets.blocks(asked)) == [data[2], data[0], data[2], data[1]]
        assert store.read(lambda tx: tx.datasets.blocks([])) == []
        missing = blake3(b"other").digest()
        with pytest.raises(NotFound, match=missing.hex()):
            store.read(lambda tx: tx.datasets.blocks([digests[0], missing]))

    def test_a_manifest_belongs_to_a_version(self, store: Store) -> None:
        with pytest.raises(NotFound):
            store.write(lambda tx: tx.datasets.put_manifest(new_id(), Manifest()))
        assert store.read(lambda tx: tx.datasets.manifests()) == []

    def test_a_manifest_whose_blocks_are_gone_is_refused(self, store: Store) -> None:
        version = _draft(store)
        manifest = Manifest([Block("a", blake3(b"never saved").digest(), 1, 1)])
        with pytest.raises(Conflict, match="1 of 1"):
            store.write(lambda tx: tx.datasets.put_manifest(version.id, manifest))

    def test_blocks_are_swept_when_no_manifest_names_them(self, store: Store) -> None:
        parent, child = _draft(store), _draft(store)
        old = store.write(lambda tx: filled(tx, parent, *_MANY))
        new = store.write(lambda tx: filled(tx, child, an_entry("d3/f10", 9), onto=old))
        every = {block.digest for block in (*old.blocks, *new.blocks)}
        alone = {block.digest for block in old.blocks} - {block.digest for block in new.blocks}
        assert store.write(lambda tx: tx.datasets.sweep_blocks(kept=every)) == 0
        store.write(lambda tx: tx.datasets.drop_manifest(parent.id))
        assert store.read(lambda tx: tx.datasets.manifest(parent.id)) == Manifest()
        assert store.read(lambda tx: tx.datasets.manifests()) == [child.id]
        assert store.write(lambda tx: tx.datasets.sweep_blocks(kept=alone)) == 0
        assert store.write(lambda tx: tx.datasets.sweep_blocks(kept=set())) == 1
        assert len(_entries(store, child)) == len(_MANY)
        with pytest.raises(NotFound):
            store.read(lambda tx: tx.datasets.blocks(list(alone)))

    def test_what_was_written_since_blocks_were_counted_is_not_swept(self, store: Store) -> None:
        version = _draft(store)
        kept: set[bytes] = set()  # counted before anything was there
        store.write(lambda tx: filled(tx, version, *_MANY[:10]))
        unnamed = store.write(lambda tx: keep_block(tx, b"nobody names it"))
        assert store.write(lambda tx: tx.datasets.sweep_blocks(kept=kept)) == 1
        assert len(_entries(store, version)) == 10
        with pytest.raises(NotFound, match=unnamed.hex()):
            store.read(lambda tx: tx.datasets.blocks([unnamed]))

    def test_a_unit_that_fails_leaves_no_block(self, store: Store) -> None:
        def work(tx: Transaction) -> None:
            keep_block(tx, b"data")
            raise KeyError("some bug")

        with pytest.raises(KeyError):
            store.write(work)
        with pytest.raises(NotFound):
            store.read(lambda tx: tx.datasets.blocks([blake3(b"data").digest()]))


def _draft(store: Store) -> DatasetVersion:
    version = a_version()
    store.write(lambda tx: tx.datasets.add(version))
    return version


def _entries(store: Store, version: DatasetVersion) -> list[Entry]:
    return store.read(lambda tx: list(tx.datasets.manifest(version.id).entries(load=tx.datasets.blocks)))
