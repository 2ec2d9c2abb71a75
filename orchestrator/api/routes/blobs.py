"""Bytes, streamed both ways."""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path, Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse

from orchestrator.api.answers import answer
from orchestrator.api.caller import Editor, Reader
from orchestrator.blobs import CHUNK_BYTES
from orchestrator.errors import InvalidRequest
from orchestrator.services.blobs import locate_blob, missing_blobs, record_blob
from orchestrator.wire import Digests, MissingBlobs, StoredBlob

if TYPE_CHECKING:
    from orchestrator.api.caller import Caller
    from orchestrator.blobs import BlobWriter

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/blobs", tags=["blobs"])

DigestInPath = Annotated[str, Path(pattern=r"^blake3:[0-9a-f]{64}$")]
_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_BYTES_BODY = {"requestBody": {"required": True, "content": _BYTES}}


@router.post("/missing", response_model=MissingBlobs)
def missing(body: Digests, caller: Editor) -> Response:
    """Say which of these are not stored."""
    return answer(caller.write(missing_blobs, body=body))


@router.put("/{digest}", response_model=StoredBlob, openapi_extra=_BYTES_BODY)
async def put(digest: DigestInPath, request: Request, caller: Editor) -> Response:
    """Store bytes under the digest that they must have."""
    return await _receive(request, caller, writer=caller.parts.blobs.writer(expected=digest))


@router.post("", response_model=StoredBlob, openapi_extra=_BYTES_BODY)
async def post(request: Request, caller: Editor) -> Response:
    """Store bytes of a sender that has no BLAKE3; their SHA-256 is answered, too, for it to compare."""
    return await _receive(request, caller, writer=caller.parts.blobs.writer(sha256=True))


@router.get("/{digest}", responses={200: {"content": _BYTES}})
def get(digest: DigestInPath, caller: Reader) -> Response:
    """Get bytes. Where the stored ones turn out to be corrupt, the answer is broken off before its end."""
    _, location, offset, size_bytes = caller.read(locate_blob, digest=digest)
    chunks = caller.parts.blobs.read(location, digest=digest, offset=offset, size_bytes=size_bytes)
    first = next(chunks)  # what is wrong from the start is answered as an error
    return StreamingResponse(
        itertools.chain([first], chunks),
        media_type="application/octet-stream",
        headers={"Content-Length": str(size_bytes)},
    )


async def _receive(request: Request, caller: Caller, *, writer: BlobWriter) -> Response:
    location = caller.parts.blobs.location
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
        blob = await run_in_threadpool(writer.finish)
    stored = await run_in_threadpool(
        caller.write, record_blob, blob=blob, store=caller.parts.blobs.name, location=location(blob.digest)
    )
    return answer(stored)
