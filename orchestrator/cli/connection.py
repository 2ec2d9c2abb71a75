"""The server that a command speaks to."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from orchestrator.sdk.client import Client
from orchestrator.settings import find_server

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def connected() -> Iterator[Client]:
    """Yield a client for the server that this user's environment or files name.

    Raises:
        ServerUnreachable: none is named, or it does not answer.
    """
    server = find_server()
    with Client(server.url, server.token or None) as client:
        yield client
