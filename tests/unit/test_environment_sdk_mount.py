from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import agent.sdk_mount
from agent.sdk_mount import sdk_directory

IMPORT_ALL = """
import importlib, pkgutil, sys
sys.path.insert(0, sys.argv[1])
import orchestrator, triggers
for package in (orchestrator, triggers):
    assert package.__file__.startswith(sys.argv[1]), package.__file__
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
assert not any(name.split(".")[0] in {"agent", "sqlalchemy", "fastapi"} for name in sys.modules)
from orchestrator.records import values
print(values.decode.__code__.co_filename)
"""


def test_it_holds_what_a_script_imports_and_nothing_of_the_server(tmp_path: Path) -> None:
    directory = sdk_directory(tmp_path)
    answer = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, str(directory)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip() == str(directory / "orchestrator/records/values.py")
    assert sorted(path.name for path in directory.iterdir()) == ["orchestrator", "triggers"]
    assert not (directory / "orchestrator/store").exists()


def test_it_is_made_once_and_compiled(tmp_path: Path) -> None:
    directory = sdk_directory(tmp_path)
    made = directory.stat().st_mtime_ns
    assert sdk_directory(tmp_path) == directory
    assert directory.stat().st_mtime_ns == made
    assert list((directory / "orchestrator/__pycache__").glob("errors.*.pyc"))
    assert [path.name for path in tmp_path.iterdir()] == [directory.name]


def test_other_files_make_another_directory(tmp_path: Path, monkeypatch) -> None:  # noqa: ANN001  pytest's
    before = sdk_directory(tmp_path)
    parts = agent.sdk_mount._PARTS
    monkeypatch.setattr(agent.sdk_mount, "_PARTS", parts[1:])
    after = sdk_directory(tmp_path)
    assert after != before
    assert Path(before).is_dir()
