"""Sources that nobody captured: a commit or a branch that somebody asks for, from a real git server."""

from __future__ import annotations

import logging
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from agent.checkout import Rebuilt, checkout
from agent.remotes import RemoteAccess
from orchestrator.errors import RebuildError, Unavailable
from orchestrator.records.source import Source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OPTIONS = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main")


def git(root: Path, *arguments: str) -> str:
    command = ["git", *OPTIONS, "-c", "protocol.file.allow=always", *arguments]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def commit_file(root: Path, name: str, content: bytes) -> str:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", name)
    return git(root, "rev-parse", "HEAD")


class Node:
    """A node's mirrors, and folders to rebuild into."""

    def __init__(self, root: Path) -> None:
        self.mirrors = root / "mirrors"
        self._root = root
        self._runs = 0

    def rebuild(self, source: Source, *, access: RemoteAccess | None = None) -> tuple[Path, Rebuilt]:
        self._runs += 1
        into = self._root / f"rebuilt-{self._runs}"
        rebuilt = checkout(
            source,
            into=into,
            mirrors=self.mirrors,
            fetch_blob=lambda digest, _: pytest.fail(f"nobody captured {digest}"),
            access=access or RemoteAccess(retry_after_seconds=()),
        )
        return into, rebuilt


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "node")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "--quiet")
    commit_file(root, "train.py", b"print('first')\n")
    return root


