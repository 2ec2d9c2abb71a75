"""Bytes on their way in and out of requests."""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse

from orchestrator.blobs import CHUNK_BYTES
from orchestrator.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fastapi import Request

logger = logging.getLogger(__name__)

OCTETS = "application/octet-stream"
_BYTES = {OCTETS: {"schema": {"type": "string", "format": "binary"}}}
BYTES_BODY: dict[str, Any] = {"requestBody": {"required": True, "content": _BYTES}}
"""What OpenAPI says of a route that takes bytes."""
BYTES_ANSWER: dict[int | str, dict[str, Any]] = {200: {"content": _BYTES}}
"""What OpenAPI says of a route that answers bytes."""


async def receive(request: Request, *, take: Callable[[bytes], object]) -> None:
    """Hand over a request's body as it comes, in threads: whoever takes it may wait for a disk.

    Raises:
        InvalidRequest: the sender broke off; what had arrived was handed over.
    """
    buffer = bytearray()
    try:
        async for piece in request.stream():
            buffer += piece
            if len(buffer) >= CHUNK_BYTES:
                await run_in_threadpool(take, bytes(buffer))
                buffer.clear()
    except ClientDisconnect:
        logger.info("upload broken off", extra={"action": "upload_broken_off"})
        await run_in_threadpool(take, bytes(buffer))
        raise InvalidRequest("The upload was broken off.", hint="Send it again.") from None
    if buffer:
        await run_in_threadpool(take, bytes(buffer))


def answer_octets(data: bytes, *, headers: Mapping[str, str] | None = None) -> Response:
    """Answer bytes that are in memory."""
    return Response(data, media_type=OCTETS, headers=headers)


def answer_stream(chunks: Iterator[bytes], *, size_bytes: int | None, media_type: str = OCTETS) -> Response:
    """Answer bytes as they come. What is wrong from the start is answered as an error; later it breaks the answer off.

    Args:
        chunks: the bytes.
        size_bytes: how many they are, where that is known.
        media_type: of the answer.
    """
    first = next(chunks, b"")
    headers = {} if size_bytes is None else {"Content-Length": str(size_bytes)}
    return StreamingResponse(itertools.chain([first], chunks), media_type=media_type, headers=headers)
