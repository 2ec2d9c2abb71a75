"""What scripts, the command, agents and schedulers use to speak to the server. The standard library alone."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlencode

from orchestrator.errors import (
    Forbidden,
    InvalidPath,
    InvalidRequest,
    OrchestratorError,
    ServerFailed,
    ServerUnreachable,
    Unauthenticated,
    from_wire,
)
from orchestrator.sdk.transport import BROKEN, Address, Connections

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    Query = str | int | float | bool | Sequence[str] | None
    Meter = Callable[[], Callable[[bytes], object]]

API = "/api/v1"
PROTOCOL = 1
"""The same number as `orchestrator.wire.PROTOCOL`, which needs pydantic; a test holds them together."""
UNVERSIONED = ("/healthz", "/local/")
"""Routes that stand outside the API: the server's health, and those that only a supervisor's socket has."""
TIMEOUT_SECONDS = 30.0
CHUNK_BYTES = 1 << 20
_PAGE_ITEMS = 500
_WITHOUT_BODY: dict[int, type[OrchestratorError]] = {401: Unauthenticated, 403: Forbidden}
"""Errors of answers that are not in our form: those of a proxy in between."""
_NOT_OURS = frozenset({404, 405, 501})
"""What a server of another kind answers to our paths and methods; ours says so in our form."""
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"})
"""What OpenSSL makes of plain HTTP where it expected TLS; it differs by release."""


class Target(Protocol):
    """What a download is written to, such as an open file."""

    def write(self, data: bytes, /) -> object:
        """Take the next bytes."""


@dataclass(frozen=True, kw_only=True)
class _Request:
    """One request, as often as it must be sent."""

    method: str
    path: str
    body: bytes | Callable[[], Iterable[bytes]] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    timeout_seconds: float | None = None


class Client:
    """Speaks to one server. Safe to use from many threads; a forked child opens connections of its own.

    Every method raises the error of `orchestrator.errors` that the server answers, `ServerUnreachable` when nobody
    answers and `ServerFailed` when the answer cannot be understood. Paths such as `/tasks` are relative to `/api/v1`.

    Args:
        url: `http://…`, `https://…` or `unix:///path/of/socket`.
        token: bearer token; None where the other side adds one.
        timeout_seconds: how long to wait for an answer, unless a call says otherwise.
    """

    def __init__(self, url: str, token: str | None = None, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self.url = url
        self.timeout_seconds = timeout_seconds
        self._address = Address.parse(url)
        self._connections = Connections(self._address)
        self._headers = {"Retrain-Protocol": str(PROTOCOL), "Accept": "application/json", "User-Agent": "retrain"}
        if token:
            self._headers["Authorization"] = f"Bearer {token.strip()}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that no request uses; the client can be used again."""
        self._connections.close()

    def get(self, path: str, **query: Query) -> Any:  # noqa: ANN401  JSON
        """Return what stands at a path; a query's value that is None is left out."""
        return self._json(_Request(method="GET", path=_with_query(path, query)))

    def post(
        self,
        path: str,
        body: object = None,
        *,
        repeatable: bool = False,
        key: str | None = None,
        timeout_seconds: float | None = None,
    ) -> Any:  # noqa: ANN401  JSON
        """Send a JSON body.

        Args:
            path: where to.
            body: JSON values; None for no body.
            repeatable: the same request sent twice does no harm, so that it needs no `Idempotency-Key`.
            key: the `Idempotency-Key`, for whoever sends a request again; None for a new one.
            timeout_seconds: how long to wait for the answer; None for the client's own.
        """
        request = _json_request("POST", path, body, timeout_seconds=timeout_seconds)
        if not repeatable:
            request.headers["Idempotency-Key"] = key or os.urandom(16).hex()
        return self._json(request)

    def put(self, path: str, body: object = None) -> Any:  # noqa: ANN401  JSON
        """Send a JSON body with PUT."""
        return self._json(_json_request("PUT", path, body))

    def patch(self, path: str, body: object = None) -> Any:  # noqa: ANN401  JSON
        """Send a JSON body with PATCH."""
        return self._json(_json_request("PATCH", path, body))

    def delete(self, path: str, *, timeout_seconds: float | None = None) -> Any:  # noqa: ANN401  JSON
        """Delete what stands at a path; see `post` for `timeout_seconds`."""
        return self._json(_Request(method="DELETE", path=path, timeout_seconds=timeout_seconds))

    def pages(self, path: str, **query: Query) -> Iterator[dict[str, Any]]:
        """Yield the items of a list, asking for the next page when one is used up.

        Args:
            path: of the list.
            query: filters; `limit` is the number of items a page.
        """
        query.setdefault("limit", _PAGE_ITEMS)
        while True:
            page = self.get(path, **query)
            yield from page["items"]
            if page["next"] is None:
                return
            query["after"] = page["next"]

    def put_bytes(self, path: str, data: bytes, *, timeout_seconds: float | None = None, **query: Query) -> Any:  # noqa: ANN401  JSON
        """Send raw octets that are in memory; see `post` for `timeout_seconds`."""
        headers = {"Content-Type": "application/octet-stream"}
        return self._json(
            _Request(
                method="PUT",
                path=_with_query(path, query),
                body=data,
                headers=headers,
                timeout_seconds=timeout_seconds,
            )
        )

    def get_bytes(self, path: str, **query: Query) -> bytes:
        """Return the octets that stand at a path, all in memory."""
        return self._octets(_Request(method="GET", path=_with_query(path, query)))

    def get_bytes_and_header(self, path: str, header: str) -> tuple[bytes, str | None]:
        """Return the octets that stand at a path, and a header of the answer; None where there is none."""
        with self._answer(_Request(method="GET", path=path)) as response:
            try:
                return response.read(), response.headers.get(header)
            except BROKEN as error:
                raise self._unreachable(error) from error

    def post_for_bytes(self, path: str, body: object) -> bytes:
        """Send a JSON body that may be sent twice and return the octets that it is answered by, all in memory."""
        return self._octets(_json_request("POST", path, body))

    def post_bytes(
        self, path: str, data: bytes | Sequence[bytes], *, timeout_seconds: float | None = None, **query: Query
    ) -> Any:  # noqa: ANN401  JSON
        """Send raw octets that are in memory, in one piece or several, with POST; the same sent twice does no harm."""
        pieces = [data] if isinstance(data, bytes) else data
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(sum(map(len, pieces)))}
        request = _Request(
            method="POST",
            path=_with_query(path, query),
            body=lambda: iter(pieces),
            headers=headers,
            timeout_seconds=timeout_seconds,
        )
        return self._json(request)

    def put_file(self, path: str, file: Path, *, meter: Meter | None = None) -> Any:  # noqa: ANN401  JSON
        """Send a file's octets with PUT, in constant memory whatever its size.

        Args:
            path: where to.
            file: what to send.
            meter: called as each try begins; what it returns is called with each part, to hash it or show progress.

        Raises:
            InvalidPath: the file's size changed meanwhile.
        """
        return self._json(_file_request("PUT", path, file, meter=meter))

    def post_file(self, path: str, file: Path, *, meter: Meter | None = None) -> Any:  # noqa: ANN401  JSON
        """Send a file's octets with POST; see `put_file`."""
        return self._json(_file_request("POST", path, file, meter=meter))

    def download(self, path: str, target: Target, *, on_bytes: Callable[[bytes], object] | None = None) -> int:
        """Write what stands at a path into an open file, in constant memory, and return the number of bytes.

        Args:
            path: where from.
            target: is written to from where it stands.
            on_bytes: called with each part, to hash it or to show progress.

        Raises:
            ServerFailed: the answer broke off.
        """
        with self._answer(_Request(method="GET", path=path)) as response:
            declared = response.length
            count = 0
            try:
                while part := response.read(CHUNK_BYTES):
                    count += len(part)
                    if on_bytes is not None:
                        on_bytes(part)
                    target.write(part)
            except http.client.HTTPException:
                declared = declared or -1
            if declared is not None and count != declared:
                raise ServerFailed(f"{self.url} broke off in the midst of {path}, after {count} bytes.")
        return count

    def post_for_lines(self, path: str, body: object) -> Iterator[dict[str, Any]]:
        """Send a JSON body that may be sent twice and yield the JSON objects, one a line, as they come.

        Raises:
            ServerUnreachable: the answer broke off, or a line is waited for in vain.
            ServerFailed: a line is no JSON.
        """
        with self._answer(_json_request("POST", path, body)) as response:
            while True:
                try:
                    line = response.readline()
                except BROKEN as error:
                    raise self._unreachable(error) from error
                if not line:
                    return
                try:
                    found = json.loads(line)
                except ValueError:
                    raise ServerFailed(f"{self.url} broke off in the midst of its answer.") from None
                yield found

    def _octets(self, request: _Request) -> bytes:
        with self._answer(request) as response:
            try:
                return response.read()
            except BROKEN as error:
                raise self._unreachable(error) from error

    def _json(self, request: _Request) -> Any:  # noqa: ANN401  JSON
        with self._answer(request) as response:
            try:
                content = response.read()
            except BROKEN as error:
                raise self._unreachable(error) from error
        if not content:
            if request.method == "GET" and response.status != http.HTTPStatus.NO_CONTENT:
                raise self._foreign()
            return None
        try:
            return json.loads(content)
        except ValueError:
            raise self._foreign() from None

    @contextlib.contextmanager
    def _answer(self, request: _Request) -> Iterator[http.client.HTTPResponse]:
        """Send a request and lend its answer, which is no error; keep the connection when it was read to its end."""
        connection, response = self._exchange(request)
        try:
            self._refuse_failure(response)
            yield response
        finally:
            if response.isclosed() and not response.will_close:
                self._connections.give_back(connection)
            else:
                response.close()
                connection.close()

    def _exchange(
        self, request: _Request, *, fresh: bool = False
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Send a request, and once more where the kept connection had gone stale."""
        timeout_seconds = self.timeout_seconds if request.timeout_seconds is None else request.timeout_seconds
        try:
            connection, reused = self._connections.take(timeout_seconds=timeout_seconds, fresh=fresh)
        except BROKEN as error:
            raise self._unreachable(error) from error
        path = request.path if request.path.startswith(UNVERSIONED) else API + request.path
        body = request.body() if callable(request.body) else request.body
        headers = self._headers | request.headers
        try:
            try:
                connection.request(request.method, self._address.prefix + path, body=body, headers=headers)
            except (BrokenPipeError, ConnectionResetError):
                # A server that refuses a long body answers and closes before it has read it all: the answer says why.
                if reused:
                    raise
            return connection, connection.getresponse()
        except BROKEN as error:
            connection.close()
            if reused and not isinstance(error, TimeoutError):
                return self._exchange(request, fresh=True)
            raise self._unreachable(error) from error
        except BaseException:
            connection.close()
            raise

    def _refuse_failure(self, response: http.client.HTTPResponse) -> None:
        if response.status < http.HTTPStatus.MULTIPLE_CHOICES:
            return
        if response.status < http.HTTPStatus.BAD_REQUEST:
            target = response.headers.get("Location", "another place")
            raise ServerFailed(
                f"{self.url} answered {response.status} and points to {target}.",
                hint="Use the URL at which the server itself answers.",
            )
        try:
            error = json.loads(response.read())["error"]
            failure = from_wire(error["code"], error["message"], hint=error.get("hint"))
            if type(failure) is OrchestratorError and response.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
                failure = ServerFailed(failure.message, hint=failure.hint)
        except (ValueError, KeyError, TypeError, AttributeError, *BROKEN):
            kind = _WITHOUT_BODY.get(response.status, ServerFailed)
            failure = kind(f"{self.url} answered {response.status} {response.reason}.")
            if response.status in _NOT_OURS:
                failure = self._foreign()
        raise failure

    def _foreign(self) -> ServerFailed:
        return ServerFailed(
            f"What answers at {self.url} is no retrain server.", hint="Check the URL: retrain login URL"
        )

    def _unreachable(self, error: BaseException) -> ServerUnreachable:
        if isinstance(error, TimeoutError):
            return ServerUnreachable(f"The server at {self.url} does not answer in time.")
        if getattr(error, "reason", None) in _NO_TLS:
            plain = self.url.replace("https://", "http://", 1)
            return ServerUnreachable(f"What answers at {self.url} speaks no TLS.", hint=f"Use http://: {plain}")
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return ServerUnreachable(
            f"No server answers at {self.url} ({reason}).", hint="Start one on this machine: retrain up"
        )


def segment(text: str, *, what: str) -> str:
    """Return a text as one part of a path, whatever stands in it.

    Args:
        text: such as an id that a person typed.
        what: the name of it, for the error.

    Raises:
        InvalidRequest: it is empty.
    """
    if not text:
        raise InvalidRequest(f"{what} is empty.", hint="Give the id of what is meant, or leave it out.")
    return quote(text, safe="").replace(".", "%2E")


def _json_request(method: str, path: str, body: object, *, timeout_seconds: float | None = None) -> _Request:
    if body is None:
        return _Request(method=method, path=path, timeout_seconds=timeout_seconds)
    return _Request(
        method=method,
        path=path,
        body=json.dumps(body, separators=(",", ":"), allow_nan=False).encode(),
        headers={"Content-Type": "application/json"},
        timeout_seconds=timeout_seconds,
    )


def _file_request(method: str, path: str, file: Path, *, meter: Meter | None) -> _Request:
    size_bytes = file.stat().st_size
    return _Request(
        method=method,
        path=path,
        body=lambda: _parts(file, size_bytes=size_bytes, on_bytes=None if meter is None else meter()),
        headers={"Content-Type": "application/octet-stream", "Content-Length": str(size_bytes)},
    )


def _parts(file: Path, *, size_bytes: int, on_bytes: Callable[[bytes], object] | None) -> Iterator[bytes]:
    left = size_bytes
    with file.open("rb") as source:
        while left and (part := source.read(min(CHUNK_BYTES, left))):
            left -= len(part)
            if on_bytes is not None:
                on_bytes(part)
            yield part
        if left or source.read(1):
            raise InvalidPath(f"{file} changed while it was sent.", hint="Try again when nothing writes to it.")


def _with_query(path: str, query: Mapping[str, Query]) -> str:
    pairs = [(name, str(value).lower() if isinstance(value, bool) else value) for name, value in query.items()]
    text = urlencode([pair for pair in pairs if pair[1] is not None], doseq=True, quote_via=quote)
    return f"{path}?{text}" if text else path
