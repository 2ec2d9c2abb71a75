"""Capture and checkout against each other: what is rebuilt is what lay on disk, byte for byte."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.checkout import checkout
from agent.remotes import Credential, RemoteAccess, write_askpass
from orchestrator.errors import CaptureError, RebuildError, SourceMismatch, Unavailable
from orchestrator.records.source import Source, Submodule
from orchestrator.sdk.capture.source import CapturedSource, capture_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IDENTITY = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
OPTIONS = (*IDENTITY, "-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main", "-c", "core.safecrlf=false")
NEVER = RemoteAccess(retry_after_seconds=())


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *OPTIONS, *arguments], cwd=root, check=True, capture_output=True)
    return done.stdout.decode().strip()  # what git complains of may be no UTF-8


def commit_all(root: Path) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--allow-empty", "--message", "state")


def make_repository(root: Path) -> Path:
    root.mkdir(parents=True)
    git(root, "init", "--quiet")
    (root / "train.py").write_text("print('training')\n" * 20)
    (root / "data.bin").write_bytes(bytes(range(256)) * 8)
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "package").mkdir()
    (root / "package" / "model.py").write_text("DEPTH = 3\n")
    (root / "package" / "notes.txt").write_text("one\ntwo\n")
    (root / "link").symlink_to("train.py")
    commit_all(root)
    return root


def files_of(root: Path) -> dict[str, tuple[str, str]]:
    """Return kind and content of every file, without git's own, bytecode and empty folders."""
    found = {}
    for path in root.rglob("*"):
        relative = path.relative_to(root)
        if ".git" in relative.parts:
            continue
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            found[str(relative)] = ("link", str(path.readlink()))
        elif stat.S_ISREG(status.st_mode):
            kind = "executable" if status.st_mode & stat.S_IXUSR else "file"
            found[str(relative)] = (kind, hashlib.sha256(path.read_bytes()).hexdigest())
    return found


