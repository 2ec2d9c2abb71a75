"""What a capture leaves behind, refuses and writes down. That it is exact is shown by rebuilding: test_checkout.py."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from orchestrator.errors import CaptureError
from orchestrator.sdk.capture import folder
from orchestrator.sdk.capture.source import CapturedSource, capture_source

if TYPE_CHECKING:
    from pathlib import Path

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def git(root: Path, *arguments: str) -> str:
    options = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", *options, *arguments], cwd=root, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "--quiet")
    (root / "train.py").write_text("print('training')\n")
    (root / ".gitignore").write_text("ignored/\n")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "first")
    return root


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return tmp_path / "scratch"


def patched(captured: CapturedSource) -> str:
    return captured.patch.read_text() if captured.patch else ""


def test_the_tree_of_a_clean_repository_is_its_commits(repository: Path, scratch: Path) -> None:
    captured = capture_source(repository, scratch=scratch)
    assert captured.tree == git(repository, "rev-parse", "HEAD^{tree}")
    assert captured.commit == git(repository, "rev-parse", "HEAD")
    assert captured.patch is None
    assert captured.root == repository


def test_nothing_but_patch_and_bundle_stays_in_the_scratch_folder(repository: Path, scratch: Path) -> None:
    (repository / "new.py").write_text("x = 1\n")
    captured = capture_source(repository, scratch=scratch)
    assert set(scratch.iterdir()) == {captured.patch, captured.bundle}


def test_large_untracked_files_are_refused_before_they_are_read(repository: Path, scratch: Path) -> None:
    for name, size in (("huge.bin", 1 << 40), ("large.bin", 3 << 20), ("small.bin", 10)):
        with (repository / name).open("wb") as file:
            file.truncate(size)
    with pytest.raises(CaptureError, match=r"1\.0 TiB.*512\.0 MiB.*huge\.bin \(1\.0 TiB\), .*large\.bin") as raised:
        capture_source(repository, scratch=scratch)
    assert "dataset" in (raised.value.hint or "")


def test_the_limit_counts_changed_files_and_those_of_inner_repositories(repository: Path, scratch: Path) -> None:
    (repository / "train.py").write_text("x" * 600)
    inner = repository / "inner"
    inner.mkdir()
    git(inner, "init", "--quiet")
    (inner / "new.bin").write_bytes(bytes(600))
    capture_source(repository, scratch=scratch / "wide", limit_bytes=1200)
    with pytest.raises(CaptureError, match=r"1\.2 KiB"):
        capture_source(repository, scratch=scratch / "narrow", limit_bytes=1100)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (".env", "TOKEN=1\n"),
        (".env.production", "TOKEN=1\n"),
        ("settings/.netrc", "machine example.org\n"),
        ("id_ed25519", "anything"),
        ("deploy.pem", "nothing that says what it is"),
        ("server.key", "binary"),
        ("no-suffix", KEY),
        ("both.pem", CERTIFICATE + KEY),
        ("account.json", '{"private_key": "-----BEGIN PRIVATE KEY-----\\nAAAA"}'),
    ],
)
def test_secrets_stay_behind_and_are_named(name: str, content: str, repository: Path, scratch: Path) -> None:
    clean = capture_source(repository, scratch=scratch / "clean")
    (repository / name).parent.mkdir(exist_ok=True)
    (repository / name).write_text(content)
    captured = capture_source(repository, scratch=scratch / "secret")
    assert captured.left_out == (name,)
    assert captured.tree == clean.tree
    assert captured.patch is None
    asked_for = capture_source(repository, scratch=scratch / "asked", with_secrets=True)
    assert asked_for.left_out == ()
    assert f"b/{name}" in patched(asked_for)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (".env.example", "TOKEN=\n"),
        ("id_rsa.pub", "ssh-rsa AAAA"),
        ("ca.pem", CERTIFICATE),
        ("environment.py", "x = 1\n"),
        ("test_keys.py", f'KEY = """{KEY}"""\n'),
        ("data.json", "{}"),
    ],
)
def test_what_only_resembles_a_secret_travels(name: str, content: str, repository: Path, scratch: Path) -> None:
    (repository / name).write_text(content)
    captured = capture_source(repository, scratch=scratch)
    assert captured.left_out == ()
    assert f"b/{name}" in patched(captured)


def test_staged_secrets_stay_behind_and_committed_ones_keep_the_commits_content(
    repository: Path, scratch: Path
) -> None:
    (repository / ".env").write_text("COMMITTED=1\n")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "second")
    (repository / ".env").write_text("EDITED=1\n")
    (repository / ".netrc").write_text("staged\n")
    git(repository, "add", "--all")
    captured = capture_source(repository, scratch=scratch)
    assert captured.left_out == (".env", ".netrc")
    assert captured.tree == git(repository, "rev-parse", "HEAD^{tree}")
    (repository / ".env").unlink()
    assert "deleted file" in patched(capture_source(repository, scratch=scratch / "deleted"))


def test_ignored_files_stay_behind_but_the_script_itself_travels(repository: Path, scratch: Path) -> None:
    (repository / "ignored").mkdir()
    (repository / "ignored" / "script.py").write_text("x = 1\n")
    (repository / "ignored" / "other.py").write_text("x = 1\n")
    assert capture_source(repository, scratch=scratch / "1").patch is None
    captured = capture_source(repository / "ignored" / "script.py", scratch=scratch / "2")
    assert "b/ignored/script.py" in patched(captured)
    assert "other.py" not in patched(captured)


def test_bytecode_and_virtual_environments_stay_behind(repository: Path, scratch: Path) -> None:
    for name in ("package/__pycache__/x.pyc", "env/pyvenv.cfg", "env/lib/module.py", "conda/conda-meta/history"):
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).touch()
    assert capture_source(repository, scratch=scratch).patch is None


def test_a_folder_of_too_many_files_is_no_source(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "MANY_FILES", 10)
    home = tmp_path / "home"
    (home / "deep").mkdir(parents=True)
    for number in range(11):
        (home / "deep" / f"{number}.txt").touch()
    with pytest.raises(CaptureError, match="no git repository") as raised:
        capture_source(home, scratch=scratch)
    assert "git init" in (raised.value.hint or "")


def test_a_tracked_pipe_is_refused_by_name(repository: Path, scratch: Path) -> None:
    (repository / "train.py").unlink()
    os.mkfifo(repository / "train.py")
    with pytest.raises(CaptureError, match=r"train\.py"):
        capture_source(repository, scratch=scratch)


def test_a_repository_that_git_refuses_to_read_is_an_error(repository: Path, scratch: Path) -> None:
    (repository / ".git" / "config").write_text("[core]\n\trepositoryformatversion = 99\n")
    with pytest.raises(CaptureError, match="does not read the repository"):
        capture_source(repository, scratch=scratch)


def test_without_git_the_error_says_so(repository: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(CaptureError, match="git is not installed"):
        capture_source(repository, scratch=scratch)
