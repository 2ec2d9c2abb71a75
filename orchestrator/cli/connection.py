"""The server that a command speaks to."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from orchestrator.errors import InvalidRequest
from orchestrator.sdk.client import Client
from orchestrator.settings import find_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.settings import Server

_TOKEN = re.compile(r"[!-~]*")


def chosen_server() -> Server:
    """Return the server and token that this user's environment or files name.

    Raises:
        ServerUnreachable: none is named.
        InvalidRequest: the token is none.
    """
    server = find_server()
    check_token(server.token.strip())
    return server


def check_token(token: str) -> None:
    """Raise `InvalidRequest` where a text cannot be a token: HTTP would not carry it."""
    if not _TOKEN.fullmatch(token):
        raise InvalidRequest(
            "The token holds a space, a line break or another character that no token has.",
            hint="Copy it again, as `retrain token create` printed it, into RETRAIN_TOKEN or retrain login.",
        )


@contextlib.contextmanager
def connected() -> Iterator[Client]:
    """Yield a client for the server that this user's environment or files name.

    Raises:
        ServerUnreachable: none is named, or it does not answer.
        InvalidRequest: the token is none.
    """
    server = chosen_server()
    with Client(server.url, server.token or None) as client:
        yield client
