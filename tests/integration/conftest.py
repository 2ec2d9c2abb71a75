"""One real server for all tests of a session; each makes projects of its own in it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from orchestrator.api.testing import Requests, RunningServer, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.redis_server import RedisServer


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[RunningServer]:
    """A server with the settings that people get."""
    with running_server(tmp_path_factory.mktemp("server"), redis_url=redis_server.url) as server:
        yield server


@pytest.fixture
def api(api_server: RunningServer) -> Requests:
    """Requests with an administrator's token."""
    return Requests(api_server.url, token=api_server.token)


@pytest.fixture
def project() -> str:
    """A project that nobody else uses."""
    return f"p{uuid.uuid4().hex[:12]}"
