from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.environment.requirements import fully_hashed, locked_names, normalised, requirements_of
from orchestrator.errors import EnvironmentFailed
from orchestrator.records.source import Distribution, Packages

LOCK = b"""\
# made by hand
idna==3.7 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
six==1.16.0 --hash=sha256:cc  # via idna
"""


def packages(*distributions: Distribution, imported: tuple[str, ...] = ()) -> Packages:
    return Packages(python="3.11.7", distributions=distributions, imported=imported)


def test_what_came_from_an_index_is_pinned_and_sorted() -> None:
    found = requirements_of(
        packages(Distribution(name="Six", version="1.16.0"), Distribution(name="idna", version="3.7+local.1"))
    )
    assert found.lines == ("idna==3.7+local.1", "six==1.16.0")
    assert found.text == "idna==3.7+local.1\nsix==1.16.0\n"
    assert found.notes == ()


def test_names_are_compared_as_indexes_do() -> None:
    found = requirements_of(
        packages(
            Distribution(name="Typing_Extensions", version="4.1"), Distribution(name="typing.extensions", version="4.1")
        )
    )
    assert found.lines == ("typing-extensions==4.1",)


def test_a_version_control_url_is_kept() -> None:
    url = "git+https://example.org/team/tool.git@0123456789abcdef0123456789abcdef01234567"
    found = requirements_of(packages(Distribution(name="tool", version="1.0", url=url)))
    assert found.lines == (f"tool @ {url}",)


@pytest.mark.parametrize("editable", [True, False])
def test_local_installs_are_left_out_with_a_note(editable: bool) -> None:
    found = requirements_of(
        packages(Distribution(name="mine", version="0.1", url="file:///home/me/mine", editable=editable))
    )
    assert found.lines == ()
    assert "mine 0.1" in found.notes[0]


def test_installers_are_left_out_unless_the_script_imports_them() -> None:
    pip = Distribution(name="pip", version="23.2.1")
    setuptools = Distribution(name="setuptools", version="65.5.0")
    assert requirements_of(packages(pip, setuptools)).lines == ("setuptools==65.5.0",)
    assert requirements_of(packages(pip, imported=("pip",))).lines == ("pip==23.2.1",)


@pytest.mark.parametrize(
    "distribution",
    [
        Distribution(name="--extra-index-url http://evil.example", version="1"),
        Distribution(name="six\n-r /etc/passwd", version="1"),
        Distribution(name="six", version="1.0 --no-binary"),
        Distribution(name="six", version="1\nidna==2"),
        Distribution(name="six", version=""),
        Distribution(name="six", version="1", url="https://example.org/a b"),
        Distribution(name="six", version="1", url="-e ."),
    ],
)
def test_what_is_no_requirement_is_refused_by_name(distribution: Distribution) -> None:
    with pytest.raises(EnvironmentFailed, match="cannot be written as a requirement"):
        requirements_of(packages(distribution))


@given(name=st.text(), version=st.text(), url=st.none() | st.text())
def test_no_captured_text_ever_becomes_an_option_or_a_second_line(name: str, version: str, url: str | None) -> None:
    try:
        found = requirements_of(packages(Distribution(name=name, version=version, url=url)))
    except EnvironmentFailed:
        return
    assert len(found.text.splitlines()) == len(found.lines)
    assert not any(line.startswith("-") for line in found.lines)


def test_locks_that_say_the_same_read_alike() -> None:
    other = b"six==1.16.0 \\\r\n  --hash=sha256:cc\n\nidna==3.7 --hash=sha256:aa --hash=sha256:bb\n"
    assert normalised(LOCK) == normalised(other)
    assert normalised(LOCK) != normalised(LOCK.replace(b"cc", b"cd"))


def test_a_fragment_of_a_url_is_no_comment() -> None:
    assert "#egg" in normalised(b"tool @ git+https://example.org/tool@abc#egg=tool\n")


def test_the_names_in_a_lock() -> None:
    assert locked_names(LOCK + b"tool @ git+https://example.org/tool@abc\n") == ("idna", "six", "tool")


def test_a_lock_with_a_commit_has_no_hash_for_it() -> None:
    assert fully_hashed(LOCK)
    assert not fully_hashed(LOCK + b"tool @ git+https://example.org/tool@abc\n")
