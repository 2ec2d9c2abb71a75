from __future__ import annotations

from pathlib import Path

import pytest

from agent.preparation import arguments
from agent.settings import AgentSettings, slots_for
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
