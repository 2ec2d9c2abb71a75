from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.errors import InvalidRequest, NotFound
from orchestrator.records.gate import ColumnBounds, Gates
from orchestrator.records.trigger import TriggerSpec
from triggers.declaration import read_declaration, resolved

if TYPE_CHECKING:
    from triggers.declaration import Declaration

TASK, VERSION = "a" * 32, "b" * 32
NAMED = "triggers:\n- name: n"
CLONE = f"action: {{kind: clone, task: {TASK}}}"


def declared(folder: Path, text: str) -> Declaration:
    file = folder / "occupancy.yaml"
    file.write_text(text)
    return read_declaration(file)


def only(folder: Path, text: str) -> TriggerSpec:
    """Return the trigger of a file that has one, with ids for names."""
    found = resolved(declared(folder, text), find_task=lambda _name: TASK, find_dataset=lambda _name: VERSION)
    (spec,) = found
    return TriggerSpec.model_validate(spec)


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(InvalidRequest) as caught:
        declared(folder, text)
    return str(caught.value).replace(f"{folder}/", "")


def test_the_example_is_a_declaration() -> None:
    found = read_declaration(Path(__file__).parents[2] / "examples" / "triggers.yaml")
    specs = resolved(found, find_task=lambda _name: TASK, find_dataset=lambda _name: VERSION)
    kinds = [TriggerSpec.model_validate(spec).action.kind for spec in specs]
    assert (found.group, kinds) == ("occupancy", ["clone", "promote", "webhook", "clone", "message"])


def test_the_records_own_words_are_taken(tmp_path: Path) -> None:
    found = only(
        tmp_path,
        f"""
        triggers:
          - name: n
            condition: {{kind: dataset, project: occupancy, on_tags: [Production]}}
            action: {{kind: clone, task: {TASK}, parameters: {{Args/lr: "${{dataset.version}}"}}}}
            gates: {{min_rows: 10, columns: {{CO2: {{max_psi: 0.1}}}}}}
            debounce_seconds: 5
            max_active: 2
        """,
    )
    assert found.gates == Gates(min_rows=10, columns={"CO2": ColumnBounds(max_psi=0.1)})
    assert (found.debounce_seconds, found.max_active) == (5, 2)
    assert found.action.parameters == {"Args/lr": "${dataset.version}"}


def test_some_words_are_easier_to_write(tmp_path: Path) -> None:
    found = only(
        tmp_path,
        """
        triggers:
          - name: n
            condition: {kind: dataset, on_tags: Production}
            action:
              kind: clone
              task: occupancy/training
              tags: retrained
              parameters: {Args/lr: 0.1, Args/a: true, Args/at: 22:30, Args/d: 2026-01-01, Args/on: on, Args/x: [1, 2]}
            gates: {reference: occupancy/sensors@1.0.0}
            debounce: 10m
            debounce_max: 1h30m
            cooldown: 2 d
            limit_execution: 1w
        """,
    )
    assert found.condition.on_tags == ("Production",)
    assert (found.action.task, found.action.tags) == (TASK, ("retrained",))
    assert found.action.parameters == {
        "Args/lr": "0.1", "Args/a": "true", "Args/at": "22:30", "Args/d": "2026-01-01", "Args/on": "on",
        "Args/x": "[1, 2]",
    }  # fmt: skip
    assert found.gates == Gates(reference=VERSION)
    assert (found.debounce_seconds, found.debounce_max_seconds) == (600, 5400)
    assert (found.cooldown_seconds, found.limit_execution_seconds) == (172_800, 604_800)


def test_moments_without_a_zone_are_in_the_schedules(tmp_path: Path) -> None:
    condition = "condition: {kind: schedule, at: [2026-07-01 08:00, 2026-07-01T08:00:00Z], timezone: Europe/Berlin}"
    found = only(tmp_path, f"triggers:\n- {{name: n, {condition}, {CLONE}}}")
    assert [f"{moment:%H:%M%z}" for moment in found.condition.at] == ["06:00+0000", "08:00+0000"]
    every = only(tmp_path, f"triggers:\n- {{name: n, condition: {{kind: schedule, every: 15m}}, {CLONE}}}")
    assert every.condition.every_seconds == 900


def test_steps_of_a_chain_may_name_their_tasks(tmp_path: Path) -> None:
    asked = []

    def find(name: str) -> str:
        asked.append(name)
        return TASK

    text = """
    triggers:
      - name: n
        condition: {kind: dataset}
        action:
          kind: chain
          steps: [{step: prepare, task: a/b}, {step: train, task: a/c, parameters: {Args/n: 3}}]
    """
    (spec,) = resolved(declared(tmp_path, text), find_task=find, find_dataset=find)
    assert asked == ["a/b", "a/c"]
    assert [step.parameters for step in TriggerSpec.model_validate(spec).action.steps] == [{}, {"Args/n": "3"}]


