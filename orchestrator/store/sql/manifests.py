"""Manifests and the blocks that they share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blake3 import blake3
from sqlalchemy import delete, select

from orchestrator.errors import Conflict, DigestMismatch, NotFound
from orchestrator.records.manifest import Manifest
from orchestrator.store.sql.rows import chunks
from orchestrator.store.sql.tables import manifest_blocks, manifests
from orchestrator.store.sql.unit import Noun

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

_LOCK = "manifest blocks"
"""Held together by all who write manifests and blocks, alone by who sweeps."""


class ManifestRows(Noun):
    """The part of `Datasets` that is about manifests."""

    def manifest(self, version_id: str) -> Manifest:
        """Return a version's manifest; that of a draft that was never filled, or of a deleted version, is empty."""
        data = self._unit.scalar(select(manifests.c.data).where(manifests.c.version_id == version_id))
        return Manifest() if data is None else Manifest.decode(bytes(data))

    def put_manifest(self, version_id: str, manifest: Manifest) -> None:
        """Write a version's manifest; its blocks have been saved."""
        self._unit.lock(_LOCK, shared=True)
        named = {block.digest for block in manifest.blocks}
        if gone := named - self._present(list(named)):
            raise Conflict(
                f"{len(gone)} of {len(named)} parts of the manifest are gone: a version was deleted in between.",
                hint="Repeat what you wanted.",
            )
        self._unit.put(manifests, [{"version_id": version_id, "data": manifest.encode()}])

    def manifests(self) -> list[str]:
        """Return the ids of all versions that have a manifest, sorted."""
        return list(self._unit.execute(select(manifests.c.version_id).order_by(manifests.c.version_id)).scalars())

    def drop_manifest(self, version_id: str) -> None:
        """Remove a version's manifest; its blocks stay until `sweep_blocks`."""
        self._unit.execute(delete(manifests).where(manifests.c.version_id == version_id))

    def blocks(self, digests: Sequence[bytes]) -> list[bytes]:
        """Return blocks by their digests, in the order asked; each was checked."""
        found: dict[bytes, bytes] = {}
        for asked in chunks(list(dict.fromkeys(digests))):
            statement = select(manifest_blocks).where(self._unit.among(manifest_blocks.c.digest, asked))
            found.update((digest, _checked(digest, data=data)) for digest, data in self._unit.execute(statement))
        if gone := [digest.hex() for digest in digests if digest not in found]:
            raise NotFound(f"{len(gone)} parts of a manifest are not there: {gone[0]} …", hint="Was it deleted?")
        return [found[digest] for digest in digests]

    def save_blocks(self, blocks: Mapping[bytes, bytes]) -> None:
        """Keep blocks under their digests, those that are new."""
        self._unit.lock(_LOCK, shared=True)
        # In one order: two transactions that keep the same blocks wait for each other, and never in a ring.
        rows = [{"digest": digest, "data": data} for digest, data in sorted(blocks.items())]
        self._unit.execute(self._unit.insert(manifest_blocks).on_conflict_do_nothing(), rows)

    def sweep_blocks(self, *, kept: AbstractSet[bytes]) -> int:
        """Remove the blocks that are not among these and that no manifest names by now; return how many there were."""
        self._unit.lock(_LOCK)
        stored = self._unit.execute(select(manifest_blocks.c.digest)).scalars()
        unused = {digest for digest in stored if digest not in kept}
        if not unused:
            return 0
        for version_id in self.manifests():
            unused.difference_update(block.digest for block in self.manifest(version_id).blocks)
        for removed in chunks(sorted(unused)):
            self._unit.execute(delete(manifest_blocks).where(self._unit.among(manifest_blocks.c.digest, removed)))
        return len(unused)

    def _present(self, digests: Sequence[bytes]) -> set[bytes]:
        found: set[bytes] = set()
        for asked in chunks(digests):
            statement = select(manifest_blocks.c.digest).where(self._unit.among(manifest_blocks.c.digest, asked))
            found.update(self._unit.execute(statement).scalars())
        return found


def _checked(digest: bytes, *, data: bytes) -> bytes:
    if blake3(data).digest() != digest:
        raise DigestMismatch(
            f"The part {digest.hex()} of a manifest is damaged in the database.",
            hint="Bring the database back from a backup; versions that do not name this part are whole.",
        )
    return bytes(data)
