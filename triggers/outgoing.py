"""One POST to somebody else's server: to an address that is allowed, without following it elsewhere, in bounded time.

`http.client` and not httpx or requests: the connection has to go to the very address that was looked at, which those
have no way for, and nothing of what they do beside (redirects, proxies, pools, cookies) is wanted here.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from orchestrator.errors import Forbidden, OrchestratorError, Unavailable
from orchestrator.records.links import LinkPolicy
from orchestrator.sdk.ingest.public_addresses import connect_to_any, public_addresses

if TYPE_CHECKING:
    from collections.abc import Mapping

ANSWER_BYTES = 64 << 10
"""Of an answer's body, at most; what follows is not read."""
ANYWHERE = LinkPolicy()
"""For addresses that whoever runs the scheduler has chosen."""
_HINT = (
    "Whoever runs the scheduler can allow it: RETRAIN_WEBHOOK_PREFIXES=http://hooks.intern/ (several by commas). "
    "Without that, only https:// on the public internet is."
)
_LATER = frozenset({408, 425, 429})
"""Statuses below 500 that say that the same request may succeed later."""
_OK, _REDIRECTS, _REFUSED, _BROKEN, _GONE = 200, 300, 400, 500, 410


class Answer(NamedTuple):
    """What the other side said."""

    status: int
    text: str
    """The beginning of the body."""


class Undelivered(OrchestratorError):
    """It was not taken."""

    code = "undelivered"


def post(  # noqa: PLR0913  a request is made of many parts
    url: str,
    body: bytes,
    *,
    headers: Mapping[str, str],
    timeout_seconds: float,
    policy: LinkPolicy,
    name: str,
) -> Answer:
    """Send a body, and return what it was answered where that is a 2xx.

    Args:
        url: where to.
        body: JSON.
        headers: beside those that say so.
        timeout_seconds: for all of it: looking up, connecting, sending and the answer.
        policy: which addresses are allowed; a name must stand for allowed addresses alone.
        name: what messages call the address.

    Raises:
        Forbidden: the address is not allowed.
        Undelivered: anything else, a redirection too; the message says what.
    """
    deadline = _Deadline(timeout_seconds)
    try:
        connection = _connection(url, timeout_seconds=timeout_seconds)
        pinned = None if _trusts(policy, url, name=name) else _addresses(connection, name=name)
        _connect_by(connection, addresses=pinned, deadline=deadline)
        with contextlib.closing(connection), deadline:
            parts = urlsplit(url)
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            sent = {"Content-Type": "application/json", "User-Agent": "retrain", **headers}
            connection.request("POST", target, body, sent)
            with connection.getresponse() as response:
                deadline.check()  # headers that were cut off look like whole ones
                answer = Answer(response.status, _text(response))
                _require_taken(answer, location=response.headers.get("Location"), name=name)
                return answer
    except Unavailable as error:
        raise Undelivered(f"{name} does not answer: its name stands for no address.") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = f"nothing within {timeout_seconds:g} s" if deadline.is_up else _why(error)
        raise Undelivered(f"{name} does not answer: {why}.") from error


class _Deadline:
    """Cuts a connection when the time is up: a socket's own limit begins anew with each byte that drips in."""

    def __init__(self, seconds: float) -> None:
        self.is_up = False
        self._connected: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self._connected is not None:
            self._connected.close()

    def watch(self, connected: socket.socket) -> socket.socket:
        """Take note of what to cut.

        Raises:
            TimeoutError: the time is up already.
        """
        # A second handle of the same connection: TLS takes the first one over.
        self._connected = connected.dup()
        self.check()
        return connected

    def check(self) -> None:
        """Raise `TimeoutError` where the time is up."""
        if self.is_up:
            raise TimeoutError

    def _cut(self) -> None:
        self.is_up = True
        if self._connected is not None:
            with contextlib.suppress(OSError):  # it may have ended by itself
                self._connected.shutdown(socket.SHUT_RDWR)


def _connection(url: str, *, timeout_seconds: float) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("it is no address on the web")
    if parts.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout_seconds, context=context)
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_seconds)


def _trusts(policy: LinkPolicy, url: str, *, name: str) -> bool:
    try:
        return policy.trusts(url)
    except Forbidden:
        raise Forbidden(f"{name} is not sent to: everybody on the way of http:// can read it.", hint=_HINT) from None


def _addresses(connection: http.client.HTTPConnection, *, name: str) -> list[str]:
    """Return the addresses that were looked at, to go to those very ones: the name may stand for others in a moment."""
    try:
        return public_addresses(connection.host, connection.port, url=name)
    except Forbidden:
        raise Forbidden(f"{name} is not sent to: it is not on the public internet.", hint=_HINT) from None


def _connect_by(connection: http.client.HTTPConnection, *, addresses: list[str] | None, deadline: _Deadline) -> None:
    def connect(target: tuple[str, int], timeout: float, source: tuple[str, int] | None) -> socket.socket:
        if addresses is None:
            return deadline.watch(socket.create_connection(target, timeout, source))
        return deadline.watch(connect_to_any(addresses, target[1], timeout=timeout, source=source))

    connection._create_connection = connect  # type: ignore[attr-defined]  # noqa: SLF001  http.client has no other way


def _text(response: http.client.HTTPResponse) -> str:
    """Return the beginning of an answer's body: its status counts, also where the rest never comes."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        return response.read(ANSWER_BYTES).decode("utf-8", "replace")
    return ""


def _require_taken(answer: Answer, *, location: str | None, name: str) -> None:
    status = answer.status
    if _OK <= status < _REDIRECTS:
        return
    said = f"{name} answered {status}"
    if _REDIRECTS <= status < _REFUSED:
        raise Undelivered(
            f"{said} and points to {_place(location)}, which is not followed.",
            hint="Give the address at which it is taken.",
        )
    if status == _GONE:
        raise Undelivered(f"{said}: nobody is there any more.", hint="Remove the trigger, or give another address.")
    if status >= _BROKEN or status in _LATER:
        raise Undelivered(f"{said}.")
    raise Undelivered(
        f"{said}{_quoted(answer.text)}.", hint="It will hardly take the same later: look at the receiver."
    )


def _quoted(text: str) -> str:
    line = " ".join(text.split())[:200]
    return f": {line}" if line else ""


def _place(location: str | None) -> str:
    """Return where a redirection points to, without what may be secret."""
    parts = urlsplit(location or "")
    return f"{parts.scheme}://{parts.hostname}"[:200] if parts.hostname else "another place"


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
