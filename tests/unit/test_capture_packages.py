"""The list of what is installed, and the indexes it came from."""

from __future__ import annotations

import json
import os
import sys
import time
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.records.source import Packages
from orchestrator.sdk.capture.packages import capture_packages, package_indexes

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


def install(site: Path, name: str, version: str, **files: str) -> None:
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: not this one\n")
    for file, text in files.items():
        (info / file.replace("__", ".")).write_text(text)


def found(name: str) -> dict[str, Any]:
    (distribution,) = (each for each in capture_packages()["distributions"] if each["name"] == name)
    result: dict[str, Any] = distribution
    return result


def test_the_list_is_a_record_and_holds_everything_but_ourselves() -> None:
    packages = Packages.model_validate(capture_packages())
    names = {each.name for each in packages.distributions}
    assert {"pytest", "pydantic"} <= names
    assert "retrain-orchestrator" not in names
    assert packages.python == ".".join(map(str, sys.version_info[:3]))
    assert packages.implementation == sys.implementation.name
    for each in packages.distributions:
        assert metadata.version(each.name) == each.version


def test_what_was_imported_is_hinted_at() -> None:
    imported = capture_packages()["imported"]
    assert {"pytest", "pydantic", "pydantic_core"} <= set(imported)
    assert "retrain-orchestrator" not in imported


def test_local_versions_are_kept(site: Path) -> None:
    install(site, "Torch-Like", "2.1.0+cu118")
    assert found("Torch-Like")["version"] == "2.1.0+cu118"


def test_the_first_on_the_path_counts(site: Path) -> None:
    install(site, "PyTest", "0.0.1")
    names = [each["name"] for each in capture_packages()["distributions"] if each["name"].lower() == "pytest"]
    assert names == ["PyTest"]


def test_installs_from_repositories_name_their_commit(site: Path) -> None:
    origin = {
        "url": "https://me:secret@example.org/library.git",
        "vcs_info": {"vcs": "git", "commit_id": "1" * 40, "requested_revision": "main"},
        "subdirectory": "python",
    }
    install(site, "from-git", "1.0", direct_url__json=json.dumps(origin))
    assert found("from-git") == {
        "name": "from-git",
        "version": "1.0",
        "url": f"git+https://example.org/library.git@{'1' * 40}#subdirectory=python",
        "editable": False,
    }


def test_editable_installs_say_where_their_source_lies(site: Path, tmp_path: Path) -> None:
    origin = {"url": "file:///home/me/library", "dir_info": {"editable": True}}
    install(site, "editable", "1.0", direct_url__json=json.dumps(origin))
    assert found("editable") == {
        "name": "editable",
        "version": "1.0",
        "url": "file:///home/me/library",
        "editable": True,
    }
    source = tmp_path / "developed"
    (source / "developed.egg-info").mkdir(parents=True)
    (source / "developed.egg-info" / "PKG-INFO").write_text("Name: developed\nVersion: 2\n")
    sys.path.append(str(source))
    try:
        assert found("developed")["editable"]
        assert found("developed")["url"] == source.as_uri()
    finally:
        sys.path.remove(str(source))


def test_what_an_uninstall_left_behind_is_passed_over(site: Path) -> None:
    (site / "ghost-1.0.dist-info").mkdir()
    assert not [each for each in capture_packages()["distributions"] if each["name"] == "ghost"]


def test_index_urls_come_in_order_without_credentials(tmp_path: Path) -> None:
    configuration = tmp_path / "pip.conf"
    configuration.write_text(
        "[global]\nindex-url = https://file.example.org/simple\n"
        "extra-index-url =\n    https://me:pw@one.example.org/simple\n    https://two.example.org/simple?token=1\n"
    )
    environment = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": str(configuration)}
    assert package_indexes(environment) == {
        "index_urls": [
            "https://one.example.org/simple",
            "https://two.example.org/simple",
            "https://file.example.org/simple",
        ],
        "default_index": False,
    }
    stronger = environment | {
        "PIP_INDEX_URL": "https://variable.example.org/simple",
        "UV_INDEX": "named=https://me@uv.example.org/simple https://one.example.org/simple",
    }
    assert package_indexes(stronger)["index_urls"] == [
        "https://uv.example.org/simple",
        "https://one.example.org/simple",
        "https://two.example.org/simple",
        "https://variable.example.org/simple",
    ]
    strongest = stronger | {"UV_DEFAULT_INDEX": "https://default.example.org/simple"}
    assert package_indexes(strongest)["index_urls"][-1] == "https://default.example.org/simple"


def test_further_indexes_leave_the_default_one_in_place(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}
    further = environment | {"PIP_EXTRA_INDEX_URL": "https://further.example.org/simple"}
    assert package_indexes(further) == {"index_urls": ["https://further.example.org/simple"], "default_index": True}


def test_pip_configuration_can_be_switched_off(tmp_path: Path) -> None:
    (tmp_path / ".pip").mkdir()
    (tmp_path / ".pip" / "pip.conf").write_text("[global]\nindex-url = https://file.example.org/simple\n")
    assert "https://file.example.org/simple" in package_indexes({"HOME": str(tmp_path)})["index_urls"]
    assert package_indexes({"HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull})["index_urls"] == []


def test_a_hundred_distributions_take_a_moment(site: Path) -> None:
    for number in range(100):
        install(site, f"library-{number}", "1.0")
        (site / f"library_{number}-1.0.dist-info" / "METADATA").write_text(
            f"Name: library-{number}\nVersion: 1.0\n\n" + "long description\n" * 2000
        )
    took = []
    for _ in range(3):
        begun = time.perf_counter()
        assert len(capture_packages()["distributions"]) >= 100
        took.append(time.perf_counter() - begun)
    assert min(took) < 0.5  # an order of magnitude above what it takes on an idle machine
