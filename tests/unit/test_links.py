"""Which links to files elsewhere an agent follows."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

import pytest

from orchestrator.errors import DigestMismatch, Forbidden, InvalidRequest
from orchestrator.records.links import LinkPolicy
from orchestrator.records.manifest import NO_DIGEST, Entry, Kind
from orchestrator.sdk.ingest import web_files
from orchestrator.sdk.ingest.external import fetch_external
from orchestrator.sdk.ingest.public_addresses import is_public
from orchestrator.settings import link_prefixes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AGENTS = LinkPolicy(public_only=True, prefixes=("s3://open/", "http://files.intern/"))


def link(url: str, size_bytes: int = 3) -> Entry:
    return Entry("far", Kind.EXTERNAL, size_bytes, NO_DIGEST, url, "")


@pytest.mark.parametrize(
    "url", ["s3://secret/a", "s3://open-too/a", "gs://x/a", "http://169.254.169.254/latest", "az://x/a"]
)
def test_an_agent_follows_no_link_that_uses_its_own_network_or_credentials(url: str, tmp_path: Path) -> None:
    with pytest.raises(Forbidden, match="RETRAIN_LINK_PREFIXES"):
        fetch_external(link(url), tmp_path / "file", policy=AGENTS)
    assert list(tmp_path.iterdir()) == []


def test_what_the_agents_operator_allows_is_followed() -> None:
    assert AGENTS.trusts("s3://open/a/b")
    assert AGENTS.trusts("http://files.intern/a")
    assert not AGENTS.trusts("https://example.com/a")
    assert LinkPolicy().trusts("http://localhost/a")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104  an address to refuse
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00::1",
        "fec0::1",
        "ff0e::1",
        "::ffff:127.0.0.1",
        "::7f00:1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
    ],
)
def test_a_name_that_stands_for_an_address_inside_is_refused(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("93.184.215.14", 443))
    inside = (socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, 443))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [public, inside])
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("it was asked"))
    with pytest.raises(Forbidden, match="not on the public internet"):
        fetch_external(link("https://files.example/a"), tmp_path / "file", policy=AGENTS)


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "2606:4700::1", "::ffff:93.184.215.14", "64:ff9b::5db8:d70e", "2002:5db8:d70e::"]
)
def test_addresses_of_the_public_internet_are_asked(address: str) -> None:
    assert is_public(address)


def test_the_next_address_of_a_name_is_asked_where_the_first_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    def connect(target: tuple[str, int], *_: object, **__: object) -> socket.socket:
        asked.append(target)
        raise OSError(errno.ENETUNREACH, "no way there")

    found = [
        (socket.AF_INET6, socket.SOCK_STREAM, 0, "", ("2606:4700::1", 443, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("93.184.215.14", 443)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(web_files.Unavailable), web_files.opened("https://files.example/a", policy=AGENTS):
        pass
    assert asked == [("2606:4700::1", 443), ("93.184.215.14", 443)]


def test_the_address_that_was_looked_at_is_the_one_that_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    def connect(target: tuple[str, int], *_: object, **__: object) -> socket.socket:
        asked.append(target)
        raise ConnectionRefusedError

    answers: Iterator[str] = iter(["93.184.215.14", "127.0.0.1"])  # a name that changes its mind
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (next(answers), 443))]
    )
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(web_files.Unavailable), web_files.opened("https://files.example/a", policy=AGENTS):
        pass
    assert asked == [("93.184.215.14", 443)]


def test_an_attempt_does_not_learn_what_is_there_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(*_: object, **__: object) -> Iterator[bytes]:
        yield b"seven b"

    monkeypatch.setattr("orchestrator.sdk.ingest.external._from_web", changed)
    with pytest.raises(DigestMismatch) as caught:
        fetch_external(link("https://files.example/a"), tmp_path / "file", policy=AGENTS)
    assert "7" not in caught.value.message
    with pytest.raises(DigestMismatch, match="7 bytes instead of 3"):
        fetch_external(link("https://files.example/a"), tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_prefixes_name_a_server_or_bucket() -> None:
    assert link_prefixes({"RETRAIN_LINK_PREFIXES": "s3://a/, https://b/c"}) == ("s3://a/", "https://b/c")
    assert link_prefixes({}) == ()
    assert link_prefixes({"RETRAIN_LINK_PREFIXES": "s3://a/"}, given=["gs://b/c", "s3://a/"]) == ("s3://a/", "gs://b/c")
    for wrong in ("s3://", "s3://bucket", "bucket/", "https:///"):
        with pytest.raises(InvalidRequest, match="RETRAIN_LINK_PREFIXES"):
            link_prefixes({"RETRAIN_LINK_PREFIXES": wrong})
        with pytest.raises(InvalidRequest, match="no beginning"):
            link_prefixes({}, given=[wrong])
