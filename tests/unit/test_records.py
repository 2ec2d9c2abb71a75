from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orchestrator.errors import BY_CODE, Forbidden, IllegalTransition, InvalidRequest, OrchestratorError, from_wire
from orchestrator.records.base import inside
from orchestrator.records.dataset import SemanticVersion
from orchestrator.records.firing import FIRING_MOVES, Firing, FiringStatus, move_firing
from orchestrator.records.principal import Permission, Principal, Role
from orchestrator.wire import CreateTask

NOW = datetime(2015, 2, 2, tzinfo=UTC)
ID = "0" * 32
numbers = st.integers(min_value=0, max_value=10**9)


@given(numbers, numbers, numbers)
def test_a_version_reads_back_and_its_next_is_larger(major: int, minor: int, patch: int) -> None:
    version = SemanticVersion(major=major, minor=minor, patch=patch)
    assert SemanticVersion.parse(str(version)) == version
    assert version < version.next()


@pytest.mark.parametrize("text", ["1", "1.0", "v1.0.0", "1.0.0-rc1", "01.0.0", "1.0.0\n", ""])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="is no version"):
        SemanticVersion.parse(text)


def test_ten_comes_after_nine() -> None:
    assert SemanticVersion.parse("1.9.0") < SemanticVersion.parse("1.10.0")


def principal(role: Role, *, project: str = "") -> Principal:
    return Principal(id=ID, name="somebody", role=role, project=project, created_at=NOW)


def test_a_grant_holds_below_its_project_and_nowhere_else() -> None:
    editor = principal(Role.EDITOR, project="pharmacy")
    assert editor.may(Permission.EDIT, "pharmacy/forecast")
    assert editor.may(Permission.EDIT, "pharmacy")
    assert not editor.may(Permission.EDIT, "pharmacy2")
    with pytest.raises(Forbidden, match=r"make or change tasks.* in project 'grocery'\..*NAME --role editor"):
        editor.require(Permission.EDIT, "grocery")


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (Role.VIEWER, {Permission.READ}),
        (Role.AGENT, {Permission.CLAIM}),
        (Role.SCHEDULER, {Permission.READ, Permission.FIRE}),
        (Role.ATTEMPT, set()),
    ],
)
def test_a_role_may_no_more_than_its_work_needs(role: Role, allowed: set[Permission]) -> None:
    assert {permission for permission in Permission if principal(role).may(permission)} == allowed


def test_the_root_holds_every_project() -> None:
    assert inside("a/b", "")
    assert not inside("ab", "a")


def test_a_record_refuses_fields_it_does_not_know_but_reads_those_of_a_later_server() -> None:
    fields = {"id": ID, "name": "x", "role": "viewer", "created_at": NOW, "shoe_size": 43}
    with pytest.raises(ValidationError):
        Principal.model_validate(fields)
    assert Principal.from_wire(fields).name == "x"


@given(st.sampled_from(FiringStatus), st.sampled_from(FiringStatus))
def test_a_firing_moves_as_its_table_says(before: FiringStatus, after: FiringStatus) -> None:
    firing = Firing(
        id=ID, trigger_id=ID, revision=1, event_key="1", events=(1,), status=before, created_at=NOW, changed_at=NOW
    )
    if after in FIRING_MOVES[before]:
        assert move_firing(firing, after).status is after
    else:
        with pytest.raises(IllegalTransition):
            move_firing(firing, after)


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_an_error_arrives_as_the_class_that_was_raised(code: str) -> None:
    error = from_wire(code, "what happened", hint="what to do")
    assert type(error) is BY_CODE[code]
    assert str(error) == "what happened. what to do"


def test_the_default_message_of_an_error_is_its_docstring() -> None:
    assert str(Forbidden()) == "The token does not allow this."


def test_a_code_of_a_later_release_is_still_an_error_of_ours() -> None:
    assert type(from_wire("quantum_decoherence", "no")) is OrchestratorError


@pytest.mark.parametrize("project", ["..", "a/../b", "a/.", "./a"])
def test_a_project_path_has_no_dots(project: str) -> None:
    with pytest.raises(ValidationError, match="no part"):
        CreateTask(project=project, name="training")
    with pytest.raises(ValidationError, match="no part"):
        CreateTask(project="occupancy", name=project)


def test_a_name_may_hold_dots_and_slashes() -> None:
    assert CreateTask(project="v1.0/..a", name="run 1.0/b..").name == "run 1.0/b.."
