"""Bytes, one blob a request, and what is known of where they lie."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from orchestrator.api.answers import answer
from orchestrator.api.caller import Administrator, Editor, Reader, Uploader
from orchestrator.api.streams import BYTES_ANSWER, BYTES_BODY, answer_stream, receive
from orchestrator.errors import DigestMismatch, NotFound
from orchestrator.records.blob import PlacedAt, StoredObject
from orchestrator.records.manifest import named, raw
from orchestrator.services.blobs import (
    absent_blobs,
    admit_object,
    admit_upload,
    forget_blob,
    known_sizes,
    list_locations,
    locate_blob,
    pin_blobs,
    record_object,
)
from orchestrator.services.collect_garbage import collect_garbage, require_collect
from orchestrator.services.read_bytes import span_of
from orchestrator.services.register_object import check_object, check_there
from orchestrator.wire import (
    BlobLocations,
    Collected,
    CollectGarbage,
    Digests,
    MissingBlobs,
    Registered,
    RegisterObject,
    Sizes,
    StoredBlob,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.api.caller import Caller
    from orchestrator.blobs import BlobWriter
    from orchestrator.services.read_bytes import Wanted

router = APIRouter(prefix="/blobs", tags=["blobs"])

DigestInPath = Annotated[str, Path(pattern=r"^blake3:[0-9a-f]{64}$")]
OfDataset = Annotated[str, Query(min_length=1, max_length=64)]
ForDataset = Annotated[
    str | None, Query(max_length=255, description="Id of the version that the bytes are for: its storage is used.")
]


@router.post("/missing", response_model=MissingBlobs)
def missing(body: Digests, caller: Uploader) -> Response:
    """Say which of these are not stored, and pin the others for an hour."""
    digests = [raw(digest) for digest in dict.fromkeys(body.digests)]
    absent = set(caller.read(absent_blobs, digests=digests))
    if present := [digest for digest in digests if digest not in absent]:
        absent.update(caller.write(pin_blobs, digests=present))
    return answer(MissingBlobs(missing=tuple(named(digest) for digest in digests if digest in absent)))


@router.post("/sizes", response_model=Sizes)
def sizes(body: Sizes, caller: Uploader) -> Response:
    """Say which of these sizes some large file has that is stored: one of another size is new in any case."""
    return answer(Sizes(sizes=tuple(caller.read(known_sizes, sizes=body.sizes))))


@router.post("/locations", response_model=BlobLocations)
def locations(body: Digests, caller: Reader) -> Response:
    """Say where blobs lie, for who reads them straight from their storages; those that are missing are left out."""
    return answer(caller.read(list_locations, body=body))


@router.post("/objects", response_model=Registered)
def register(body: RegisterObject, caller: Editor, dataset: OfDataset) -> Response:
    """Record an object that somebody with access of their own wrote into a draft's storage, and the blobs in it."""
    stored, placed = check_object(body)
    caller.read(admit_object, dataset=dataset, storage=body.storage)
    with caller.parts.storages.holding(stored.storage, stored.path):
        check_there(caller.parts.storages.of(stored.storage), stored=stored, placed=placed)
        registered = caller.write(record_object, stored=stored, blobs=placed)
        caller.parts.storages.require_kept(stored.storage, stored.path, part_bytes=stored.part_bytes)
        return answer(Registered(new_blobs=registered))


@router.post("/collect", response_model=Collected)
def collect(body: CollectGarbage, caller: Administrator) -> Response:
    """Condemn what nothing names, and delete what was condemned long enough ago."""
    caller.read(require_collect)
    parts = caller.parts
    if not body.dry_run:
        parts.uploads.sweep()
    collected = collect_garbage(
        parts.store, storages=parts.storages, grace_seconds=body.grace_seconds, dry_run=body.dry_run
    )
    return answer(collected)


@router.put("/{digest}", response_model=StoredBlob, openapi_extra=BYTES_BODY)
async def put(digest: DigestInPath, request: Request, caller: Uploader, dataset: ForDataset = None) -> Response:
    """Store bytes under the digest that they must have."""
    storage = await run_in_threadpool(caller.read, admit_upload, dataset=dataset)
    blobs = await run_in_threadpool(caller.parts.storages.of, storage)
    return await _receive(request, caller, storage=storage, writer=blobs.writer(expected=digest))


@router.post("", response_model=StoredBlob, openapi_extra=BYTES_BODY)
async def post(request: Request, caller: Uploader, dataset: ForDataset = None) -> Response:
    """Store bytes of a sender that has no BLAKE3; their SHA-256 is answered, too, for it to compare."""
    storage = await run_in_threadpool(caller.read, admit_upload, dataset=dataset)
    blobs = await run_in_threadpool(caller.parts.storages.of, storage)
    return await _receive(request, caller, storage=storage, writer=blobs.writer(sha256=True))


@router.get("/{digest}", responses=BYTES_ANSWER)
def get(digest: DigestInPath, caller: Reader) -> Response:
    """Get bytes. Where the stored ones turn out to be corrupt, the answer is broken off before its end."""
    wanted = caller.read(locate_blob, digest=digest)
    try:
        return _send(caller, wanted)
    except NotFound:  # it may have been moved since
        moved = caller.read(locate_blob, digest=digest)
        if moved == wanted:
            raise
        return _send(caller, moved)


def _send(caller: Caller, wanted: Wanted) -> Response:
    parts = caller.parts

    def read() -> Iterator[bytes]:
        try:
            yield from parts.storages.of(wanted.place.storage).read(span_of(wanted.place), digest=named(wanted.digest))
        except DigestMismatch:
            parts.store.write(partial(forget_blob, digest=wanted.digest, place=wanted.place))
            raise

    return answer_stream(read(), size_bytes=wanted.place.size_bytes)


async def _receive(request: Request, caller: Caller, *, storage: str, writer: BlobWriter) -> Response:
    """Store a body.

    The fence is checked before bytes are taken, again before they get their place, and with the row that says where
    they lie. Bytes without that row, left by a crash or an attempt that ended in between, are nobody's: they are
    missing for whoever asks, and the next upload of the same replaces them.
    """
    with writer:
        await receive(request, take=writer.write)
        await run_in_threadpool(caller.read, admit_upload)
        return answer(await run_in_threadpool(_settle, caller, storage=storage, writer=writer))


def _settle(caller: Caller, *, storage: str, writer: BlobWriter) -> StoredBlob:
    with caller.parts.storages.holding(storage, writer.path):
        blob = writer.finish()
        caller.write(
            record_object,
            stored=StoredObject(storage, blob.path, blob.size_bytes),
            blobs=[PlacedAt(raw(blob.digest), 0, blob.size_bytes)],
        )
        caller.parts.storages.require_kept(storage, blob.path)
    return StoredBlob(digest=blob.digest, size_bytes=blob.size_bytes, sha256=blob.sha256)
