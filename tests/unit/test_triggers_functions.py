from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from orchestrator.errors import InvalidRequest, NotFound
from orchestrator.records.event import EventType
from triggers.events import EventBatch
from triggers.functions import MOST_CHARACTERS, FunctionFailed, Functions, result_of
from triggers.testing import make_event

if TYPE_CHECKING:
    from collections.abc import Callable

OLDER, NEWER, TASK, MODEL = "1" * 32, "2" * 32, "3" * 32, "4" * 32
BATCH = EventBatch(
    trigger="nightly",
    firing_id="f" * 32,
    events=(
        make_event(1, subject=OLDER),
        make_event(2, subject=NEWER),
        make_event(3, type=EventType.TASK_COMPLETED, subject=TASK),
        make_event(4, type=EventType.MODEL_PROMOTED, subject=MODEL),
    ),
)


def call(function: Callable[..., object], batch: EventBatch = BATCH) -> object:
    return Functions({"it": function}).call("it", batch)


def test_a_batch_is_its_events_and_knows_the_newest_of_each_kind() -> None:
    assert [event.id for event in BATCH] == [1, 2, 3, 4]
    assert len(BATCH) == 4
    assert (BATCH.dataset_id, BATCH.task_id, BATCH.model_id) == (NEWER, TASK, MODEL)
    occurrence = EventBatch(trigger="t", firing_id="f" * 32, occurrence_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert (len(occurrence), occurrence.dataset_id, occurrence.task_id, occurrence.model_id) == (0, None, None, None)


def test_a_function_of_one_parameter_gets_the_events() -> None:
    assert call(lambda events: events) is BATCH
    assert call(lambda x: x) is BATCH


def test_a_function_that_names_an_id_gets_that_id_as_with_clearml() -> None:
    def trigger_dataset_func(dataset_id: str) -> str:
        return dataset_id

    assert call(trigger_dataset_func) == NEWER
    assert call(lambda task_id: task_id) == TASK
    assert call(lambda model_id: model_id) == MODEL
    assert call(lambda model_id: model_id, EventBatch(trigger="t", firing_id="f" * 32)) is None


def test_a_function_without_parameters_gets_nothing() -> None:
    assert call(lambda: "called") == "called"


def test_a_function_may_have_ids_events_and_defaults_in_any_order() -> None:
    def mixed(dataset_id: str, events: EventBatch, limit: int = 3, *, task_id: str | None = None) -> object:
        return dataset_id, events, limit, task_id

    assert call(mixed) == (NEWER, BATCH, 3, TASK)
    assert call(lambda verbose=False, dataset_id=None: (verbose, dataset_id)) == (False, NEWER)


def test_methods_callable_objects_and_coroutine_functions_are_functions() -> None:
    class Handler:
        def handle(self, events: EventBatch) -> int:
            return len(events)

        def __call__(self, dataset_id: str) -> str:
            return dataset_id

    async def later(events: EventBatch) -> int:
        await asyncio.sleep(0)
        return len(events)

    assert call(Handler().handle) == 4
    assert call(Handler()) == NEWER
    assert call(later) == 4
    assert call(len) == 4
    assert call(lambda *arguments: arguments) == (BATCH,)


@pytest.mark.parametrize(
    "function", [lambda one, other: (one, other), lambda events, *, queue: (events, queue), "no function"]
)
def test_a_function_that_nobody_can_call_is_refused_when_it_is_registered(function: Callable[..., object]) -> None:
    with pytest.raises(InvalidRequest, match="'it'"):
        Functions({"it": function})


def test_names_are_told_in_order() -> None:
    assert Functions({"b": len, "a": len}).names == ("a", "b")
    assert Functions().names == ()


def test_a_function_that_is_not_here_says_so() -> None:
    with pytest.raises(NotFound, match="'other'"):
        Functions().call("other", BATCH)


def test_what_a_function_raises_is_told_by_the_last_line_of_its_traceback() -> None:
    def broken() -> None:
        raise KeyError("temperature")

    with pytest.raises(FunctionFailed, match=r"^KeyError: 'temperature' \(line \d+ of .*test_triggers_functions.py\)$"):
        call(broken)


def test_a_function_that_ends_the_process_fails_alone() -> None:
    def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(FunctionFailed, match="SystemExit: 3"):
        call(leave)


def test_a_function_that_gets_too_little_fails_with_what_python_says() -> None:
    with pytest.raises(FunctionFailed, match="TypeError"):
        call(lambda *, events: events["no key"])


@pytest.mark.parametrize("value", [0, "text", [1, {"a": None}], {"rmse": 0.5}, True])
def test_json_that_is_returned_is_kept(value: object) -> None:
    assert result_of(value) == {"returned": value}


def test_nothing_that_is_returned_is_nothing() -> None:
    assert result_of(None) is None


@pytest.mark.parametrize("value", [{1, 2}, math.nan, EventBatch, "a\0b", "\ud800"])
def test_anything_else_is_kept_as_a_text_that_every_database_takes(value: object) -> None:
    result = result_of(value)
    assert result is not None
    text = result["returned"]
    assert isinstance(text, str)
    assert "\0" not in text
    text.encode()


def test_what_is_long_is_cut() -> None:
    result = result_of(["x" * 100_000])
    assert result is not None
    assert len(result["returned"]) == MOST_CHARACTERS
    assert result["returned"].endswith("…")


def test_what_holds_itself_is_no_json() -> None:
    value: list[object] = []
    value.append(value)
    assert result_of(value) == {"returned": "[[...]]"}
