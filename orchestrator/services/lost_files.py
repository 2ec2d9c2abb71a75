"""Files of a version whose stored bytes turned out to be damaged and that nobody has stored again."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from orchestrator.errors import DigestMismatch
from orchestrator.records.manifest import named
from orchestrator.services.read_datasets import get_files
from orchestrator.wire import MissingBlobs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from orchestrator.records.base import Id
    from orchestrator.records.dataset import DatasetVersion
    from orchestrator.records.manifest import Entry, Manifest
    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Transaction

    Load = Callable[[Sequence[bytes]], list[bytes]]

_SHOWN = 5


def get_files_and_health(transaction: Transaction, actor: Principal, *, version_id: Id) -> tuple[Manifest, bool]:
    """Return a version's manifest, and whether the bytes of any file of any version are known to be damaged.

    Raises:
        NotFound: there is no such version, or it was deleted.
        Forbidden: the actor may not read in its project.
    """
    return get_files(transaction, actor, version_id=version_id), bool(transaction.blobs.lost())


def list_lost(transaction: Transaction, actor: Principal, *, version_id: Id) -> MissingBlobs:
    """Return which blobs of a version were lost; only where any were lost at all its files are looked through.

    Raises:
        NotFound: there is no such version, or it was deleted.
        Forbidden: the actor may not read in its project.
    """
    manifest = get_files(transaction, actor, version_id=version_id)
    lost = {entry.digest for entry in _lost_files(transaction, manifest, load=transaction.datasets.blocks)}
    return MissingBlobs(missing=tuple(map(named, sorted(lost))))


def require_whole(transaction: Transaction, *, draft: DatasetVersion, manifest: Manifest, load: Load) -> None:
    """Check that none of the files that a version takes over from another is known to be damaged.

    Args:
        transaction: any.
        draft: the version, for the message.
        manifest: its files.
        load: returns blocks of the manifest.

    Raises:
        DigestMismatch: some are; the message names them.
    """
    lost = _lost_files(transaction, manifest, load=load)
    paths = [repr(entry.path) for entry in islice(lost, _SHOWN)]
    if not paths:
        return
    more = sum(1 for _ in lost)
    raise DigestMismatch(
        f"The stored bytes of files in {draft.name} {draft.version} are damaged: {', '.join(paths)}"
        f"{f' and {more} more' if more else ''}.",
        hint=f"Add these files again; or retrain dataset repair {draft.id} --from FOLDER; or remove them.",
    )


def _lost_files(transaction: Transaction, manifest: Manifest, *, load: Load) -> Iterator[Entry]:
    lost = transaction.blobs.lost()
    return (entry for entry in (manifest.entries(load=load) if lost else ()) if entry.digest in lost)
