"""Large blobs in several requests: what arrived before a cut stays, and the next request goes on there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from orchestrator.api.answers import answer
from orchestrator.api.caller import Uploader
from orchestrator.api.routes.blobs import DigestInPath, ForDataset
from orchestrator.api.routes.queries import Offset
from orchestrator.api.streams import BYTES_BODY, receive
from orchestrator.blobs.spans import object_path
from orchestrator.records.blob import PlacedAt, StoredObject
from orchestrator.records.manifest import raw
from orchestrator.services.blobs import absent_blobs, admit_upload, pin_blobs, record_object
from orchestrator.wire import UploadState

if TYPE_CHECKING:
    from orchestrator.api.caller import Caller
    from orchestrator.services.resumable_uploads import ArrivingUpload

router = APIRouter(prefix="/blobs", tags=["blobs"])

Size = Annotated[int, Query(ge=0, le=2**62, description="Of the whole blob, in bytes.")]


@router.get("/{digest}/upload", response_model=UploadState)
def show(digest: DigestInPath, caller: Uploader) -> Response:
    """Say how far an upload of the caller's has come; a blob that is stored is pinned for an hour."""
    return answer(_state(caller, digest=digest))


@router.put("/{digest}/upload", response_model=UploadState, openapi_extra=BYTES_BODY)
async def go_on(  # noqa: PLR0913  a part of an upload has many parts
    *,
    digest: DigestInPath,
    request: Request,
    caller: Uploader,
    offset: Offset,
    size: Size,
    dataset: ForDataset = None,
) -> Response:
    """Send bytes from an offset on; when all have arrived they are checked and stored.

    An offset other than how many bytes have arrived is refused with 409, which says the right one.
    """
    storage = await run_in_threadpool(caller.read, admit_upload, dataset=dataset)
    state = await run_in_threadpool(_state, caller, digest=digest)
    if state.stored:
        return answer(state)
    uploads = caller.parts.uploads
    upload = await run_in_threadpool(uploads.begin, digest, sender=caller.principal.id, offset=offset, size_bytes=size)
    with upload:
        await receive(request, take=upload.write)
        stored = await run_in_threadpool(_settle, caller, storage=storage, digest=digest, upload=upload)
    return answer(UploadState(received_bytes=upload.received_bytes, stored=stored))


def _state(caller: Caller, *, digest: str) -> UploadState:
    uploads, sender = caller.parts.uploads, caller.principal.id
    busy, received = uploads.is_busy(digest, sender=sender), uploads.received(digest, sender=sender)
    digests = [raw(digest)]
    stored = not caller.read(absent_blobs, digests=digests) and not caller.write(pin_blobs, digests=digests)
    return UploadState(received_bytes=received, stored=stored, busy=busy and not stored)


def _settle(caller: Caller, *, storage: str, digest: str, upload: ArrivingUpload) -> bool:
    if not upload.check():
        return False
    caller.read(admit_upload)
    blobs = caller.parts.storages.of(storage)
    with caller.parts.storages.holding(storage, object_path(digest)):
        span = upload.store(blobs)
        caller.write(
            record_object,
            stored=StoredObject(storage, span.path, span.size_bytes, span.part_bytes),
            blobs=[PlacedAt(raw(digest), 0, span.size_bytes)],
        )
        caller.parts.storages.require_kept(storage, span.path, part_bytes=span.part_bytes)
    return True
