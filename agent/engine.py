"""The way to the Docker engine of this node, for executor and builds alike.

Every use opens its own connection to the engine's socket (a tenth of a millisecond), so that nothing is shared between
threads or with a process that was forked off. The API version is asked for once: the answer takes longer than all the
rest, and processes that are forked later have it.

Importing this module takes a quarter of a second, most of it the client's: who may not need it imports it on demand.
"""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from docker import DockerClient
from docker.errors import APIError, DockerException
from docker.utils import kwargs_from_env
from requests.exceptions import RequestException

from orchestrator.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNIX = "unix://"
_DEFAULT_ADDRESS = _UNIX + "/var/run/docker.sock"
_versions: dict[str, str] = {}
"""API versions by the address of the engine."""


@contextmanager
def docker_engine() -> Iterator[Any]:
    """Give a client of the engine that `DOCKER_HOST` names, or this machine's own; `client.api` is the low-level one.

    Raises:
        Unavailable: nobody answers there, or with nonsense.
        docker.errors.APIError: what the engine refuses, for the caller to explain.
    """
    where = kwargs_from_env()
    address = where.setdefault("base_url", _DEFAULT_ADDRESS)
    try:
        _knock(address)
        client = DockerClient(version=_versions.get(address, "auto"), **where)
        try:
            _versions[address] = client.api.api_version
            yield client
        finally:
            client.close()
    except APIError:
        raise
    except (DockerException, RequestException, OSError) as error:
        raise Unavailable(
            f"The Docker engine at {address} does not answer: {error}.",
            hint="Start it (systemctl start docker), set DOCKER_HOST, or run the agent without --docker.",
        ) from error


def _knock(address: str) -> None:
    """Fail at once where nobody listens: the client would leave its socket open."""
    if address.startswith(_UNIX):
        with socket.socket(socket.AF_UNIX) as door:
            door.connect(address.removeprefix(_UNIX))
