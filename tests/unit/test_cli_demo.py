from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.cli.demo import tell_how_to_go_on
from orchestrator.cli.demo.repository import make_environment
from orchestrator.errors import EnvironmentFailed

if TYPE_CHECKING:
    from pathlib import Path


def test_an_environment_that_cannot_be_built_is_told_in_a_line_and_kept_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    log = tmp_path / "uv.log"
    with pytest.raises(EnvironmentFailed) as raised:
        make_environment(tmp_path / "environment", sdk_root=tmp_path / "sdk", log=log, packages=["scikit-learn"])
    assert "\n" not in raised.value.message
    assert "scikit-learn" in raised.value.message
    assert str(log) in str(raised.value.hint)
    assert "scikit-learn" in log.read_text()


def test_whoever_kept_the_state_of_a_demo_is_told_the_image_that_it_ran_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tell_how_to_go_on(tmp_path / "my home", image="an:image", task="f" * 32)
    text = capsys.readouterr().out
    assert "retrain up --docker an:image " in text
    assert f"RETRAIN_HOME='{tmp_path}/my home'" in text
    tell_how_to_go_on(None, image=None, task="f" * 32)
    assert "RETRAIN_HOME" not in capsys.readouterr().out