class Node:
    """A node with its mirrors, and the blobs that a server would hold."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.mirrors = root / "mirrors"
        self.blobs: dict[str, Path] = {}
        self.fetched: list[str] = []
        self._runs = 0

    def store(self, path: Path | None) -> str | None:
        if path is None:
            return None
        digest = f"blake3:{len(self.blobs):064x}"
        self.blobs[digest] = path
        return digest

    def record(self, captured: CapturedSource) -> Source:
        return Source(
            repository=captured.repository,
            branch=captured.branch,
            commit=captured.commit,
            tree=captured.tree,
            patch=self.store(captured.patch),
            bundle=self.store(captured.bundle),
            submodules=tuple(
                Submodule(path=each.path, source=self.record(each.source)) for each in captured.submodules
            ),
            left_out=captured.left_out,
        )

    def capture(self, path: Path, **options: Any) -> Source:  # noqa: ANN401  passed on
        self._runs += 1
        return self.record(capture_source(path, scratch=self.root / f"scratch-{self._runs}", **options))

    def rebuild(self, source: Source, *, access: RemoteAccess = NEVER) -> Path:
        self._runs += 1
        into = self.root / f"rebuilt-{self._runs}"
        checkout(source, into=into, mirrors=self.mirrors, fetch_blob=self._fetch, access=access)
        return into

    def _fetch(self, digest: str, path: Path) -> None:
        self.fetched.append(digest)
        shutil.copyfile(self.blobs[digest], path)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "node")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repository")


def clean(root: Path) -> None:
    """Nothing changed."""


def staged(root: Path) -> None:
    (root / "train.py").write_text("print('staged')\n")
    (root / "new.py").write_text("staged = True\n")
    git(root, "add", "--all")


def staged_and_edited_again(root: Path) -> None:
    staged(root)
    (root / "train.py").write_text("print('staged, then edited')\n")
    (root / "new.py").unlink()


def unstaged(root: Path) -> None:
    (root / "train.py").write_text("print('edited')")
    (root / "package" / "notes.txt").write_bytes(b"no newline at the end\r\nmixed\n\rends")


def same_size_and_time(root: Path) -> None:
    path = root / "package" / "notes.txt"
    before = path.stat()
    path.write_text("two\none\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def binary(root: Path) -> None:
    (root / "data.bin").write_bytes(bytes(reversed(range(256))) * 9)
    (root / "more.bin").write_bytes(os.urandom(70_000))


def untracked_names(root: Path) -> None:
    for name in (
        "gewöhnlich.txt",
        "学習.py",
        "tab\there",
        "new\nline",
        ' "quoted" ',
        "back\\slash",
        "-dash",
        "*",
        ":(top)x",
    ):
        (root / name).write_text(name)
    (root / "#hash").write_text("a comment, elsewhere")
    (root / "ends in return\r").write_text("")
    (root / "link\nwith line").symlink_to("tab\there")
    Path(os.fsdecode(os.fsencode(root) + b"/not-utf-8-\xff")).write_text("bytes")


def modes(root: Path) -> None:
    (root / "train.py").chmod(0o755)
    (root / "run.sh").chmod(0o644)
    (root / "tool").write_text("#!/bin/sh\n")
    (root / "tool").chmod(0o755)


def modes_ignored_by_the_user(root: Path) -> None:
    git(root, "config", "core.fileMode", "false")
    modes(root)


def links(root: Path) -> None:
    (root / "link").unlink()
    (root / "link").symlink_to("nowhere/at all")
    (root / "other").symlink_to("/etc/hostname")
    (root / "to folder").symlink_to("package")


def link_and_file_change_places(root: Path) -> None:
    (root / "link").unlink()
    (root / "link").write_text("train.py")
    (root / "train.py").unlink()
    (root / "train.py").symlink_to("run.sh")


def deleted(root: Path) -> None:
    (root / "data.bin").unlink()
    shutil.rmtree(root / "package")


def everything_deleted(root: Path) -> None:
    for path in root.iterdir():
        if path.name != ".git":
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def renamed(root: Path) -> None:
    (root / "train.py").rename(root / "package" / "train.py")
    git(root, "mv", "data.bin", "moved.bin")


def empty_files(root: Path) -> None:
    (root / "empty").touch()
    (root / "train.py").write_bytes(b"")
    (root / "intended.py").touch()
    git(root, "add", "--intent-to-add", "intended.py")


def file_becomes_folder(root: Path) -> None:
    (root / "train.py").unlink()
    (root / "train.py").mkdir()
    (root / "train.py" / "inside.py").write_text("x = 1\n")


def folder_becomes_file(root: Path) -> None:
    shutil.rmtree(root / "package")
    (root / "package").write_text("a file\n")


def folder_becomes_link(root: Path) -> None:
    (root / "package").rename(root / "moved")
    (root / "package").symlink_to("moved")


def carriage_returns(root: Path) -> None:
    (root / ".gitattributes").write_text("*.txt text=auto\n*.bat eol=crlf\n*.id ident\n*.lf text eol=lf\n")
    (root / "dos.txt").write_bytes(b"a\r\nb\r\n")
    (root / "mixed.txt").write_bytes(b"a\r\nb\n")
    (root / "start.bat").write_bytes(b"echo\n")
    (root / "version.id").write_bytes(b"$Id: expanded by hand $\n")
    (root / "unix.lf").write_bytes(b"a\r\n")
    commit_all(root)
    (root / "later.txt").write_bytes(b"later\r\n")
    git(root, "add", "later.txt")


def attributes_outside_the_tree(root: Path) -> None:
    (root / ".git" / "info" / "attributes").write_text("* text=auto\n*.py filter=upper\n")
    git(root, "config", "filter.upper.clean", "tr a-z A-Z")
    git(root, "config", "filter.upper.smudge", "tr A-Z a-z")
    (root / "dos.txt").write_bytes(b"a\r\nb\r\n")
    (root / "filtered.py").write_text("Mixed = 'Case'\n")
    commit_all(root)


def converted_by_configuration(root: Path) -> None:
    git(root, "config", "core.autocrlf", "true")
    (root / "dos.txt").write_bytes(b"a\r\nb\r\n")
    commit_all(root)
    (root / "unix.txt").write_bytes(b"a\nb\n")
    git(root, "add", "unix.txt")


def converted_once(root: Path) -> None:
    (root / "dos.txt").write_bytes(b"a\r\nb\r\n")
    git(root, "-c", "core.autocrlf=input", "add", "dos.txt")
    (root / "filtered.txt").write_text("rotated")
    (root / ".git" / "info" / "attributes").write_text("filtered.txt filter=rotate\n")
    git(root, "-c", "filter.rotate.clean=tr a-z b-za", "add", "filtered.txt")
    (root / ".git" / "info" / "attributes").unlink()
    git(root, "commit", "--quiet", "--message", "converted")


def other_encoding(root: Path) -> None:
    (root / ".gitattributes").write_text("*.txt working-tree-encoding=UTF-16\n")
    (root / "wide.txt").write_text("wide", encoding="utf-16")
    (root / "package" / "notes.txt").write_text("wide", encoding="utf-16")
    git(root, "add", "wide.txt")


def failing_filter(root: Path) -> None:
    (root / ".gitattributes").write_text("*.bin filter=lfs\n")
    git(root, "config", "filter.lfs.required", "true")
    git(root, "config", "filter.lfs.clean", "false")
    (root / "data.bin").write_bytes(b"large\0")


def assumed_unchanged(root: Path) -> None:
    git(root, "update-index", "--assume-unchanged", "train.py")
    (root / "train.py").write_text("print('behind the back')\n")


def worktree_skipped(root: Path) -> None:
    git(root, "update-index", "--skip-worktree", "train.py", "data.bin")
    (root / "train.py").write_text("print('behind the back')\n")
    (root / "data.bin").unlink()


def sparse(root: Path) -> None:
    (root / "left out").mkdir()
    (root / "left out" / "module.py").write_text("x = 1\n")
    commit_all(root)
    git(root, "sparse-checkout", "set", "--cone", "--sparse-index", "package")
    assert not (root / "left out").exists()


def split_index(root: Path) -> None:
    git(root, "update-index", "--split-index")
    unstaged(root)


def conflict(root: Path) -> None:
    git(root, "checkout", "--quiet", "-b", "other")
    (root / "train.py").write_text("theirs\n")
    commit_all(root)
    git(root, "checkout", "--quiet", "-")
    (root / "train.py").write_text("ours\n")
    commit_all(root)
    with pytest.raises(subprocess.CalledProcessError):
        git(root, "merge", "other")


def detached(root: Path) -> None:
    commit_all(root)
    git(root, "checkout", "--quiet", "--detach", "HEAD~1")
    unstaged(root)


def replaced_commit(root: Path) -> None:
    first = git(root, "rev-parse", "HEAD")
    (root / "train.py").write_text("replaced\n")
    commit_all(root)
    git(root, "replace", first, "HEAD")
    git(root, "checkout", "--quiet", "--detach", first)
    (root / "train.py").write_text("edited\n")


def user_configuration(root: Path) -> None:
    for key, value in {
        "diff.noprefix": "true",
        "diff.external": "false",
        "color.ui": "always",
        "core.quotePath": "true",
        "diff.renames": "copies",
        "apply.whitespace": "error",
        "core.fsmonitor": "false",
        "core.hooksPath": "/nonexistent",
        "core.abbrev": "4",
    }.items():
        git(root, "config", key, value)
    (root / "trailing.txt").write_text("blanks   \n\t\n\n\n")
    renamed(root)


STATES = [
    clean,
    staged,
    staged_and_edited_again,
    unstaged,
    same_size_and_time,
    binary,
    untracked_names,
    modes,
    modes_ignored_by_the_user,
    links,
    link_and_file_change_places,
    deleted,
    everything_deleted,
    renamed,
    empty_files,
    file_becomes_folder,
    folder_becomes_file,
    folder_becomes_link,
    carriage_returns,
    attributes_outside_the_tree,
    converted_by_configuration,
    converted_once,
    other_encoding,
    failing_filter,
    assumed_unchanged,
    worktree_skipped,
    sparse,
    split_index,
    conflict,
    detached,
    replaced_commit,
    user_configuration,
]


@pytest.mark.parametrize("change", STATES, ids=lambda change: change.__name__)
def test_every_state_of_a_working_tree_comes_back(change: Callable[[Path], None], repository: Path, node: Node) -> None:
    change(repository)
    before, index = files_of(repository), (repository / ".git" / "index").read_bytes()
    objects = sorted(path for path in (repository / ".git").rglob("*"))

    source = node.capture(repository / "train.py" if (repository / "train.py").is_file() else repository)
    assert files_of(node.rebuild(source)) == before
    assert files_of(node.rebuild(source)) == before, "the second rebuild comes from the mirror"

    assert (repository / ".git" / "index").read_bytes() == index
    assert sorted(path for path in (repository / ".git").rglob("*")) == objects


def test_a_clone_is_rebuilt_from_its_remote(repository: Path, node: Node, tmp_path: Path) -> None:
    commit_all(repository)
    git(tmp_path, "clone", "--quiet", "--bare", str(repository), "remote.git")
    git(tmp_path, "clone", "--quiet", (tmp_path / "remote.git").as_uri(), "clone")
    unstaged(tmp_path / "clone")
    source = node.capture(tmp_path / "clone")
    assert source.repository == (tmp_path / "remote.git").as_uri()
    assert source.bundle is None
    assert source.branch == git(repository, "symbolic-ref", "--short", "HEAD")
    assert files_of(node.rebuild(source)) == files_of(tmp_path / "clone")


def test_commits_that_no_remote_has_travel_as_a_bundle(repository: Path, node: Node, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", repository.as_uri(), "clone")
    clone = tmp_path / "clone"
    for number in range(3):
        (clone / "train.py").write_text(f"unpushed {number}\n")
        commit_all(clone)
    unstaged(clone)
    source = node.capture(clone)
    assert source.bundle
    assert source.commit == git(clone, "rev-parse", "HEAD")
    assert files_of(node.rebuild(source)) == files_of(clone)
    (clone / "train.py").write_text("unpushed again\n")
    commit_all(clone)
    repository.rename(tmp_path / "away")
    assert files_of(node.rebuild(node.capture(clone))) == files_of(clone), "the mirror has what the bundle builds on"


def test_a_bundle_is_made_once(repository: Path, node: Node, tmp_path: Path) -> None:
    first = capture_source(repository, scratch=tmp_path / "1", bundles=tmp_path / "bundles").bundle
    second = capture_source(repository, scratch=tmp_path / "2", bundles=tmp_path / "bundles").bundle
    assert first
    assert second
    assert first.stat().st_ino == second.stat().st_ino
    commit_all(repository)
    source = node.capture(repository, bundles=tmp_path / "bundles")
    assert files_of(node.rebuild(source)) == files_of(repository)


def test_a_shallow_clone_whose_commit_no_remote_has_is_refused(repository: Path, node: Node, tmp_path: Path) -> None:
    commit_all(repository)
    git(tmp_path, "clone", "--quiet", "--depth=1", repository.as_uri(), "clone")
    node.rebuild(node.capture(tmp_path / "clone"))
    git(tmp_path / "clone", "remote", "remove", "origin")
    with pytest.raises(CaptureError, match="shallow clone"):
        node.capture(tmp_path / "clone")


def test_partial_clones_travel_and_sparse_ones_say_what_they_lack(repository: Path, node: Node, tmp_path: Path) -> None:
    (repository / "left out").mkdir()
    (repository / "left out" / "module.py").write_text("x = 1\n")
    commit_all(repository)
    git(repository, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "--quiet", "--filter=blob:none", repository.as_uri(), "partial")
    unstaged(tmp_path / "partial")
    assert files_of(node.rebuild(node.capture(tmp_path / "partial"))) == files_of(tmp_path / "partial")
    git(tmp_path, "clone", "--quiet", "--filter=blob:none", "--sparse", repository.as_uri(), "sparse")
    with pytest.raises(CaptureError) as raised:
        node.capture(tmp_path / "sparse")
    assert "sparse-checkout disable" in (raised.value.hint or "")


def test_a_remote_that_is_down_is_not_needed_for_a_commit_fetched_before(
    repository: Path, node: Node, tmp_path: Path
) -> None:
    git(tmp_path, "clone", "--quiet", repository.as_uri(), "clone")
    clone = tmp_path / "clone"
    node.rebuild(node.capture(clone))
    repository.rename(tmp_path / "away")
    unstaged(clone)
    assert files_of(node.rebuild(node.capture(clone))) == files_of(clone)


def test_a_remote_that_is_down_is_retried_and_then_unavailable(repository: Path, node: Node, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", repository.as_uri(), "clone")
    source = node.capture(tmp_path / "clone")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dead = source.changed(repository=f"git://127.0.0.1:{unused.getsockname()[1]}/repository")
        begun = time.monotonic()
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1") as raised:
            node.rebuild(dead, access=RemoteAccess(retry_after_seconds=(0.05, 0.1)))
    assert time.monotonic() - begun >= 0.15
    assert raised.value.hint
    assert list(node.mirrors.glob("checkout-*")) == []


def test_a_commit_that_was_replaced_on_the_remote_is_named(repository: Path, node: Node, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", repository.as_uri(), "clone")
    source = node.capture(tmp_path / "clone").changed(commit="1" * 40)
    with pytest.raises(RebuildError, match=r"1111.* is not on"):
        node.rebuild(source)


def test_a_forced_push_does_not_take_a_commit_from_the_mirror(repository: Path, node: Node, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", repository.as_uri(), "clone")
    clone = tmp_path / "clone"
    node.rebuild(node.capture(clone))
    git(repository, *IDENTITY, "commit", "--quiet", "--amend", "--message", "forced")
    git(tmp_path, "clone", "--quiet", repository.as_uri(), "newer")
    git(tmp_path / "newer", "remote", "set-url", "origin", repository.as_uri())
    node.rebuild(node.capture(tmp_path / "newer"))
    (clone / "train.py").write_text("on top of what was replaced\n")
    commit_all(clone)
    assert files_of(node.rebuild(node.capture(clone))) == files_of(clone)


@pytest.fixture
def git_daemon(tmp_path: Path) -> Iterator[str]:
    """The URL under which a real git server serves `tmp_path`."""
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
        yield f"git://127.0.0.1:{port}"
        daemon.terminate()


def test_a_git_server_serves_a_rebuild_with_submodules(
    repository: Path, node: Node, tmp_path: Path, git_daemon: str
) -> None:
    library = make_repository(tmp_path / "library")
    git(repository, "submodule", "--quiet", "add", f"{git_daemon}/library", "vendor/library")
    commit_all(repository)
    git(tmp_path, "clone", "--quiet", "--recurse-submodules", f"{git_daemon}/repository", "clone")
    clone = tmp_path / "clone"
    (clone / "vendor" / "library" / "train.py").write_text("dirty in the submodule\n")
    (clone / "vendor" / "library" / "untracked.py").write_text("new in the submodule\n")
    unstaged(clone)
    source = node.capture(clone / "train.py")
    assert [each.path for each in source.submodules] == ["vendor/library"]
    assert source.submodules[0].source.commit == git(library, "rev-parse", "HEAD")
    assert files_of(node.rebuild(source)) == files_of(clone)
    assert node.fetched == [source.patch, source.submodules[0].source.patch]


def test_submodules_that_moved_or_were_never_fetched_come_back(repository: Path, node: Node, tmp_path: Path) -> None:
    make_repository(tmp_path / "library")
    for path in ("moved", "emptied", "unversioned", "deleted"):
        git(repository, "submodule", "--quiet", "add", str(tmp_path / "library"), path)
    commit_all(repository)
    (repository / "moved" / "train.py").write_text("committed, not pushed\n")
    commit_all(repository / "moved")
    shutil.rmtree(repository / "emptied")
    (repository / "emptied").mkdir()
    (repository / "unversioned" / ".git").unlink()
    shutil.rmtree(repository / "deleted")
    source = node.capture(repository)
    assert sorted(each.path for each in source.submodules) == ["moved", "unversioned"]
    rebuilt = node.rebuild(source)
    assert files_of(rebuilt) == files_of(repository)
    assert (rebuilt / "emptied").is_dir()
    assert not (rebuilt / "deleted").exists()


def test_repositories_inside_a_repository_travel(repository: Path, node: Node) -> None:
    make_repository(repository / "inner" / "deep")
    (repository / "inner" / "deep" / "train.py").write_text("edited inside\n")
    (repository / "unborn").mkdir()
    git(repository / "unborn", "init", "--quiet")
    (repository / "unborn" / "new.py").write_text("no commit yet\n")
    git(repository, "worktree", "add", "--quiet", "beside")
    source = node.capture(repository)
    assert sorted(each.path for each in source.submodules) == ["beside", "inner/deep", "unborn"]
    assert files_of(node.rebuild(source)) == files_of(repository)


def test_a_worktree_is_captured_like_a_clone(repository: Path, node: Node, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "--quiet", str(tmp_path / "worktree"), "-b", "side")
    unstaged(tmp_path / "worktree")
    source = node.capture(tmp_path / "worktree" / "package" / "model.py")
    assert source.branch == "side"
    assert files_of(node.rebuild(source)) == files_of(tmp_path / "worktree")


def test_a_repository_without_commits_is_rebuilt_from_nothing(node: Node, tmp_path: Path) -> None:
    root = tmp_path / "unborn"
    root.mkdir()
    git(root, "init", "--quiet")
    (root / "staged.py").write_text("x = 1\n")
    git(root, "add", "staged.py")
    (root / "staged.py").write_text("x = 2\n")
    (root / "untracked.bin").write_bytes(b"\0\1")
    source = node.capture(root)
    assert source.commit is None
    assert source.branch == "main"
    assert files_of(node.rebuild(source)) == files_of(root)


def test_a_folder_without_repository_is_rebuilt_from_nothing(node: Node, tmp_path: Path) -> None:
    root = tmp_path / "folder"
    (root / "package").mkdir(parents=True)
    (root / "train.py").write_bytes(b"x = 1\r\n")
    (root / "package" / "link").symlink_to("../train.py")
    before = files_of(root)
    (root / "__pycache__").mkdir()
    (root / "__pycache__" / "train.pyc").write_bytes(b"bytecode")
    (root / "environment" / "lib").mkdir(parents=True)
    (root / "environment" / "pyvenv.cfg").touch()
    (root / "environment" / "lib" / "module.py").touch()
    source = node.capture(root / "train.py")
    assert (source.repository, source.commit, source.bundle) == (None, None, None)
    assert files_of(node.rebuild(source)) == before


def test_an_empty_folder_is_a_tree_too(node: Node, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert files_of(node.rebuild(node.capture(tmp_path / "empty"))) == {}


def test_sha256_repositories_come_back(node: Node, tmp_path: Path) -> None:
    root = tmp_path / "sha256"
    root.mkdir()
    git(root, "init", "--quiet", "--object-format=sha256")
    (root / "train.py").write_text("x = 1\n")
    commit_all(root)
    staged(root)
    source = node.capture(root)
    assert len(source.tree) == 64
    assert files_of(node.rebuild(source)) == files_of(root)


def test_the_second_rebuild_asks_nobody(repository: Path, node: Node) -> None:
    unstaged(repository)
    source = node.capture(repository)
    node.rebuild(source)
    assert sorted(node.fetched) == sorted([source.patch, source.bundle])  # type: ignore[type-var]
    node.rebuild(source)
    assert len(node.fetched) == 2


def test_a_tree_that_is_not_the_captured_one_is_refused(repository: Path, node: Node) -> None:
    unstaged(repository)
    source = node.capture(repository)
    with pytest.raises(SourceMismatch):
        node.rebuild(source.changed(tree="2" * 40))
    with pytest.raises(SourceMismatch):
        node.rebuild(source.changed(tree="2" * 40, patch=None))


def test_bytes_that_rotted_in_the_mirror_are_noticed(repository: Path, node: Node) -> None:
    (repository / "train.py").write_text("captured\n")
    source = node.capture(repository)
    node.rebuild(source)
    (mirror,) = node.mirrors.glob("*.git")
    name = git(repository, "hash-object", "train.py")
    other = repository / "other"
    other.write_text("something else\n")
    impostor = git(repository, "hash-object", "-w", "other")
    damaged = mirror / "objects" / name[:2] / name[2:]
    damaged.unlink()
    shutil.copyfile(repository / ".git" / "objects" / impostor[:2] / impostor[2:], damaged)
    with pytest.raises(RebuildError):
        node.rebuild(source)


def test_an_object_that_was_lost_from_the_mirror_is_brought_again(repository: Path, node: Node) -> None:
    (repository / "train.py").write_text("captured\n")
    source = node.capture(repository)
    node.rebuild(source)
    (mirror,) = node.mirrors.glob("*.git")
    name = git(repository, "hash-object", "train.py")
    (mirror / "objects" / name[:2] / name[2:]).unlink()
    assert files_of(node.rebuild(source)) == files_of(repository)


HOSTILE_PATCHES = {
    "parent": "../escaped",
    "absolute": "/escaped",
    "git": ".git/hooks/post-checkout",
    "nested git": "package/.git/config",
    "dotted": "package/../../escaped",
}


@pytest.mark.parametrize("path", HOSTILE_PATCHES.values(), ids=HOSTILE_PATCHES.keys())
def test_a_patch_writes_nothing_outside_the_tree(path: str, repository: Path, node: Node, tmp_path: Path) -> None:
    patch = tmp_path / "hostile.patch"
    patch.write_text(
        f"diff --git a/{path} b/{path}\nnew file mode 100755\nindex 0000000..ce01362\n"
        f"--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+hello\n"
    )
    source = node.capture(repository).changed(patch=node.store(patch), tree="3" * 40)
    with pytest.raises(RebuildError):
        node.rebuild(source)
    assert not (node.root / "escaped").exists()
    assert not Path("/escaped").exists()


def test_a_patch_writes_nothing_through_a_link(repository: Path, node: Node, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    patch = tmp_path / "hostile.patch"
    patch.write_text(
        f"diff --git a/way b/way\nnew file mode 120000\n--- /dev/null\n+++ b/way\n@@ -0,0 +1 @@\n+{tmp_path}/outside\n"
        "\\ No newline at end of file\n"
        "diff --git a/way/out b/way/out\nnew file mode 100644\n--- /dev/null\n+++ b/way/out\n@@ -0,0 +1 @@\n+hello\n"
    )
    with pytest.raises(RebuildError):
        node.rebuild(node.capture(repository).changed(patch=node.store(patch), tree="3" * 40))
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", ".git", "a/.GIT/b", "link/x", "train.py", "", "."])
def test_a_submodule_goes_nowhere_but_into_the_tree(path: str, repository: Path, node: Node) -> None:
    (repository / "link").unlink()
    (repository / "link").symlink_to("..")
    source = node.capture(repository)
    inner = Submodule(path=path, source=source)
    with pytest.raises(RebuildError):
        node.rebuild(source.changed(submodules=(inner,)))


@pytest.mark.parametrize("url", ["ext::sh -c 'touch ran'", "--upload-pack=touch ran", "ftp://example.org/x", ""])
def test_a_url_that_could_run_something_is_refused(url: str, repository: Path, node: Node) -> None:
    with pytest.raises(RebuildError, match="no URL that git may fetch from"):
        node.rebuild(node.capture(repository).changed(repository=url))


def test_a_folder_with_something_in_it_is_not_written_into(repository: Path, node: Node, tmp_path: Path) -> None:
    source = node.capture(repository)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").touch()
    with pytest.raises(RebuildError, match="not empty"):
        checkout(source, into=tmp_path / "used", mirrors=node.mirrors, fetch_blob=node._fetch)


def test_hooks_and_filters_of_a_tree_do_not_run(repository: Path, node: Node, tmp_path: Path) -> None:
    template = tmp_path / "template" / "hooks"
    template.mkdir(parents=True)
    for name in ("post-checkout", "post-index-change", "reference-transaction"):
        (template / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        (template / name).chmod(0o755)
    (repository / ".gitattributes").write_text("* filter=evil\n")
    configuration = tmp_path / "gitconfig"
    configuration.write_text(
        f'[filter "evil"]\n\tsmudge = touch {tmp_path}/ran\n\tclean = touch {tmp_path}/ran\n'
        f"[core]\n\thooksPath = {template}\n"
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("GIT_CONFIG_GLOBAL", str(configuration))
        source = node.capture(repository)
        assert files_of(node.rebuild(source)) == files_of(repository)
    assert not (tmp_path / "ran").exists()


def test_variables_of_an_outer_git_change_nothing(
    repository: Path, node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unstaged(repository)
    expected = files_of(repository)
    other = make_repository(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    assert files_of(node.rebuild(node.capture(repository))) == expected


def test_a_credential_is_shown_to_its_host_alone(tmp_path: Path) -> None:
    askpass = write_askpass(tmp_path)
    environment = {"RETRAIN_GIT_HOST": "example.org", "RETRAIN_GIT_USERNAME": "robot", "RETRAIN_GIT_PASSWORD": "s3cret"}

    def ask(question: str) -> tuple[int, str]:
        done = subprocess.run([askpass, question], env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.strip()

    assert ask("Username for 'https://example.org': ") == (0, "robot")
    assert ask("Password for 'https://robot@example.org': ") == (0, "s3cret")
    assert ask("Password for 'https://robot@example.org.evil.net': ") == (1, "")
    assert ask("Password for 'https://example.org@evil.net': ") == (1, "")
    assert ask("Password for 'https://evil.net/example.org': ") == (1, "")
    assert "s3cret" not in repr(Credential(username="robot", password="s3cret"))


def test_several_processes_rebuild_at_once(repository: Path, node: Node, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", repository.as_uri(), "clone")
    source = node.capture(tmp_path / "clone")
    code = (
        "import sys; from pathlib import Path; from agent.checkout import checkout;"
        "from orchestrator.records.source import Source;"
        "checkout(Source.model_validate_json(sys.argv[1]), into=Path(sys.argv[2]), mirrors=Path(sys.argv[3]),"
        " fetch_blob=None)"
    )
    command = [sys.executable, "-c", code, source.model_dump_json()]
    running = [
        subprocess.Popen([*command, str(tmp_path / f"rebuilt-{number}"), str(node.mirrors)]) for number in range(4)
    ]
    assert [process.wait() for process in running] == [0, 0, 0, 0]
    assert all(files_of(tmp_path / f"rebuilt-{number}") == files_of(tmp_path / "clone") for number in range(4))


NAMES = st.sampled_from(["a", "b", "ä", "a b", ".gitattributes", "Δ.txt", "x.py"])
CONTENTS = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"* text=auto eol=crlf\n", b"a\r\nb\n", b"$Id$\n", b"same\n", b"* ident -diff\n"]),
)
TREES = st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map("/".join), st.tuples(CONTENTS, st.booleans()))


def lay_out(root: Path, tree: dict[str, tuple[bytes, bool]]) -> None:
    for name, (content, executable) in tree.items():
        path = root / name
        if any(parent.is_file() for parent in path.parents) or path.is_dir():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o755 if executable else 0o644)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(committed=TREES, index=TREES, disk=TREES)
def test_any_tree_comes_back(
    committed: dict[str, tuple[bytes, bool]],
    index: dict[str, tuple[bytes, bool]],
    disk: dict[str, tuple[bytes, bool]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    home = tmp_path_factory.mktemp("random")
    node, root = Node(home / "node"), home / "repository"
    root.mkdir()
    git(root, "init", "--quiet")
    for tree, finish in ((committed, commit_all), (index, lambda root: git(root, "add", "--all"))):
        everything_deleted(root)
        lay_out(root, tree)
        finish(root)
    everything_deleted(root)
    lay_out(root, disk)
    assert files_of(node.rebuild(node.capture(root))) == files_of(root)
