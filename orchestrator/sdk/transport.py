"""Connections to a server, over TCP, TLS or a unix socket, kept open between requests. The standard library alone."""

from __future__ import annotations

import http.client
import os
import select
import socket
from collections import deque
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from orchestrator.errors import InvalidRequest

CONNECT_SECONDS = 5.0
MOST_IDLE = 16

BROKEN = (OSError, http.client.HTTPException)
"""What a connection raises when the other side is not there, or no longer."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a server listens.

    Attributes:
        host: name or address; for a unix socket only what stands in the Host header.
        port: TCP port; None for the scheme's own.
        encrypted: speak TLS.
        prefix: path under which the server lives, without a closing slash.
        socket_path: path of the unix socket; None for TCP.
    """

    host: str
    port: int | None = None
    encrypted: bool = False
    prefix: str = ""
    socket_path: str | None = None

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read `http://host:port`, `https://host/prefix` or `unix:///path/of/socket`.

        Raises:
            InvalidRequest: it is none of these.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme == "unix" and parts.path.startswith("/") and not parts.netloc:
            return cls(host="localhost", socket_path=unquote(parts.path))
        if parts.scheme in {"http", "https"} and parts.hostname:
            encrypted = parts.scheme == "https"
            return cls(host=parts.hostname, port=port, encrypted=encrypted, prefix=parts.path.rstrip("/"))
        raise InvalidRequest(f"{url!r} is no server's URL.", hint="Write it like http://host:8080 or https://host.")

    def connection(self) -> http.client.HTTPConnection:
        """Return a connection that is not open yet."""
        if self.socket_path is not None:
            return _UnixConnection(self.socket_path)
        kind = http.client.HTTPSConnection if self.encrypted else http.client.HTTPConnection
        return kind(self.host, self.port, timeout=CONNECT_SECONDS)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=CONNECT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Connections:
    """Open connections to one address that no request uses at the moment. Safe between threads and after a fork."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._idle: deque[http.client.HTTPConnection] = deque()  # its pop and append are atomic: no lock to inherit
        self._process = os.getpid()

    def take(self, *, timeout_seconds: float | None, fresh: bool = False) -> tuple[http.client.HTTPConnection, bool]:
        """Return an open connection and whether it has been used before.

        Args:
            timeout_seconds: of each read and write; None to wait without end.
            fresh: open a new one in any case.

        Raises:
            OSError: nobody accepts it.
        """
        if os.getpid() != self._process:  # the parent's sockets: two processes must not talk on one
            self.close()
            self._process = os.getpid()
        while self._idle and not fresh:
            try:
                connection = self._idle.pop()
            except IndexError:
                break
            if _is_quiet(connection.sock):
                connection.sock.settimeout(timeout_seconds)
                return connection, True
            connection.close()
        connection = self._address.connection()
        try:
            connection.connect()
            connection.sock.settimeout(timeout_seconds)
        except BaseException:
            connection.close()
            raise
        return connection, False

    def give_back(self, connection: http.client.HTTPConnection) -> None:
        """Keep a connection whose answer was read to its end for the next request."""
        if connection.sock is None or len(self._idle) >= MOST_IDLE or os.getpid() != self._process:
            connection.close()
        else:
            self._idle.append(connection)

    def close(self) -> None:
        """Close every idle connection."""
        while self._idle:
            self._idle.pop().close()


def _is_quiet(connected: socket.socket) -> bool:
    """Tell whether nothing has arrived, not even the end: a server closes connections that were idle for long."""
    poll = select.poll()
    poll.register(connected, select.POLLIN | select.POLLHUP | select.POLLERR)
    return not poll.poll(0)
