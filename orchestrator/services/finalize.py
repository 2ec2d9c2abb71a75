"""A draft becomes a version that never changes again.

That takes two steps, so that nobody waits for the comparing of manifests: `prepare_finalize` reads and plans, and
`finalize_dataset` writes what was planned where all that the plan went by is still so, else the plan is made anew.

Where another version became the newest since the draft was begun, what the draft changed is applied to that one, as
long as the two touched different paths: nobody's files vanish from the newest version.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import blake3

from orchestrator.errors import AlreadyExists, Conflict, HeadMoved, InvalidPath, InvalidRequest
from orchestrator.records.dataset import DatasetState, SemanticVersion
from orchestrator.records.event import EventType
from orchestrator.records.manifest import NO_DIGEST, Manifest, named
from orchestrator.records.manifest_changes import contested, diff, edit
from orchestrator.records.principal import Permission
from orchestrator.services.announce import announce_dataset
from orchestrator.services.dataset_states import CLOSED, require_present
from orchestrator.services.lost_files import require_whole
from orchestrator.services.manifest_entries import counts
from orchestrator.services.spill import Spill
from orchestrator.services.version_numbers import holder_of, next_number, number_taken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from orchestrator.records.base import Id
    from orchestrator.records.dataset import DatasetVersion
    from orchestrator.records.manifest_changes import Change
    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Transaction

T = TypeVar("T")

_SHOWN = 5
_PLANS = 5
"""How often a plan is made before one is made while everybody else waits."""
_CHANGES_AT_ONCE = 10_000
_BLOCKS_AT_ONCE = 64


class PlanOutdated(Exception):
    """What a plan went by has changed."""


@dataclass(frozen=True, kw_only=True)
class FinalizePlan:
    """How a draft becomes final."""

    draft: DatasetVersion
    manifest: Manifest
    """The draft's."""
    head: Id | None
    """The dataset's newest version."""
    result: Manifest
    """The version's: the draft's, or its changes applied to the head's."""
    blocks: Spill
    """Those of the result that may be new, and some that were made on the way."""
    parents: tuple[Id, ...]
    number: str
    added: int
    modified: int
    removed: int


def finalize_in_steps(*, prepare: Callable[[], FinalizePlan], carry_out: Callable[[FinalizePlan | None], T]) -> T:
    """Finalize a version: plan and carry out, again where the plan is outdated by then.

    Args:
        prepare: runs `prepare_finalize` in a transaction that reads.
        carry_out: runs `finalize_dataset` in a transaction that writes.
    """
    for _ in range(_PLANS):
        try:
            return carry_out(prepare())
        except PlanOutdated:
            continue
    try:
        return carry_out(None)
    except PlanOutdated:
        raise Conflict("Others finalize versions of this dataset all the time.", hint="Try again.") from None


def prepare_finalize(
    transaction: Transaction, actor: Principal, *, version_id: Id, expected: str | None = None
) -> FinalizePlan:
    """Plan how a draft becomes its dataset's newest version.

    Args:
        transaction: a reading one is enough.
        actor: who asks.
        version_id: the draft.
        expected: digest of the manifest that the version must get; None for any.

    Raises:
        NotFound: there is no such version, or it was deleted.
        Forbidden: the actor may not edit in its project.
        Conflict: it is no draft any more, or has other files than are expected.
        AlreadyExists: another final version has the number that was asked for.
        HeadMoved: another version was finalized in between and touched the same paths, or its files are not expected;
            the draft stays as it is.
        InvalidRequest: it is empty, or bytes are missing.
        DigestMismatch: bytes of files that it takes over are damaged.
    """
    datasets = transaction.datasets
    draft = datasets.get(version_id)
    actor.require(Permission.EDIT, draft.project)
    require_present(draft)
    if draft.state is not DatasetState.OPEN:
        raise Conflict(f"{draft.name} {draft.version} is {draft.state} already.")
    manifest = datasets.manifest(version_id)
    head = datasets.head(project=draft.project, name=draft.name)
    _check_files(draft, manifest=manifest)
    blocks = Spill()
    result, parents = manifest, draft.parents
    if head is not None and head != draft.base:
        result = _rebased(transaction, draft=draft, manifest=manifest, head=head, blocks=blocks)
        _check_files(draft, manifest=result)
        parents = _parents_after_rebase(draft, head=head)
    require_whole(transaction, draft=draft, manifest=result, load=_load(transaction, fresh=blocks))
    if expected is not None:
        _check_expected(draft, result=result, expected=expected, rebased=result != manifest)
    before = datasets.manifest(parents[0]) if parents else Manifest()
    added, modified, removed = _weigh(transaction, draft=draft, before=before, after=result, fresh=blocks)
    return FinalizePlan(
        draft=draft,
        manifest=manifest,
        head=head,
        result=result,
        blocks=blocks,
        parents=parents,
        number=_number(transaction, draft=draft, head=head),
        added=added,
        modified=modified,
        removed=removed,
    )


