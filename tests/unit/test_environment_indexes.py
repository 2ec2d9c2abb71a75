from __future__ import annotations

from typing import TYPE_CHECKING

from agent.environment.indexes import DEFAULT, directories, effective, variables, without_credentials

if TYPE_CHECKING:
    from pathlib import Path

TEAM = "https://packages.example.org/team/simple"
OTHER = "https://packages.example.org/other/simple"
MIRROR = "https://mirror.example.org/simple"


def test_recorded_indexes_are_asked_in_their_order() -> None:
    assert effective([TEAM, OTHER], default_index=False, environ={}) == (TEAM, OTHER)
    assert variables((TEAM, OTHER)) == {"UV_DEFAULT_INDEX": OTHER, "UV_INDEX": TEAM}


def test_further_indexes_do_not_take_the_place_of_the_default() -> None:
    assert effective([TEAM], default_index=True, environ={}) == (TEAM, DEFAULT)
    assert variables((TEAM, DEFAULT)) == {"UV_INDEX": TEAM}


def test_without_any_index_uv_asks_its_own() -> None:
    assert effective([], default_index=True, environ={}) == (DEFAULT,)
    assert variables((DEFAULT,)) == {}


def test_a_nodes_own_index_stands_in_for_the_default_only() -> None:
    environ = {"UV_DEFAULT_INDEX": MIRROR}
    assert effective([TEAM], default_index=True, environ=environ) == (TEAM, MIRROR)
    assert effective([TEAM], default_index=False, environ=environ) == (TEAM,)


def test_a_nodes_credentials_are_used_for_the_recorded_url() -> None:
    with_credentials = "https://user:secret@packages.example.org/team/simple"
    environ = {"UV_INDEX": f"team={with_credentials} https://x.example/?a=b"}
    assert effective([TEAM], default_index=False, environ=environ) == (with_credentials,)


def test_a_folder_of_another_machine_is_passed_over(tmp_path: Path) -> None:
    here, elsewhere = tmp_path.as_uri(), (tmp_path / "absent").as_uri()
    assert effective([here, elsewhere], default_index=True, environ={}) == (here, DEFAULT)


def test_credentials_are_never_shown() -> None:
    assert without_credentials("https://user:p%40ss@host:8443/simple/?token=x#y") == "https://host:8443/simple/"


def test_an_index_in_a_folder_of_this_machine(tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    folder.mkdir()
    assert directories([folder.as_uri(), TEAM, (tmp_path / "absent").as_uri()]) == (folder,)
