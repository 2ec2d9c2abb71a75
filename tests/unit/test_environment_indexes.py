from __future__ import annotations

from typing import TYPE_CHECKING

from agent.environment.indexes import directories, effective, variables, without_credentials

if TYPE_CHECKING:
    from pathlib import Path

PUBLIC = "https://index.example.org/simple"
TEAM = "https://packages.example.org/team/simple"


def test_recorded_indexes_are_asked_in_their_order() -> None:
    assert effective([TEAM, PUBLIC], environ={}) == (TEAM, PUBLIC)
    assert variables((TEAM, PUBLIC)) == {"UV_DEFAULT_INDEX": PUBLIC, "UV_INDEX": TEAM}


def test_without_any_index_uv_asks_its_own() -> None:
    assert effective([], environ={}) == ()
    assert variables(()) == {}


def test_a_nodes_own_index_stands_in_for_public_pypi_only() -> None:
    environ = {"UV_DEFAULT_INDEX": "https://mirror.example.org/simple"}
    assert effective([TEAM, PUBLIC + "/"], environ=environ) == (TEAM, "https://mirror.example.org/simple")
    assert effective([], environ=environ) == ("https://mirror.example.org/simple",)


def test_a_nodes_credentials_are_used_for_the_recorded_url() -> None:
    with_credentials = "https://user:secret@packages.example.org/team/simple"
    assert effective([TEAM], environ={"UV_INDEX": f"team={with_credentials} https://x.example/?a=b"}) == (
        with_credentials,
    )


def test_credentials_are_never_shown() -> None:
    assert without_credentials("https://user:p%40ss@host:8443/simple/?token=x#y") == "https://host:8443/simple/"


def test_an_index_in_a_folder_of_this_machine(tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    folder.mkdir()
    assert directories([folder.as_uri(), PUBLIC, (tmp_path / "absent").as_uri()]) == (folder,)
