"""The files of dataset versions."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from orchestrator.api.answers import answer, answer_page, encode
from orchestrator.api.caller import Editor, Reader
from orchestrator.api.routes.queries import DEFAULT_LIMIT, After, Key, Limit
from orchestrator.api.streams import BYTES_ANSWER, answer_octets, answer_stream
from orchestrator.records.dataset import DatasetVersion, EntryChange, ManifestEntry, Storage
from orchestrator.services.compare_datasets import compare_datasets
from orchestrator.services.dataset_entries import edit_entries
from orchestrator.services.lost_files import get_files_and_health, list_lost
from orchestrator.services.read_datasets import get_blocks, get_entry, list_entries, storage_of
from orchestrator.services.verify_dataset import begin_verify, verify_files
from orchestrator.wire import Blocks, EditEntries, MissingBlobs, Page, Verified, VerifyDataset

if TYPE_CHECKING:
    from collections.abc import Iterator

router = APIRouter(prefix="/datasets", tags=["datasets"])

FilePath = Annotated[str, Query(max_length=4096)]
Below = Annotated[str | None, Query(max_length=4096, description="Only what is in this directory.")]
_LENGTH = struct.Struct("<I")
_LINES = "application/x-ndjson"


@router.get("/{version_id}/entries", response_model=Page[ManifestEntry])
def entries(
    version_id: Key, caller: Reader, after: After = None, below: Below = None, limit: Limit = DEFAULT_LIMIT
) -> Response:
    """List a version's files in the order of a walk: part by part of their paths, each by its bytes."""
    found = caller.read(list_entries, version_id=version_id, after=after, below=below, limit=limit + 1)
    return answer_page(found, limit=limit, key=lambda entry: entry.path)


@router.get("/{version_id}/entry", response_model=ManifestEntry)
def entry(version_id: Key, path: FilePath, caller: Reader) -> Response:
    """Show one file of a version."""
    return answer(caller.read(get_entry, version_id=version_id, path=path))


@router.post("/{version_id}/entries", response_model=DatasetVersion)
def edit(version_id: Key, body: EditEntries, caller: Editor) -> Response:
    """Change a draft's files: all that is asked for, or nothing."""
    return caller.post(edit_entries, version_id=version_id, body=body)


@router.get("/{version_id}/manifest", responses=BYTES_ANSWER)
def manifest(version_id: Key, caller: Reader) -> Response:
    """Get the list of the blocks of a version's manifest, as `orchestrator.records.manifest` writes it.

    The header `Retrain-Lost` says whether any stored bytes are known to be damaged: only then ask for `missing`.
    """
    files, lost = caller.read(get_files_and_health, version_id=version_id)
    return answer_octets(files.encode(), headers={"Retrain-Lost": "1" if lost else "0"})


@router.post("/{version_id}/blocks", responses=BYTES_ANSWER)
def blocks(version_id: Key, body: Blocks, caller: Reader) -> Response:
    """Get blocks of a version's manifest in the order asked, each after its length: four bytes, little-endian."""
    found = caller.read(get_blocks, version_id=version_id, digests=[bytes.fromhex(digest) for digest in body.digests])
    return answer_octets(b"".join(part for block in found for part in (_LENGTH.pack(len(block)), block)))


@router.get("/{version_id}/missing", response_model=MissingBlobs)
def missing(version_id: Key, caller: Reader) -> Response:
    """Tell which of a version's blobs turned out to be damaged and were not stored again."""
    return answer(caller.read(list_lost, version_id=version_id))


@router.get("/{version_id}/diff", response_model=Page[EntryChange])
def diff(
    version_id: Key,
    caller: Reader,
    against: Annotated[str | None, Query(max_length=255)] = None,
    after: After = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """List how a version's files differ from another's; from its first parent's where none is named."""
    changes = caller.read(compare_datasets, version_id=version_id, against=against, after=after, limit=limit + 1)
    return answer_page(changes, limit=limit, key=lambda change: change.path)


@router.get("/{version_id}/storage", response_model=Storage)
def storage(version_id: Key, caller: Reader) -> Response:
    """Show the storage that a version's new bytes go to."""
    return answer(caller.read(storage_of, version_id=version_id))


@router.post(
    "/{version_id}/verify",
    responses={200: {"content": {_LINES: {"schema": {"$ref": "#/components/schemas/Verified"}}}}},
)
def verify(version_id: Key, body: VerifyDataset, caller: Reader) -> Response:
    """Read a version's bytes, all or a sample, and say line by line how far that has come and what is damaged.

    What is damaged is missing from then on where the caller may edit, so that the next upload heals it.
    """
    found, forget = caller.read(begin_verify, version_id=version_id)
    parts = caller.parts
    lines = verify_files(parts.store, storages=parts.storages, manifest=found, sample=body.sample, forget=forget)
    return answer_stream(_encoded(lines), size_bytes=None, media_type=_LINES)


def _encoded(lines: Iterator[Verified]) -> Iterator[bytes]:
    for line in lines:
        yield encode(line) + b"\n"