def test_the_group_is_the_files_name_where_it_is_not_given(tmp_path: Path) -> None:
    trigger = f"- {{name: n, condition: {{kind: dataset}}, {CLONE}}}"
    assert declared(tmp_path, f"triggers:\n{trigger}").group == "occupancy"
    assert declared(tmp_path, f"group: night\ntriggers:\n{trigger}").group == "night"
    assert declared(tmp_path, "triggers: []").triggers == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("trigers: []", "occupancy.yaml:1: there is no 'trigers' here. Did you mean triggers?"),
        ("", "there is no list of triggers"),
        ("triggers: {}", "triggers is no list"),
        ("triggers:\n- nightly", "occupancy.yaml:2: a trigger has name"),
        (f"{NAMED}\n  {CLONE}", "occupancy.yaml:2: condition is missing"),
        ("triggers:\n- name: n\n  name: m", "occupancy.yaml:3: 'name' stands on line 2, too"),
        ("triggers: [", "occupancy.yaml:1 is no YAML"),
        ("triggers: &a [*a]", "holds itself"),
        ("triggers: !!python/object/apply:os.system [ls]", "is no YAML"),
        (
            f"{NAMED}\n  condition:\n    kind: dataset\n    on_tag: [A]\n  {CLONE}",
            "occupancy.yaml:5: there is no condition.on_tag. Did you mean on_tags",
        ),
        (
            f"{NAMED}\n  condition: {{kind: datset}}\n  {CLONE}",
            "occupancy.yaml:3: condition.kind cannot be 'datset'. Did you mean dataset?",
        ),
        (f"{NAMED}\n  condition: final\n  {CLONE}", "occupancy.yaml:3: condition has no parts"),
        (
            f"{NAMED}\n  condition: {{kind: dataset}}\n  {CLONE}\n  debounc: 10m",
            "occupancy.yaml:5: there is no debounc. Did you mean debounce",
        ),
        (
            f"{NAMED}\n  condition: {{kind: dataset}}\n  {CLONE}\n  cooldown: soon",
            "occupancy.yaml:5: cooldown is no length of time: 'soon'",
        ),
        (
            f"{NAMED}\n  condition: {{kind: dataset}}\n  {CLONE}\n  gates:\n    columns:\n      A: {{max_ps: 1}}",
            "occupancy.yaml:7: there is no gates.columns.A.max_ps. Did you mean max_psi",
        ),
        (
            f"{NAMED}\n  condition: {{kind: task}}\n  action: {{kind: chain, steps: []}}",
            "occupancy.yaml:4: action.steps: Tuple should have at least 1 item",
        ),
        (
            f"{NAMED}\n  condition: {{kind: dataset}}\n  {CLONE}\n- name: n\n  condition: {{kind: model}}\n  {CLONE}",
            "occupancy.yaml:5: there is a trigger 'n' above",
        ),
    ],
)
def test_an_error_names_the_line_and_what_may_be_meant(tmp_path: Path, wrong: str, said: str) -> None:
    assert said in refusal(tmp_path, wrong)


def test_several_errors_are_told_at_once(tmp_path: Path) -> None:
    text = "triggers:\n- name: n\n  condition: {kind: model, on: x}\n  action: {kind: webhook}\n  dry: true"
    said = refusal(tmp_path, text).splitlines()
    assert {line.split(": ")[0] for line in said} == {f"occupancy.yaml:{number}" for number in (3, 4, 5)}


def test_a_task_that_is_not_found_is_told_with_its_line(tmp_path: Path) -> None:
    found = declared(
        tmp_path, "triggers:\n- name: n\n  condition: {kind: dataset}\n  action:\n    kind: clone\n    task: a/b"
    )

    def find(name: str) -> str:
        raise NotFound(f"There is no task {name!r}.", hint="See: retrain task list.")

    with pytest.raises(NotFound, match=r"occupancy.yaml:6: There is no task 'a/b'"):
        resolved(found, find_task=find, find_dataset=find)


def test_what_reads_such_files_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert "pip install 'retrain-orchestrator[scheduler]'" in refusal(tmp_path, "triggers: []")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    for name in ("a.yaml", "missing.yaml"):
        with pytest.raises(InvalidRequest, match=name):
            read_declaration(tmp_path / name)
