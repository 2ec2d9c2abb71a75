"""What every request passes first: protocol, size, token. Whatever is behind it needs a token without saying so."""

from __future__ import annotations

import base64
import binascii
import logging
import re
import time
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers

from orchestrator.api.errors import error_response
from orchestrator.errors import InvalidRequest, OrchestratorError, Unauthenticated, UnsupportedProtocol
from orchestrator.services.authenticate import authenticate
from orchestrator.wire import PROTOCOL

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Store

logger = logging.getLogger(__name__)

OPEN_PATHS = frozenset({"/healthz"})
"""What can be had without a token."""

DOCUMENTATION_PATHS = frozenset({"/api/docs", "/api/openapi.json"})
"""What a browser may show, too: it asks for the token as a password."""

LARGEST_BODY_BYTES = 32 << 20
"""Of a JSON body. Blobs are streamed and have no limit, pieces of console their own."""

_STREAMED = {
    "POST": re.compile(r"/api/v1/blobs(/packs)?"),
    "PUT": re.compile(r"/api/v1/(blobs/[^/]+(/upload)?|tasks/[^/]+/console)"),
}
"""Where bodies are bytes."""

_SPOKEN = {str(PROTOCOL), str(PROTOCOL - 1)} - {"0"}


class Gate:
    """ASGI middleware that lets through who may ask at all, and notes who it is.

    Args:
        app: what is behind it.
        store: knows the tokens.
    """

    def __init__(self, app: ASGIApp, store: Store) -> None:
        self._app = app
        self._store = store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._pass(scope, receive, noting)
        finally:
            logger.debug(
                "request answered",
                extra={
                    "action": "request",
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "seconds": round(time.perf_counter() - began, 6),
                },
            )

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            check_protocol(headers.get("retrain-protocol"))
            check_target(scope)
            principal = await self._authenticate(headers, path=path)
            scope.setdefault("state", {})["principal"] = principal
            if not carries_bytes(scope["method"], path=path):
                check_length(headers)
                receive = limited(receive)
        except OrchestratorError as error:
            challenge = (
                'Basic realm="retrain: any name, the token as password"' if path in DOCUMENTATION_PATHS else "Bearer"
            )
            await error_response(error, challenge=challenge)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _authenticate(self, headers: Headers, *, path: str) -> Principal:
        token = read_token(headers.get("authorization", ""), basic=path in DOCUMENTATION_PATHS)
        return await run_in_threadpool(self._store.read, lambda transaction: authenticate(transaction, token=token))


def read_token(header: str, *, basic: bool) -> str:
    """Return the token out of an `Authorization` header.

    Args:
        header: its value.
        basic: whether the token may come as the password of the Basic scheme (RFC 7617), as browsers send it. A
            browser adds that to every request by itself, so nothing that changes anything may take it.

    Raises:
        Unauthenticated: there is none.
    """
    scheme, _, value = header.partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer" and value:
        return value
    if basic and scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            raise Unauthenticated("The Authorization header cannot be read.") from None
    raise Unauthenticated(
        "This needs a token.", hint="Send Authorization: Bearer TOKEN; retrain token create makes one."
    )


def check_protocol(version: str | None) -> None:
    """Check that client and server understand each other; a client that says nothing speaks ours.

    Raises:
        UnsupportedProtocol: they do not.
    """
    if version is not None and version not in _SPOKEN:
        raise UnsupportedProtocol(
            f"The client speaks protocol {version[:16]!r}, this server {PROTOCOL}.",
            hint="Bring both to one release: pip install --upgrade retrain-orchestrator",
        )


def check_target(scope: Scope) -> None:
    """Check that path and query hold no NUL, which no database text does.

    Raises:
        InvalidRequest: one does.
    """
    if "\0" in scope["path"] or b"%00" in scope["query_string"]:
        raise InvalidRequest("The address holds a NUL.")


def carries_bytes(method: str, *, path: str) -> bool:
    """Tell whether a request's body is bytes that are streamed."""
    streamed = _STREAMED.get(method)
    return streamed is not None and streamed.fullmatch(path) is not None


def check_length(headers: Headers) -> None:
    """Check the length that a sender announces.

    Raises:
        InvalidRequest: the body is too large.
    """
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > LARGEST_BODY_BYTES:
        raise too_large()


def limited(receive: Receive) -> Receive:
    """Return a receiver that ends a body that grows too large, for senders that announce no length."""
    received = 0

    async def counting() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > LARGEST_BODY_BYTES:
            raise too_large()
        return message

    return counting


def too_large() -> InvalidRequest:
    """Return the error for a body that is too large."""
    return InvalidRequest(
        f"The body is larger than {LARGEST_BODY_BYTES >> 20} MiB.", hint="Send it in parts, or as a blob."
    )
