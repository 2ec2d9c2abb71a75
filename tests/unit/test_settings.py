"""Settings, and how a client finds its server."""

from __future__ import annotations

import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from orchestrator.errors import InvalidRequest, ServerUnreachable
from orchestrator.settings import Server, Settings, find_server, read_credentials, write_credentials

if TYPE_CHECKING:
    from pathlib import Path


def test_everything_has_a_place_below_the_home_directory(tmp_path: Path) -> None:
    settings = Settings.from_environ({"RETRAIN_HOME": str(tmp_path)})
    assert settings.database_url == f"sqlite:///{tmp_path}/database.sqlite"
    assert settings.blobs_url == str(tmp_path / "blobs")
    assert settings.admin_token_file == tmp_path / "up.json"


def test_the_environment_sets_fields_and_the_caller_knows_better(tmp_path: Path) -> None:
    environ = {
        "RETRAIN_HOME": str(tmp_path),
        "RETRAIN_LEASE_SECONDS": "90",
        "RETRAIN_PORT": "1",
        "REDIS_URL": "redis://x",
    }
    settings = Settings.from_environ(environ, port=2, host=None)
    assert (settings.lease_seconds, settings.port, settings.host) == (90, 2, "127.0.0.1")
    assert settings.redis_url == "redis://x"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RETRAIN_LEASE_SECONDS", "soon"),
        ("RETRAIN_LEASE_SECONDS", "nan"),
        ("RETRAIN_SWEEP_SECONDS", "0"),
        ("RETRAIN_MAX_LOST_ATTEMPTS", "1.5"),
        ("RETRAIN_PORT", "70000"),
        ("RETRAIN_HEARTBEAT_SECONDS", "60"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_variable(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Settings.from_environ({"RETRAIN_HOME": str(tmp_path), name: value})
    assert name in str(refused.value)


def test_secrets_are_not_in_what_is_printed(tmp_path: Path) -> None:
    assert "hush" not in repr(Settings(home=tmp_path, redis_url="redis://:hush@host"))
    assert "hush" not in repr(Server(url="http://x", token="hush"))


def test_the_environment_comes_before_login_and_login_before_up(tmp_path: Path) -> None:
    home = {"RETRAIN_HOME": str(tmp_path)}
    write_credentials(tmp_path / "up.json", Server(url="http://up", token="u"))
    assert find_server(home) == Server(url="http://up", token="u")
    write_credentials(tmp_path / "credentials.json", Server(url="http://login", token="l"))
    assert find_server(home) == Server(url="http://login", token="l")
    named = home | {"RETRAIN_URL": "http://named", "RETRAIN_TOKEN": "n"}
    assert find_server(named) == Server(url="http://named", token="n")


def test_a_token_that_was_kept_is_used_for_its_own_server_only(tmp_path: Path) -> None:
    home = {"RETRAIN_HOME": str(tmp_path)}
    write_credentials(tmp_path / "credentials.json", Server(url="http://login", token="l"))
    assert find_server(home | {"RETRAIN_URL": "http://login/"}).token == "l"
    with pytest.raises(ServerUnreachable, match="retrain login http://other"):
        find_server(home | {"RETRAIN_URL": "http://other"})


def test_inside_an_attempt_no_token_is_needed(tmp_path: Path) -> None:
    environ = {"RETRAIN_HOME": str(tmp_path), "RETRAIN_URL": "unix:///run/socket"}
    assert find_server(environ) == Server(url="unix:///run/socket", token="")


def test_no_server_names_the_commands_that_help(tmp_path: Path) -> None:
    with pytest.raises(ServerUnreachable, match=r"retrain up.*retrain login URL"):
        find_server({"RETRAIN_HOME": str(tmp_path)})


def test_credentials_are_for_their_owner_alone_and_garbage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "home" / "credentials.json"
    write_credentials(path, Server(url="http://x", token="t"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]
    path.write_text("{}")
    with pytest.raises(InvalidRequest, match=r"credentials\.json"):
        read_credentials(path)


def test_importing_settings_costs_nothing_but_the_standard_library() -> None:
    code = "import sys, orchestrator.settings; print([m for m in ('pydantic', 'redis', 'fsspec') if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == "[]"


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({}, "http://127.0.0.1:8420"),
        ({"host": "::1", "port": 80}, "http://[::1]:80"),
        ({"public_url": "https://retrain.example.com/"}, "https://retrain.example.com"),
    ],
)
def test_addresses_of_the_server_begin_as_others_reach_it(
    fields: dict[str, str | int], url: str, tmp_path: Path
) -> None:
    assert Settings(home=tmp_path, **fields).base_url == url
