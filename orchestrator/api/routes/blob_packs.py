"""Many small blobs in one request, both ways."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from orchestrator.api.answers import answer
from orchestrator.api.caller import Reader, Uploader
from orchestrator.api.routes.blobs import ForDataset
from orchestrator.api.streams import BYTES_ANSWER, BYTES_BODY, answer_stream, receive
from orchestrator.errors import DigestMismatch, NotFound
from orchestrator.records.manifest import raw
from orchestrator.services.blobs import (
    absent_blobs,
    admit_upload,
    forget_blob,
    locate_all,
    pin_blobs,
    record_pack,
)
from orchestrator.services.read_bytes import read_blobs
from orchestrator.services.receive_pack import PackReceiver
from orchestrator.wire import Digests, StoredBlobs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.api.caller import Caller
    from orchestrator.services.read_bytes import Wanted

router = APIRouter(prefix="/blobs", tags=["blobs"])


@router.post("/packs", response_model=StoredBlobs, openapi_extra=BYTES_BODY)
async def store_pack(request: Request, caller: Uploader, dataset: ForDataset = None) -> Response:
    """Store small blobs: the length of a header as four bytes, little-endian, the header, then the blobs' bytes.

    The header is JSON, {"sizes": [...], "digests": [...]}; digests are null where the sender has no BLAKE3.
    """
    storage = await run_in_threadpool(caller.read, admit_upload, dataset=dataset)
    receiver = PackReceiver(
        await run_in_threadpool(caller.parts.storages.of, storage),
        missing=lambda digests: caller.read(absent_blobs, digests=digests),
        record=lambda pack: caller.write(record_pack, storage=storage, pack=pack),
    )
    try:
        await receive(request, take=receiver.feed)
        return answer(await run_in_threadpool(_settle, caller, receiver=receiver))
    except BaseException as error:
        await run_in_threadpool(receiver.give_up, error)
        raise


@router.post("/bundle", responses=BYTES_ANSWER)
def send_bundle(body: Digests, caller: Reader) -> Response:
    """Get blobs, one after the other in the order asked; whoever asks knows their sizes.

    Where stored bytes turn out to be corrupt, the answer is broken off before its end.
    """
    wanted = caller.read(locate_all, digests=[raw(digest) for digest in body.digests])
    return answer_stream(_read(caller, wanted), size_bytes=sum(each.place.size_bytes for each in wanted))


def _settle(caller: Caller, *, receiver: PackReceiver) -> StoredBlobs:
    caller.read(admit_upload)
    stored = receiver.finish()
    if held := [raw(blob.digest) for blob in stored if raw(blob.digest) not in receiver.packed]:
        gone = caller.write(pin_blobs, digests=held)
        if gone:
            raise NotFound(f"{len(gone)} blobs were removed while the pack was stored.", hint="Send it again.")
    return StoredBlobs(blobs=tuple(stored))


def _read(caller: Caller, wanted: list[Wanted]) -> Iterator[bytes]:
    parts = caller.parts
    done = 0
    begun = False
    while done < len(wanted):
        try:
            for read in read_blobs(parts.storages, wanted[done:]):
                yield read.data
                begun = not read.ended
                done += read.ended
        except DigestMismatch:
            bad = wanted[done]
            parts.store.write(partial(forget_blob, digest=bad.digest, place=bad.place))
            raise
        except NotFound:
            moved = caller.read(locate_all, digests=[each.digest for each in wanted[done:]])
            if begun or moved[0] == wanted[done]:
                raise
            wanted[done:] = moved
