"""Files on the web: how large they are, which state they have, and their bytes. The standard library alone."""

from __future__ import annotations

import contextlib
import http.client
import re
import ssl
from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin, urlsplit

from orchestrator.errors import Forbidden, InvalidRequest, NotFound, OrchestratorError, Unavailable
from orchestrator.records.links import LINKS_HINT, LinkPolicy, check_link
from orchestrator.sdk.ingest.public_addresses import connect_to_any, public_addresses

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

_ANY = LinkPolicy()
CHUNK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 30.0
_MOST_REDIRECTS = 5
_RANGE_TOTAL = re.compile(r"bytes \d+-\d+/(\d+)")
_OK, _PARTIAL = 200, 206


class WebFile(NamedTuple):
    """What a server says of a file: its size in bytes and its ETag, which may be empty."""

    size_bytes: int
    etag: str


def look_at(url: str) -> WebFile:
    """Ask for a file's size and ETag: with HEAD, or for its first byte where the server does not answer that.

    Raises:
        NotFound, Forbidden, Unavailable: the server says so, or does not answer.
        InvalidRequest: it does not say how large the file is.
    """
    with contextlib.suppress(OrchestratorError), _answer("HEAD", url) as response:
        length = response.headers.get("Content-Length", "")
        if response.status == _OK and length.isdecimal():
            return WebFile(int(length), _etag(response))
    with _answer("GET", url, first_byte=True) as response:
        total = _RANGE_TOTAL.fullmatch(response.headers.get("Content-Range", ""))
        if response.status == _PARTIAL and total is not None:
            return WebFile(int(total[1]), _etag(response))
        length = response.headers.get("Content-Length", "")
        if response.status == _OK and length.isdecimal():
            return WebFile(int(length), _etag(response))
    raise InvalidRequest(f"The server does not say how large {url} is.", hint="Download it and add it as a file.")


@contextlib.contextmanager
def opened(url: str, *, policy: LinkPolicy = _ANY) -> Iterator[tuple[WebFile | None, Iterator[bytes]]]:
    """Ask for a file; yield what the server says of it (None where it says no size) and its bytes.

    Args:
        url: of the file.
        policy: which links are followed; it holds for each place that a server points to, as well.

    Raises:
        Forbidden: the policy refuses.
        NotFound, Forbidden, Unavailable: the server says so, does not answer or breaks off.
    """
    with _answer("GET", url, policy=policy) as response:
        length = response.headers.get("Content-Length", "")
        yield WebFile(int(length), _etag(response)) if length.isdecimal() else None, _chunks(response, url)


def _chunks(response: http.client.HTTPResponse, url: str) -> Iterator[bytes]:
    try:
        while chunk := response.read(CHUNK_BYTES):
            yield chunk
    except OSError as error:
        raise Unavailable(f"{url} broke off: {error}.", hint="Try again.") from error
    except http.client.HTTPException as error:  # it counts bytes, which are not for everyone: see `fetch_external`
        raise Unavailable(f"{url} broke off before its end.", hint="Try again.") from error


def _etag(response: http.client.HTTPResponse) -> str:
    return response.headers.get("ETag", "").strip().strip('"')


@contextlib.contextmanager
def _answer(
    method: str, url: str, *, first_byte: bool = False, policy: LinkPolicy = _ANY
) -> Iterator[http.client.HTTPResponse]:
    """Send a request, going where the server points to, and lend its answer, which is no error."""
    headers = {"User-Agent": "retrain", "Accept-Encoding": "identity"}
    if first_byte:
        headers["Range"] = "bytes=0-0"
    target = url
    for _ in range(_MOST_REDIRECTS + 1):
        trusted = _trusts(policy, target, url=url)
        connection = _connection(target)
        if not trusted:
            _pin(connection, url=url)
        with contextlib.closing(connection):
            parts = urlsplit(target)
            try:
                connection.request(
                    method, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), None, headers
                )
                response = connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                raise Unavailable(f"{url} does not answer: {error}.", hint="Try again later.") from error
            with response:  # it may have taken the socket over from the connection
                if http.HTTPStatus.MULTIPLE_CHOICES <= response.status < http.HTTPStatus.BAD_REQUEST:
                    target = _redirected(target, response, url=url)
                    continue
                _refuse_failure(response, url)
                yield response
                return
    raise Unavailable(f"{url} points from one place to the next without end.")


def _trusts(policy: LinkPolicy, target: str, *, url: str) -> bool:
    """Ask the policy about a link or the place that it points to; that place is not named, it may be inside.

    Raises:
        Forbidden: it refuses.
    """
    try:
        return policy.trusts(target)
    except Forbidden:
        if target == url:
            raise
    raise Forbidden(f"This agent does not follow {url}: it points to a place that is not allowed.", hint=LINKS_HINT)


def _redirected(target: str, response: http.client.HTTPResponse, *, url: str) -> str:
    location = urljoin(target, response.headers.get("Location", ""))
    scheme = urlsplit(location).scheme
    if scheme not in {"http", "https"} or (urlsplit(target).scheme == "https" and scheme == "http"):
        raise Unavailable(f"{url} points to a place that is no safe one.", hint="Give the address of the file itself.")
    return location


def _connection(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    if not parts.hostname:
        check_link(url)
        raise InvalidRequest(f"{url} names no server.")
    if parts.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=_TIMEOUT_SECONDS, context=context)
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=_TIMEOUT_SECONDS)


def _pin(connection: http.client.HTTPConnection, *, url: str) -> None:
    """Let a connection go to the very addresses that were looked at, so that no second answer of a name misleads it.

    Raises:
        Forbidden: the name stands for an address that is none of the public internet.
        Unavailable: the name stands for nothing.
    """
    addresses = public_addresses(connection.host, connection.port, url=url)
    connection._create_connection = partial(_connect, addresses)  # type: ignore[attr-defined]  # noqa: SLF001  http.client has no other way


def _connect(
    addresses: list[str], target: tuple[str, int], timeout: float, source: tuple[str, int] | None
) -> socket.socket:
    """Connect as `http.client` asks for it, but for the name."""
    return connect_to_any(addresses, target[1], timeout=timeout, source=source)


def _refuse_failure(response: http.client.HTTPResponse, url: str) -> None:
    status = response.status
    if status in {http.HTTPStatus.NOT_FOUND, http.HTTPStatus.GONE}:
        raise NotFound(f"There is nothing at {url}.", hint="Look at the address, or remove the link from the dataset.")
    if status in {http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN}:
        raise Forbidden(f"{url} is not for everyone: it answered {status}.", hint="Use a storage such as s3://.")
    if status >= http.HTTPStatus.BAD_REQUEST:
        raise Unavailable(f"{url} answered {status} {response.reason}.", hint="Try again later.")
