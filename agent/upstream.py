"""The server as a supervisor speaks to it for the script: requests as they are, with the attempt's token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.sdk.transport import BROKEN, Address, Connections

if TYPE_CHECKING:
    import http.client
    from collections.abc import Iterator, Mapping

    from agent.spool import Write

_ANSWER_SECONDS = 60.0
_WRITE_ANSWER_SECONDS = 10.0


@dataclass(frozen=True)
class Answer:
    """An answer that was read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Upstream:
    """The server, with the attempt's token. Safe between threads.

    Args:
        url: the server's.
        token: the attempt's.
    """

    def __init__(self, url: str, token: str) -> None:
        self._address = Address.parse(url)
        self._connections = Connections(self._address)
        self._authorization = f"Bearer {token}"

    def close(self) -> None:
        """Close idle connections."""
        self._connections.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        body: bytes | Iterator[bytes] | None,
        timeout_seconds: float = _ANSWER_SECONDS,
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Send a request; a body that is an iterator is sent once, other requests again where a connection was stale.

        Raises:
            OSError, HTTPException: the server is not there.
        """
        repeatable = body is None or isinstance(body, bytes)
        connection, reused = self._connections.take(timeout_seconds=timeout_seconds, fresh=not repeatable)
        try:
            try:
                connection.request(
                    method,
                    self._address.prefix + path,
                    body=body,
                    headers={**headers, "Authorization": self._authorization},
                )
            except (BrokenPipeError, ConnectionResetError):
                # A server that refuses a long body answers before it has read it all: the answer says why.
                if reused:
                    raise
            return connection, connection.getresponse()
        except BROKEN as error:
            connection.close()
            if not reused or isinstance(error, TimeoutError):
                raise
        except BaseException:
            connection.close()
            raise
        self._connections.close()
        return self.ask(method, path, headers=headers, body=body, timeout_seconds=timeout_seconds)

    def answer(self, write: Write) -> Answer:
        """Send a write and read the whole answer.

        Raises:
            OSError, HTTPException: the server is not there.
        """
        connection, response = self.ask(
            write.method, write.path, headers=write.headers, body=write.body, timeout_seconds=_WRITE_ANSWER_SECONDS
        )
        try:
            body = response.read()
        except BaseException:
            connection.close()
            raise
        self.release(connection, response)
        return Answer(response.status, dict(response.headers), body)

    def release(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        """Keep the connection for the next request if its answer was read to its end."""
        if response.isclosed() and not response.will_close:
            self._connections.give_back(connection)
        else:
            connection.close()
