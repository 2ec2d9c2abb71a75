"""Bytes, streamed both ways."""

from __future__ import annotations

import itertools
import logging
from functools import partial
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path, Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse

from orchestrator.api.answers import answer
from orchestrator.api.caller import Reader, Uploader
from orchestrator.blobs import CHUNK_BYTES
from orchestrator.errors import DigestMismatch, InvalidRequest
from orchestrator.services.blobs import admit_upload, forget_blob, locate_blob, missing_blobs, record_blob
from orchestrator.wire import Digests, MissingBlobs, StoredBlob

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.api.caller import Caller
    from orchestrator.blobs import BlobWriter

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/blobs", tags=["blobs"])

DigestInPath = Annotated[str, Path(pattern=r"^blake3:[0-9a-f]{64}$")]
_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_BYTES_BODY = {"requestBody": {"required": True, "content": _BYTES}}


@router.post("/missing", response_model=MissingBlobs)
def missing(body: Digests, caller: Uploader) -> Response:
    """Say which of these are not stored."""
    return answer(caller.write(missing_blobs, body=body))


@router.put("/{digest}", response_model=StoredBlob, openapi_extra=_BYTES_BODY)
async def put(digest: DigestInPath, request: Request, caller: Uploader) -> Response:
    """Store bytes under the digest that they must have."""
    return await _receive(request, caller, writer=caller.parts.blobs.writer(expected=digest))


@router.post("", response_model=StoredBlob, openapi_extra=_BYTES_BODY)
async def post(request: Request, caller: Uploader) -> Response:
    """Store bytes of a sender that has no BLAKE3; their SHA-256 is answered, too, for it to compare."""
    return await _receive(request, caller, writer=caller.parts.blobs.writer(sha256=True))


@router.get("/{digest}", responses={200: {"content": _BYTES}})
def get(digest: DigestInPath, caller: Reader) -> Response:
    """Get bytes. Where the stored ones turn out to be corrupt, the answer is broken off before its end."""
    _, location, offset, size_bytes = caller.read(locate_blob, digest=digest)
    parts = caller.parts

    def read() -> Iterator[bytes]:
        try:
            yield from parts.blobs.read(location, digest=digest, offset=offset, size_bytes=size_bytes)
        except DigestMismatch:
            parts.store.write(partial(forget_blob, digest=digest, location=location))
            raise

    chunks = read()
    first = next(chunks)  # what is wrong from the start is answered as an error
    return StreamingResponse(
        itertools.chain([first], chunks),
        media_type="application/octet-stream",
        headers={"Content-Length": str(size_bytes)},
    )


async def _receive(request: Request, caller: Caller, *, writer: BlobWriter) -> Response:
    """Store a body.

    The fence is checked before bytes are taken, again before they get their place, and with the row that says where
    they lie. Bytes without that row, left by a crash or an attempt that ended in between, are nobody's: they are
    missing for whoever asks, and the next upload of the same replaces them.
    """
    location = caller.parts.blobs.location
    await run_in_threadpool(caller.read, admit_upload)
    with writer:
        buffer = bytearray()
        try:
            async for piece in request.stream():
                buffer += piece
                if len(buffer) >= CHUNK_BYTES:
                    await run_in_threadpool(writer.write, bytes(buffer))
                    buffer.clear()
        except ClientDisconnect:
            logger.info("upload broken off", extra={"action": "upload_broken_off"})
            raise InvalidRequest("The upload was broken off.", hint="Send it again.") from None
        await run_in_threadpool(writer.write, bytes(buffer))
        await run_in_threadpool(caller.read, admit_upload)
        blob = await run_in_threadpool(writer.finish)
    stored = await run_in_threadpool(
        caller.write, record_blob, blob=blob, store=caller.parts.blobs.name, location=location(blob.digest)
    )
    return answer(stored)
