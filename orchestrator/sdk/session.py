"""What this process speaks to, and the run that it is, if it is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.sdk.attempt import attempt_directory, scratch_directory
from orchestrator.settings import Server, find_server, home_directory

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.sdk.client import Client
    from orchestrator.sdk.running import Run


class Session:
    """One a process."""

    def __init__(self) -> None:
        self.run: Run | None = None
        self._server: Server | None = None
        self._client: Client | None = None

    def client(self) -> Client:
        """Return what speaks for this process: the run's own client while there is one, else that of whoever logged in.

        Raises:
            ServerUnreachable: nothing says where the server is.
        """
        if self.run is not None and self.run.client is not None:
            return self.run.client
        server = find_server()
        if self._client is None or server != self._server:
            from orchestrator.sdk.client import Client  # noqa: PLC0415  by hand it is imported while git works

            self.close()
            self._server, self._client = server, Client(server.url, server.token or None)
        return self._client

    def close(self) -> None:
        """Close what no request uses."""
        if self._client is not None:
            self._client.close()
            self._client = None


session = Session()


def cache_directory() -> Path:
    """Return where downloads are kept: in the home directory, inside an attempt beside its other files."""
    return home_directory() / "cache" if attempt_directory() is None else scratch_directory() / "sdk-cache"
