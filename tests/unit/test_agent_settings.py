from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.preparation import arguments
from agent.settings import AgentSettings, slots_for
from orchestrator.cli.agent import agent
from orchestrator.errors import Forbidden, InvalidRequest
from orchestrator.records.source import Script


def settings(home: Path, *, name: str = "") -> AgentSettings:
    return AgentSettings(
        home=home, url="http://localhost", token="rt_secret", redis_url="redis://:secret@x", slots=(), name=name
    )


def test_services_have_a_lane_of_their_own_beside_the_slot() -> None:
    main, services = slots_for(["gpu", "default"], gpus=["0"])
    assert (main.queues, main.gpus) == (("gpu", "default"), ("0",))
    assert (services.queues, services.gpus) == (("services",), ())


def test_an_agent_for_services_alone_has_one_slot() -> None:
    (only,) = slots_for(["services"])
    assert only.queues == ("services",)


def test_two_homes_on_one_host_are_two_agents(tmp_path: Path) -> None:
    first, second = settings(tmp_path / "a").agent_name(), settings(tmp_path / "b").agent_name()
    assert first != second
    assert first == settings(tmp_path / "a").agent_name()
    assert settings(tmp_path, name="mine").agent_name() == "mine"


def test_an_agent_follows_no_links_into_buckets_unless_its_operator_names_them(tmp_path: Path) -> None:
    with pytest.raises(Forbidden, match="does not follow"):
        settings(tmp_path).links.trusts("s3://bucket/a")
    named = replace(settings(tmp_path), link_prefixes=("s3://bucket/",))
    assert named.links.trusts("s3://bucket/a")
    assert not named.links.trusts("https://files.example/a")


def test_the_command_takes_prefixes_of_links_from_its_options_and_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[AgentSettings] = []
    monkeypatch.setattr("agent.daemon.run_agent", started.append)
    monkeypatch.setattr("orchestrator.cli.agent.log_to_stderr", lambda: None)
    environ = {"RETRAIN_HOME": str(tmp_path), "RETRAIN_URL": "http://localhost:1", "RETRAIN_TOKEN": "t"}
    environ |= {"REDIS_URL": "redis://localhost:1", "RETRAIN_LINK_PREFIXES": "s3://one/,gs://two/"}
    run = CliRunner().invoke(agent, ["--link-prefix", "az://three/"], env=environ, catch_exceptions=False)
    assert run.exit_code == 0
    assert started[0].link_prefixes == ("s3://one/", "gs://two/", "az://three/")
    with pytest.raises(InvalidRequest, match="no beginning of links"):
        CliRunner().invoke(agent, ["--link-prefix", "s3://"], env=environ, catch_exceptions=False)
    assert len(started) == 1


def test_settings_show_no_secret() -> None:
    assert "secret" not in repr(settings(Path("/x")))


@pytest.mark.parametrize(
    ("entry_point", "expected"),
    [
        ("train.py", ("/source/train.py", "--lr", "$(id)")),
        ("-m package.train", ("-m", "package.train", "--lr", "$(id)")),
    ],
)
def test_a_script_is_started_with_its_arguments_as_they_are(entry_point: str, expected: tuple[str, ...]) -> None:
    script = Script(entry_point=entry_point, arguments=("--lr", "$(id)"))
    assert arguments(script, source=Path("/source")) == expected
