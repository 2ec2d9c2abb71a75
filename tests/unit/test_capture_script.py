"""How a script was started, said so that it can be started again."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

CAPTURE = """\
import json, sys
from pathlib import Path
from orchestrator.sdk.capture.script import capture_script
print("CAPTURED", json.dumps(capture_script(Path({root!r}))))
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    (top / "package" / "inner").mkdir(parents=True)
    code = CAPTURE.format(root=str(top))
    for name in ("train.py", "package/inner/job.py", "package/__main__.py"):
        (top / name).write_text(code)
    for name in ("package/__init__.py", "package/inner/__init__.py"):
        (top / name).touch()
    (tmp_path / "link.py").symlink_to(top / "train.py")
    return top


def captured(*arguments: str, cwd: Path, stdin: str | None = None) -> dict[str, Any] | None:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, check=True, capture_output=True, text=True, input=stdin
    )
    result: dict[str, Any] | None = json.loads(done.stdout.partition("CAPTURED ")[2])
    return result


def test_a_script_is_named_relative_to_the_tree(root: Path) -> None:
    assert captured("train.py", "--lr", "0.1", "ä b", cwd=root) == {
        "entry_point": "train.py",
        "working_directory": ".",
        "arguments": ["--lr", "0.1", "ä b"],
    }


def test_the_working_directory_is_relative_to_the_tree(root: Path) -> None:
    script = captured("inner/job.py", cwd=root / "package")
    assert script == {"entry_point": "package/inner/job.py", "working_directory": "package", "arguments": []}


def test_a_script_started_from_elsewhere_runs_at_the_top(root: Path) -> None:
    script = captured(str(root / "package" / "inner" / "job.py"), cwd=root.parent)
    assert script == {"entry_point": "package/inner/job.py", "working_directory": ".", "arguments": []}


def test_a_module_is_named_as_it_was_started(root: Path) -> None:
    script = captured("-m", "package.inner.job", "x", cwd=root)
    assert script == {"entry_point": "-m package.inner.job", "working_directory": ".", "arguments": ["x"]}
    script = captured("-m", "package", cwd=root)
    assert script == {"entry_point": "-m package", "working_directory": ".", "arguments": []}


def test_a_folder_started_as_a_script_is_its_main_file(root: Path) -> None:
    script = captured("package", cwd=root)
    assert script == {"entry_point": "package/__main__.py", "working_directory": ".", "arguments": []}


def test_a_link_to_a_script_is_followed_into_the_tree(root: Path) -> None:
    script = captured(str(root.parent / "link.py"), cwd=root)
    assert script is not None
    assert script["entry_point"] == "train.py"


def test_what_has_no_file_in_the_tree_is_no_script(root: Path, tmp_path: Path) -> None:
    code = CAPTURE.format(root=str(root))
    (tmp_path / "outside.py").write_text(code)
    assert captured("-c", code, cwd=root) is None
    assert captured("-", cwd=root, stdin=code) is None
    assert captured(str(tmp_path / "outside.py"), cwd=root) is None


def test_a_launcher_of_an_environment_in_the_tree_is_no_script(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestrator.sdk.capture.script import capture_script  # noqa: PLC0415  after the rest runs in children

    launcher = root / ".venv" / "bin" / "pytest"
    launcher.parent.mkdir(parents=True)
    launcher.touch()
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(launcher))
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    monkeypatch.chdir(root)
    assert capture_script(root) is not None
    monkeypatch.setattr(sys, "prefix", str(root / ".venv"))
    assert capture_script(root) is None
