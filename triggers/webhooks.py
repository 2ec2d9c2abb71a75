"""Webhooks: JSON that is POSTed to a URL, signed as Standard Webhooks have it.

Whatever is no 2xx fails the firing with the status in its reason, and the server has it sent again later by its own
backoff, after an answer that says that it will never be taken, too: whoever mends the receiver misses nothing. The
receiver tells what was sent twice by `webhook-id`, which is the firing's id.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from orchestrator.errors import InvalidRequest
from triggers.outgoing import post
from triggers.templates import fill
from triggers.texts import cut

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from orchestrator.records.action import WebhookAction
    from orchestrator.records.links import LinkPolicy
    from orchestrator.wire import FiringWork
    from triggers.secrets import Secrets

ANSWER_CHARACTERS = 1000
"""Of an answer, kept with the firing."""
_PREFIX = "whsec_"


def send(
    work: FiringWork, action: WebhookAction, *, secrets: Secrets, policy: LinkPolicy, now: datetime
) -> dict[str, Any]:
    """Send what a firing has to tell; return the status and the beginning of the answer.

    Args:
        work: the firing.
        action: what to send, and where.
        secrets: have the key.
        policy: which addresses are allowed.
        now: by the database's clock: receivers refuse what is signed at another time.

    Raises:
        NotFound: the secret is not set.
        InvalidRequest: it is no key.
        Forbidden: the address is not allowed.
        Undelivered: it was not taken.
    """
    body = json.dumps(body_of(work, action, now=now), ensure_ascii=False, allow_nan=False).encode()
    stamp = str(int(now.timestamp()))
    headers = {"webhook-id": work.firing.id, "webhook-timestamp": stamp}
    if action.secret is not None:
        key = _key(secrets.get(action.secret), name=action.secret)
        headers["webhook-signature"] = signature(body, key=key, message_id=work.firing.id, timestamp=stamp)
    parts = urlsplit(action.url)
    answer = post(
        action.url,
        body,
        headers=headers,
        timeout_seconds=action.timeout_seconds,
        policy=policy,
        name=f"The webhook at {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}",
    )
    return {"status": answer.status, "answer": cut(answer.text, characters=ANSWER_CHARACTERS)}


def body_of(work: FiringWork, action: WebhookAction, *, now: datetime) -> Any:  # noqa: ANN401  JSON
    """Return the body: the action's own with its texts filled in, or type, time, trigger, firing and events."""
    if action.body is not None:
        return _filled(action.body, work.values)
    newest = work.events[-1] if work.events else None
    at = newest.at if newest is not None else work.firing.occurrence_at or now
    return {
        "type": newest.type if newest is not None else "schedule",
        "timestamp": at.isoformat(),
        "data": {
            "trigger": {"id": work.trigger.id, "name": work.trigger.name, "revision": work.trigger.revision},
            "firing": {"id": work.firing.id, "occurrence_at": _iso(work.firing.occurrence_at)},
            "events": [event.model_dump(mode="json") for event in work.events],
        },
    }


def signature(body: bytes, *, key: bytes, message_id: str, timestamp: str) -> str:
    """Return the header that proves who sent a body and when."""
    signed = b".".join([message_id.encode(), timestamp.encode(), body])
    return f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"


def _key(secret: str, *, name: str) -> bytes:
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise InvalidRequest(
            f"The secret {name!r} begins with {_PREFIX} and does not go on in base64.", hint="Copy all of it."
        ) from None


def _filled(value: Any, values: Mapping[str, str]) -> Any:  # noqa: ANN401  JSON
    if isinstance(value, str):
        return fill(value, values)
    if isinstance(value, dict):
        return {name: _filled(each, values) for name, each in value.items()}
    return [_filled(each, values) for each in value] if isinstance(value, list) else value


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
