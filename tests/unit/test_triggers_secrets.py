from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.errors import InvalidRequest, NotFound
from triggers.secrets import Secrets

if TYPE_CHECKING:
    from pathlib import Path


def write(home: Path, name: str, value: str, *, mode: int = 0o600) -> Path:
    path = home / "secrets" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(value)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("name", "variable"),
    [("deploy", "RETRAIN_SECRET_DEPLOY"), ("ops-team.eu", "RETRAIN_SECRET_OPS_TEAM_EU"), ("a b", "RETRAIN_SECRET_A_B")],
)
def test_a_secret_stands_in_the_environment(name: str, variable: str, tmp_path: Path) -> None:
    environ = {"RETRAIN_HOME": str(tmp_path), variable: " value\n"}
    assert Secrets(environ).get(name) == "value"


def test_a_secret_stands_in_a_file_that_nobody_else_can_read(tmp_path: Path) -> None:
    write(tmp_path, "deploy", "value\n")
    assert Secrets({"RETRAIN_HOME": str(tmp_path)}).get("deploy") == "value"


def test_the_environment_comes_first(tmp_path: Path) -> None:
    write(tmp_path, "deploy", "of the file")
    environ = {"RETRAIN_HOME": str(tmp_path), "RETRAIN_SECRET_DEPLOY": "of the environment"}
    assert Secrets(environ).get("deploy") == "of the environment"


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    secrets = Secrets({"RETRAIN_HOME": str(tmp_path)})
    write(tmp_path, "deploy", "old")
    assert secrets.get("deploy") == "old"
    write(tmp_path, "deploy", "new")
    assert secrets.get("deploy") == "new"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_file_that_others_can_read_or_write_is_refused(mode: int, tmp_path: Path) -> None:
    path = write(tmp_path, "deploy", "value", mode=mode)
    with pytest.raises(InvalidRequest, match=f"chmod 600 {path}") as caught:
        Secrets({"RETRAIN_HOME": str(tmp_path)}).get("deploy")
    assert "value" not in str(caught.value)


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "secrets" / "deploy").mkdir(parents=True, mode=0o700)
    with pytest.raises(InvalidRequest, match="Is a directory"):
        Secrets({"RETRAIN_HOME": str(tmp_path)}).get("deploy")


@pytest.mark.parametrize("set_to", [None, "", "  "])
def test_a_secret_that_is_not_set_says_the_line_that_sets_it(set_to: str | None, tmp_path: Path) -> None:
    environ = {"RETRAIN_HOME": str(tmp_path)} | ({} if set_to is None else {"RETRAIN_SECRET_DEPLOY": set_to})
    with pytest.raises(NotFound) as caught:
        Secrets(environ).get("deploy")
    assert "RETRAIN_SECRET_DEPLOY=" in str(caught.value)
    assert str(tmp_path / "secrets" / "deploy") in str(caught.value)
    assert "0600" in str(caught.value)


@pytest.mark.parametrize("name", ["../up.json", "/etc/hostname", ".hidden", "a\\b"])
def test_a_name_never_leads_out_of_the_folder_of_secrets(name: str, tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "up.json").write_text("not a secret of this kind")
    (tmp_path / "up.json").chmod(0o600)
    with pytest.raises(NotFound):
        Secrets({"RETRAIN_HOME": str(tmp_path)}).get(name)


def test_what_was_looked_up_is_hidden_in_texts(tmp_path: Path) -> None:
    environ = {"RETRAIN_HOME": str(tmp_path), "RETRAIN_SECRET_A": "tree", "RETRAIN_SECRET_B": "treehouse"}
    secrets = Secrets(environ)
    assert secrets.hide("a treehouse") == "a treehouse"
    secrets.get("a")
    secrets.get("b")
    secrets.keep_hidden("garden")
    assert secrets.hide("a treehouse and a tree in a garden") == "a *** and a *** in a ***"
