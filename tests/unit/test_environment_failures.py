"""The texts are those that uv 0.13 printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.environment.failures import explain
from agent.environment.toolchain import Outcome
from orchestrator.errors import EnvironmentFailed, NoSpace, OrchestratorError, Unavailable

if TYPE_CHECKING:
    from pathlib import Path


def explained(text: str, disk: Path) -> OrchestratorError:
    outcome = Outcome(code=1, lines=tuple(text.splitlines()))
    return explain(outcome, indexes=("https://user:secret@packages.example.org/simple",), disks=(disk,))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (
            "  cause: Because there is no version of six==9.9.9 and you require six==9.9.9, we can conclude that",
            "six",
        ),
        (
            "  cause: Because zope.nothing was not found in the package registry and you require zope.nothing==1, we",
            "zope.nothing",
        ),
        ("  cause: Because numpy==1.19.0 has no usable wheels and you require numpy==1.19.0, we can", "numpy"),
        (
            "error: Failed to download `scikit-learn==1.5.2`\n  cause: Hash mismatch for `scikit-learn==1.5.2`",
            "scikit-learn",
        ),
        ("error: Failed to build `pycairo==1.20.0`\n  cause: The build backend returned an error", "pycairo"),
        (
            (
                "  cause: Because the current Python version (3.11.7) does not satisfy Python>=3.12, we can conclude\n"
                " that thing==1 cannot be used. And because you require thing==1, we can"
            ),
            "thing",
        ),
    ],
)
def test_the_package_is_named(text: str, name: str, tmp_path: Path) -> None:
    error = explained(text, tmp_path)
    assert isinstance(error, EnvironmentFailed)
    assert error.message.startswith(f"The package {name} cannot be installed from https://packages.example.org/simple")
    assert text.splitlines()[-1].strip() in error.message


@pytest.mark.parametrize(
    "text",
    [
        "error: Failed to fetch: http://127.0.0.1:1/simple/six/\n  cause: tcp connect error",
        "error: Failed to fetch: http://u:p@host/simple/six/\n  cause: dns error",
        "error: Failed to fetch: http://h/simple/six/\n  cause: HTTP status server error (503 Service Unavailable)",
    ],
)
def test_an_index_that_is_away_is_infrastructure_and_named(text: str, tmp_path: Path) -> None:
    error = explained(text, tmp_path)
    assert isinstance(error, Unavailable)
    assert "/simple/six/" in error.message
    assert "infrastructure" in error.message
    assert text.splitlines()[-1].split("cause: ")[1] in error.message
    assert "u:p" not in error.message


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    error = explained(
        "error: Failed to install: scipy\n  cause: failed to copy file: No space left on device (os error 28)", tmp_path
    )
    assert isinstance(error, NoSpace)
    assert "MiB free" in error.message


def test_credentials_of_an_index_are_never_told(tmp_path: Path) -> None:
    assert "secret" not in str(explained("error: something else", tmp_path))
