"""Requests that the server reads for minutes for: those on versions of millions of files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from orchestrator.sdk.ingest.patience import Patience

if TYPE_CHECKING:
    from orchestrator.sdk.client import Client

ANSWER_SECONDS = 600.0


def post_lasting(client: Client, path: str, body: object = None) -> Any:  # noqa: ANN401  JSON
    """Send a JSON body and wait for the answer as long as it takes; after a cut the same request is sent again.

    All tries bear one `Idempotency-Key`: where the first arrived after all, its answer is the answer of the others.

    Raises:
        ServerUnreachable, ServerFailed, Unavailable: still, after a minute of tries.
    """
    key = os.urandom(16).hex()
    return Patience().during(lambda: client.post(path, body, key=key, timeout_seconds=ANSWER_SECONDS))
