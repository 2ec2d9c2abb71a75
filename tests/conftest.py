"""Real parts for every kind of test: found, started once a session, never faked."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from orchestrator.errors import Unavailable
from orchestrator.redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator


def missing(part: str, *, install: str) -> NoReturn:
    """Skip for want of a part and say how to get it; under RETRAIN_REQUIRE_PARTS, as in CI, fail."""
    sentence = f"{part} is missing; to have it: {install}"
    if os.environ.get("RETRAIN_REQUIRE_PARTS"):
        pytest.fail(sentence)
    pytest.skip(sentence)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One real Redis for the whole session."""
    directory = Path(tempfile.mkdtemp(prefix="redis-"))  # short: a unix socket's path has 107 bytes at most
    server = RedisServer(directory)
    try:
        server.start()
    except Unavailable as error:
        missing("Redis", install=str(error.hint))
    yield server
    server.stop()
    shutil.rmtree(directory)


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of an empty Redis."""
    import redis  # noqa: PLC0415  costs 0.1 s that most tests need not pay

    with redis.Redis.from_url(redis_server.url) as connection:
        connection.flushall()
    return redis_server.url


@pytest.fixture(scope="session")
def docker_image() -> str:
    """An image with Python and git on a Docker engine that answers."""
    import docker  # noqa: PLC0415  costs 0.3 s that most tests need not pay

    image = os.environ.get("RETRAIN_DOCKER_IMAGE", "retrain-base:bookworm")
    try:
        client = docker.from_env()
    except docker.errors.DockerException:
        missing("A Docker engine", install="apt install docker.io && dockerd")
    try:
        client.images.get(image)
    except docker.errors.ImageNotFound:
        missing(f"The image {image}", install="bash deploy/base-image/build.sh")
    finally:
        client.close()
    return image
