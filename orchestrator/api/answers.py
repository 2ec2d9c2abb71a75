"""Answers, written straight from records: they were validated when they were made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.records.base import Record

_JSON = "application/json"


def answer(record: Record, *, status: int = 200) -> Response:
    """Return a record."""
    return answer_bytes(encode(record), status=status)


def answer_bytes(body: bytes, *, status: int = 200) -> Response:
    """Return JSON that is encoded already."""
    return Response(body, status_code=status, media_type=_JSON)


def answer_page(records: Sequence[Record], *, limit: int, key: Callable[[Any], str]) -> Response:
    """Return one page.

    Args:
        records: one more than `limit` of them where there is another page.
        limit: most records of a page.
        key: what to ask with for those after a record.
    """
    shown = records[:limit]
    return answer_list(shown, following=key(shown[-1]) if len(records) > limit else None)


def answer_list(records: Sequence[Record], *, following: str | None = None) -> Response:
    """Return records and, where there are more, the cursor to ask with."""
    return answer_bytes(encode_list(records, following=following))


def encode(record: Record) -> bytes:
    """Return a record as JSON."""
    return record.model_dump_json().encode()


def encode_list(records: Sequence[Record], *, following: str | None = None) -> bytes:
    """Return a page as JSON."""
    items = b",".join(encode(record) for record in records)
    return b'{"items":[' + items + b'],"next":' + json.dumps(following).encode() + b"}"