def finalize_dataset(
    transaction: Transaction,
    actor: Principal,
    *,
    version_id: Id,
    plan: FinalizePlan | None,
    expected: str | None = None,
) -> DatasetVersion:
    """Close a draft and make it its dataset's newest version.

    Args:
        transaction: a writing one.
        actor: who asks.
        version_id: the draft.
        plan: what was planned; None to plan here, while everybody who writes waits.
        expected: see `prepare_finalize`.

    Raises:
        PlanOutdated: nothing was done; plan again.
        OrchestratorError: see `prepare_finalize`.
    """
    if plan is None:
        plan = prepare_finalize(transaction, actor, version_id=version_id, expected=expected)
    datasets = transaction.datasets
    draft = datasets.get(version_id)
    actor.require(Permission.EDIT, draft.project)
    if not _is_as_planned(draft, plan=plan):
        raise PlanOutdated
    now = transaction.now()
    final = draft.changed(
        state=DatasetState.FINAL,
        version=plan.number,
        parents=plan.parents,
        base=plan.head if plan.parents != draft.parents else draft.base,
        manifest=_digest_of(plan.result),
        file_count=plan.result.file_count,
        size_bytes=plan.result.size_bytes,
        added_count=plan.added,
        modified_count=plan.modified,
        removed_count=plan.removed,
        finalized_at=now,
        changed_at=now,
    )
    try:
        datasets.replace(final, expected=draft)  # first: from here on no file can come or go
    except AlreadyExists as error:
        raise PlanOutdated from error  # the next plan counts on, or says who has it
    if datasets.manifest(version_id) != plan.manifest:
        raise PlanOutdated
    for some in plan.blocks.batches((block.digest for block in plan.result.blocks), most=_BLOCKS_AT_ONCE):
        datasets.save_blocks(some)
    if plan.result != plan.manifest:
        datasets.put_manifest(version_id, plan.result)
    try:
        datasets.move_head(project=draft.project, name=draft.name, expected=plan.head, to=draft.id)
    except HeadMoved as error:
        raise PlanOutdated from error
    announce_dataset(transaction, actor, type=EventType.DATASET_FINALIZED, version=final, added=final.tags)
    return final


def _is_as_planned(draft: DatasetVersion, *, plan: FinalizePlan) -> bool:
    """Tell whether a draft is the one that was planned for, but for its tags and texts."""
    return plan.draft.changed(tags=draft.tags, description=draft.description, changed_at=draft.changed_at) == draft


def _digest_of(manifest: Manifest) -> str:
    return named(blake3.blake3(manifest.encode()).digest())


def _check_expected(draft: DatasetVersion, *, result: Manifest, expected: str, rebased: bool) -> None:
    if _digest_of(result) == expected:
        return
    if rebased:
        raise HeadMoved(
            f"Another version of {draft.name} was finalized since {draft.version} was begun, whose files would come to "
            "those that are expected. The draft is kept.",
            hint="Begin a new draft from the newest version, or say not which manifest is expected.",
        )
    raise Conflict(
        f"{draft.name} {draft.version} has other files than are expected. The draft is kept.",
        hint="Somebody else changes it, too: look at its files.",
    )


def _check_files(draft: DatasetVersion, *, manifest: Manifest) -> None:
    if not manifest.file_count:
        raise InvalidRequest(
            f"{draft.name} {draft.version} has no files.",
            hint=f"Add some: retrain dataset add {draft.id} PATH",
        )


def _rebased(
    transaction: Transaction, *, draft: DatasetVersion, manifest: Manifest, head: Id, blocks: Spill
) -> Manifest:
    """Return the head's files with what the draft changed against its base; blocks that are made are put into `blocks`.

    Raises:
        HeadMoved: both changed the same paths.
    """
    datasets = transaction.datasets
    base, newest = _base_files(transaction, draft=draft), datasets.manifest(head)

    def changes(after: Manifest) -> Iterable[Change]:
        return diff(base, after, load=datasets.blocks)

    def save(data: bytes) -> bytes:
        digest = blake3.blake3(data).digest()
        blocks[digest] = data
        return digest

    disputed = contested(changes(manifest), changes(newest))
    if shown := list(islice(disputed, _SHOWN)):
        count = len(shown) + sum(1 for _ in disputed)
        more = f" and {count - len(shown)} more" if count > len(shown) else ""
        raise _head_moved(transaction, draft=draft, head=head, paths=", ".join(map(repr, shown)) + more)
    own = ((change.path, change.after) for change in changes(manifest))
    try:
        return edit(newest, own, load=datasets.blocks, save=save)
    except InvalidPath as error:
        raise _head_moved(transaction, draft=draft, head=head, paths=error.message.removesuffix(".")) from error