@pytest.fixture
def remote(tmp_path: Path, repository: Path) -> Iterator[str]:
    """The URL under which a real git server serves the repository."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--reuseaddr", "--export-all", "--listen=127.0.0.1", f"--port={port}", f"--base-path={tmp_path}"]
    with subprocess.Popen(["git", "daemon", *options, str(tmp_path)], stderr=subprocess.DEVNULL) as daemon:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield f"git://127.0.0.1:{port}/{repository.name}"
        daemon.terminate()


def test_a_commit_that_is_asked_for_is_rebuilt_byte_for_byte(repository: Path, remote: str, node: Node) -> None:
    (repository / ".gitattributes").write_text("*.txt text eol=crlf\n*.id ident\n")
    commit_file(repository, "unix.txt", b"a\nb\n")
    wanted = commit_file(repository, "version.id", b"$Id$\n")
    (repository / "run.sh").write_text("#!/bin/sh\n")
    (repository / "run.sh").chmod(0o755)
    commit_file(repository, "train.py", b"print('later')\n")
    source = Source(repository=remote, commit=wanted)
    for _ in range(2):  # the second comes from the mirror
        into, rebuilt = node.rebuild(source)
        assert rebuilt == Rebuilt(commit=wanted)
        assert (into / "train.py").read_bytes() == b"print('first')\n"
        assert (into / "unix.txt").read_bytes() == b"a\nb\n"
        assert (into / "version.id").read_bytes() == b"$Id$\n"
        assert not (into / "run.sh").exists()


def test_a_branch_is_looked_up_each_time(repository: Path, remote: str, node: Node) -> None:
    git(repository, "checkout", "--quiet", "-b", "feature/fast")
    first = commit_file(repository, "train.py", b"print('fast')\n")
    git(repository, "checkout", "--quiet", "main")
    source = Source(repository=remote, branch="feature/fast")
    assert node.rebuild(source)[1].commit == first
    git(repository, "checkout", "--quiet", "feature/fast")
    second = commit_file(repository, "train.py", b"print('faster')\n")
    into, rebuilt = node.rebuild(source)
    assert rebuilt.commit == second
    assert (into / "train.py").read_bytes() == b"print('faster')\n"
    git(repository, "reset", "--quiet", "--hard", first)
    assert node.rebuild(source)[1].commit == first, "a forced push counts, too"


def test_a_branch_whose_remote_is_down_fails_though_the_mirror_has_its_last_head(
    repository: Path, node: Node, tmp_path: Path
) -> None:
    head = git(repository, "rev-parse", "HEAD")
    source = Source(repository=repository.as_uri(), branch="main")
    node.rebuild(source)
    repository.rename(tmp_path / "away")
    with pytest.raises(Unavailable, match=r"repository cannot be fetched from: .*"):
        node.rebuild(source)
    assert node.rebuild(Source(repository=repository.as_uri(), commit=head))[1].commit == head, "a commit is at hand"


def test_a_remote_that_is_down_is_asked_again_before_it_counts_as_down(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        source = Source(repository=f"git://127.0.0.1:{unused.getsockname()[1]}/repository", branch="main")
        with caplog.at_level(logging.WARNING), pytest.raises(Unavailable, match=r"127\.0\.0\.1"):
            node.rebuild(source, access=RemoteAccess(retry_after_seconds=(0.01, 0.01)))
    assert [record.getMessage() for record in caplog.records] == ["git remote does not answer"] * 2


@pytest.mark.parametrize("branch", ["missing", "ain", "m*", "refs/heads/main", "--upload-pack=touch ran", "HEAD"])
def test_only_the_branch_that_is_named_is_meant(branch: str, remote: str, node: Node) -> None:
    with pytest.raises(RebuildError, match="There is no branch") as raised:
        node.rebuild(Source(repository=remote, branch=branch))
    assert repr(branch) in str(raised.value)
    assert remote in str(raised.value)


def test_a_commit_that_is_nowhere_is_named_with_its_repository(remote: str, node: Node) -> None:
    with pytest.raises(RebuildError, match=f"There is no commit {'1' * 40} on {remote}"):
        node.rebuild(Source(repository=remote, commit="1" * 40))


def test_what_is_no_commit_is_none(repository: Path, remote: str, node: Node) -> None:
    blob = git(repository, "rev-parse", "HEAD:train.py")
    with pytest.raises(RebuildError, match=f"There is no commit {blob}"):
        node.rebuild(Source(repository=remote, commit=blob))


def test_the_id_of_a_tag_means_its_commit(repository: Path, remote: str, node: Node) -> None:
    git(repository, "tag", "--annotate", "--message", "x", "v1")
    tag, commit = git(repository, "rev-parse", "v1"), git(repository, "rev-parse", "v1^{commit}")
    assert tag != commit
    assert node.rebuild(Source(repository=remote, commit=tag))[1].commit == commit


def test_submodules_of_a_commit_that_nobody_captured_stay_empty_and_are_named(
    repository: Path, remote: str, node: Node, tmp_path: Path
) -> None:
    library = tmp_path / "library"
    library.mkdir()
    git(library, "init", "--quiet")
    commit_file(library, "lib.py", b"x = 1\n")
    git(repository, "submodule", "--quiet", "add", library.as_uri(), "vendor/library ä")
    commit = commit_file(repository, "train.py", b"import lib\n")
    into, rebuilt = node.rebuild(Source(repository=remote, commit=commit))
    assert rebuilt == Rebuilt(commit=commit, left_empty=("vendor/library ä",))
    assert list((into / "vendor" / "library ä").iterdir()) == []
    assert (into / "train.py").read_bytes() == b"import lib\n"


def test_branches_of_sha256_repositories_are_found(node: Node, tmp_path: Path) -> None:
    root = tmp_path / "sha256"
    root.mkdir()
    git(root, "init", "--quiet", "--object-format=sha256")
    head = commit_file(root, "train.py", b"x = 1\n")
    assert len(head) == 64
    into, rebuilt = node.rebuild(Source(repository=root.as_uri(), branch="main"))
    assert rebuilt.commit == head
    assert (into / "train.py").read_bytes() == b"x = 1\n"


def test_a_repository_around_the_agent_has_no_say(
    repository: Path, node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "config", f"url.{tmp_path.as_uri()}/elsewhere.insteadOf", repository.as_uri())
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    head = git_of(repository)
    assert node.rebuild(Source(repository=repository.as_uri(), branch="main"))[1].commit == head


def git_of(repository: Path) -> str:
    """Return the head of a repository, whatever the variables say."""
    return (repository / ".git" / "refs" / "heads" / "main").read_text().strip()


def test_a_mirror_that_is_deleted_is_made_anew(repository: Path, remote: str, node: Node) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    node.rebuild(Source(repository=remote, commit=commit))
    shutil.rmtree(node.mirrors)
    assert node.rebuild(Source(repository=remote, commit=commit))[1].commit == commit


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"repository": "https://example.org/x.git"},
        {"commit": "1" * 40},
        {"branch": "main"},
        {"repository": "https://example.org/x.git", "branch": "main", "patch": "blake3:" + "0" * 64},
        {"repository": "https://example.org/x.git", "commit": "1" * 40, "bundle": "blake3:" + "0" * 64},
    ],
)
def test_a_source_without_a_tree_says_what_is_asked_for_and_no_more(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="tree"):
        Source.model_validate(fields)
