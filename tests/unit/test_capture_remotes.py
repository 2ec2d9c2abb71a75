"""Which remote is recorded, and what of its URL."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.sdk.capture.remotes import (
    Remote,
    choose_remote,
    is_fetchable,
    parse_configuration,
    without_credentials,
)

ROOT = Path("/home/me/project")


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://me:token@example.org/a/b.git", "https://example.org/a/b.git"),
        ("https://token@example.org:8443/a.git?key=1#part", "https://example.org:8443/a.git"),
        ("ssh://git@example.org:22/a.git", "ssh://git@example.org:22/a.git"),
        ("ssh://git:password@example.org/a.git", "ssh://git@example.org/a.git"),
        ("git+ssh://git@example.org/a.git", "git+ssh://git@example.org/a.git"),
        ("git@example.org:a/b.git", "git@example.org:a/b.git"),
        ("https://me:p@ss@example.org/a.git", "https://example.org/a.git"),
        ("file:///srv/a.git", "file:///srv/a.git"),
        ("/srv/a.git", "/srv/a.git"),
    ],
)
def test_urls_are_recorded_without_credentials(url: str, clean: str) -> None:
    assert without_credentials(url) == clean


def test_the_remote_of_the_branch_comes_first_then_origin_then_any() -> None:
    configuration = {
        "remote.fork.url": ["https://example.org/fork"],
        "remote.origin.url": ["https://example.org/origin"],
        "branch.main.remote": ["fork"],
        "branch.local.remote": ["."],
    }
    assert choose_remote(configuration, branch="main", root=ROOT) == Remote("fork", "https://example.org/fork")
    for branch in ("other", "local", None):
        assert choose_remote(configuration, branch=branch, root=ROOT) == Remote("origin", "https://example.org/origin")
    del configuration["remote.origin.url"]
    assert choose_remote(configuration, branch=None, root=ROOT) == Remote("fork", "https://example.org/fork")
    assert choose_remote({}, branch="main", root=ROOT) is None


def test_shorthands_of_the_user_are_spelled_out() -> None:
    listing = (
        b"remote.origin.url\nwork:team/project\0"
        b"url.https://example.org/.insteadof\nwork:\0url.https://example.org/team/.insteadof\nwork:team/\0"
    )
    remote = choose_remote(parse_configuration(listing), branch=None, root=ROOT)
    assert remote == Remote("origin", "https://example.org/team/project")


def test_relative_paths_of_remotes_are_made_absolute() -> None:
    remote = choose_remote({"remote.origin.url": ["../bare.git"]}, branch=None, root=ROOT)
    assert remote == Remote("origin", "/home/me/bare.git")


@pytest.mark.parametrize("url", ["ext::sh -c id", "codecommit::region://x", "ftp://example.org/x", "-x", ""])
def test_transports_that_run_programs_are_not_followed(url: str) -> None:
    assert not is_fetchable(url)
    assert choose_remote({"remote.origin.url": [url]}, branch=None, root=ROOT) is None