def _base_files(transaction: Transaction, *, draft: DatasetVersion) -> Manifest:
    """Return what the draft was begun from; where that was deleted, what came before it."""
    seen: set[str] = set()
    base = draft.base
    while base is not None and base not in seen:
        seen.add(base)
        version = transaction.datasets.get(base)
        if version.deleted_at is None:
            return transaction.datasets.manifest(base)
        own_line = [
            parent
            for parent in map(transaction.datasets.get, version.parents)
            if (parent.project, parent.name) == (draft.project, draft.name)
        ]
        base = own_line[0].id if own_line else None
    return Manifest()


def _head_moved(transaction: Transaction, *, draft: DatasetVersion, head: Id, paths: str) -> HeadMoved:
    newest = transaction.datasets.get(head)
    return HeadMoved(
        f"{draft.name} {newest.version} was finalized since {draft.version} was begun, and both changed: {paths}. "
        "The draft is kept.",
        hint=f"Take these paths out of the draft, or put them as they are in {newest.version}, and finalize it again; "
        f"or begin a new draft from {newest.id} and add your files to it.",
    )


def _parents_after_rebase(draft: DatasetVersion, *, head: Id) -> tuple[Id, ...]:
    if draft.base in draft.parents:
        replaced = [head if parent == draft.base else parent for parent in draft.parents]
    else:
        replaced = [head, *draft.parents]
    return tuple(dict.fromkeys(replaced))


def _weigh(
    transaction: Transaction, *, draft: DatasetVersion, before: Manifest, after: Manifest, fresh: Spill
) -> tuple[int, int, int]:
    """Return how many files are added, modified and removed, and check that the bytes of the new ones are there."""
    added = modified = removed = 0
    missing = 0
    shown: list[str] = []
    changes = diff(before, after, load=_load(transaction, fresh=fresh))
    while batch := list(islice(changes, _CHANGES_AT_ONCE)):
        for change in batch:
            one_added, one_modified, one_removed = counts(change.before, change.after)
            added, modified, removed = added + one_added, modified + one_modified, removed + one_removed
        digests = {change.after.digest for change in batch if change.after is not None} - {NO_DIGEST}
        if gone := set(transaction.blobs.missing(sorted(digests))):
            paths = [change.path for change in batch if change.after is not None and change.after.digest in gone]
            missing += len(paths)
            shown += paths[: _SHOWN - len(shown)]
    if missing:
        more = f" and {missing - len(shown)} more" if missing > len(shown) else ""
        raise InvalidRequest(
            f"The bytes of {missing} files of {draft.name} {draft.version} are missing: "
            f"{', '.join(map(repr, shown))}{more}.",
            hint=f"Add them again: retrain dataset add {draft.id} PATH",
        )
    return added, modified, removed


def _load(transaction: Transaction, *, fresh: Spill) -> Callable[[Sequence[bytes]], list[bytes]]:
    """Return what loads blocks, also those that are not stored yet."""

    def load(digests: Sequence[bytes]) -> list[bytes]:
        stored = [digest for digest in digests if digest not in fresh]
        blocks = dict(zip(stored, transaction.datasets.blocks(stored), strict=True)) if stored else {}
        return [fresh[digest] if digest in fresh else blocks[digest] for digest in digests]

    return load


def _number(transaction: Transaction, *, draft: DatasetVersion, head: Id | None) -> str:
    """Return the draft's number, or the next one where it was not asked for and is taken or outrun."""
    holder = holder_of(transaction, project=draft.project, name=draft.name, number=draft.version)
    if draft.numbered:
        if holder is not None:
            raise number_taken(holder)
        return draft.version
    own = SemanticVersion.parse(draft.version)
    outrun = head is not None and own < SemanticVersion.parse(transaction.datasets.get(head).version)
    if holder is None and not outrun:
        return draft.version
    return str(next_number(transaction, project=draft.project, name=draft.name, states=CLOSED))
