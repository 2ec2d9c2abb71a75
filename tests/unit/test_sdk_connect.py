from __future__ import annotations

import argparse
import dataclasses
import enum
import types
import uuid
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from orchestrator.sdk.connect import fit, left_out, read_parameters, section_of, write_parameters


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


@dataclasses.dataclass(frozen=True)
class Optimiser:
    rate: float = 0.1
    path: Path | None = None


@dataclasses.dataclass
class Settings:
    epochs: int = 3
    betas: tuple[float, float] = (0.9, 0.99)
    colour: Colour = Colour.RED
    optimiser: Optimiser = dataclasses.field(default_factory=Optimiser)
    hook: Any = print


class Model(BaseModel):
    model_config = ConfigDict(frozen=True)
    low: int = 0
    high: int = Field(default=1, alias="top")
    where: Path = Path("data")

    @model_validator(mode="after")
    def _in_order(self) -> Model:
        if self.low >= self.high:
            raise ValueError("low must be below high")
        return self


def test_a_modules_public_plain_names_are_read_and_set() -> None:
    module = types.ModuleType("config")
    vars(module).update(RATE=0.1, NAME="a", DEEP={"layers": [1, 2]}, _hidden=1, path=Path, run=print, os=types)
    assert read_parameters(module) == {
        "RATE": ("float", "0.1"),
        "NAME": ("string", "a"),
        "DEEP/layers": ("json", "[1, 2]"),
    }
    write_parameters(module, {"RATE": ("float", "0.5"), "DEEP/layers": ("json", "[3]"), "absent": ("int", "1")})
    assert vars(module)["RATE"] == 0.5
    assert vars(module)["DEEP"] == {"layers": [3]}
    assert not hasattr(module, "absent")


def test_a_dict_is_updated_in_place_and_deeply() -> None:
    config: dict[Any, Any] = {"model": {"depth": 3, 7: "seven"}, "rate": 1.0, "none": None}
    model = config["model"]
    assert read_parameters(config) == {
        "model/depth": ("int", "3"),
        "model/7": ("string", "seven"),
        "rate": ("float", "1.0"),
        "none": ("none", ""),
    }
    write_parameters(config, {"model/7": ("string", "eight"), "rate": ("int", "2"), "none": ("string", "x")})
    assert config["model"] is model
    assert model == {"depth": 3, 7: "eight"}
    assert config["rate"] == 2.0
    assert type(config["rate"]) is float
    assert config["none"] == "x"


def test_a_dataclass_gets_values_in_the_types_of_its_fields() -> None:
    settings = Settings()
    assert read_parameters(settings)["optimiser/path"] == ("none", "")
    write_parameters(
        settings,
        {
            "epochs": ("int", "9"),
            "betas": ("json", "[0.5, 0.6]"),
            "colour": ("string", "BLUE"),
            "optimiser/rate": ("int", "1"),
            "optimiser/path": ("string", "/x"),
        },
    )
    assert settings == Settings(epochs=9, betas=(0.5, 0.6), colour=Colour.BLUE, optimiser=Optimiser(1.0, Path("/x")))
    assert type(settings.betas) is tuple


def test_a_pydantic_model_is_validated_as_a_whole_even_when_frozen() -> None:
    model = Model()
    write_parameters(model, {"low": ("int", "5"), "high": ("int", "6"), "where": ("string", "/elsewhere")})
    assert (model.low, model.high, model.where) == (5, 6, Path("/elsewhere"))
    with pytest.raises(ValidationError, match="low must be below high"):
        write_parameters(model, {"low": ("int", "7")})


def test_a_class_and_a_namespace_are_bags_of_attributes() -> None:
    class Config:
        rate = 1
        name = "a"

    write_parameters(Config, {"rate": ("int", "2")})
    assert Config.rate == 2
    parsed = argparse.Namespace(rate=1)
    assert section_of(parsed) == "Args"
    assert section_of(Config) == "General"
    write_parameters(parsed, {"rate": ("int", "3")})
    assert parsed.rate == 3


def test_a_nested_pydantic_model_in_a_dict_is_gone_through() -> None:
    config = {"model": Model()}
    write_parameters(config, {"model/low": ("int", "-4")})
    assert config["model"].low == -4


@pytest.mark.parametrize("thing", [3, "text", [1], None, print, Path("x")])
def test_what_has_no_named_values_is_refused(thing: object) -> None:
    with pytest.raises(TypeError, match="no named values"):
        read_parameters(thing)


@pytest.mark.parametrize("config", [{"": 1}, {"a\nb": 1}, {"a/b": 1, "a": {"b": 2}}])
def test_a_key_that_cannot_be_a_name_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a parameter"):
        read_parameters(config)


def test_a_text_that_is_not_of_its_type_is_refused() -> None:
    with pytest.raises(ValueError, match="'many'"):
        write_parameters({"a": 1}, {"a": ("int", "many")})


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text("abc_é", min_size=1), plain, max_size=5))
def test_what_was_read_is_written_back_exactly(config: dict[str, Any]) -> None:
    stored = read_parameters(config)
    other: dict[str, Any] = dict.fromkeys(config)
    write_parameters(other, stored)
    assert other == config


@pytest.mark.parametrize(
    ("value", "like", "declared", "expected"),
    [
        (1, 0.5, None, 1.0),
        (1.5, 1, None, 1.5),
        (True, False, None, True),
        ("a", Path("b"), None, Path("a")),
        ([1, 2], (0,), None, (1, 2)),
        ([1, 2], {0}, None, {1, 2}),
        ("b", Colour.RED, None, Colour.BLUE),
        (2, None, float | None, 2.0),
        ("x", None, "unresolved", "x"),
        (None, 1, None, None),
        ("2024-05-01", None, date | None, date(2024, 5, 1)),
        ("2024-05-01 10:00:00+00:00", datetime(2020, 1, 1, tzinfo=UTC), date, datetime(2024, 5, 1, 10, tzinfo=UTC)),
        ("10:30:00", time(1), None, time(10, 30)),
        ("0.10", Decimal(1), None, Decimal("0.10")),
        (["a", "b"], [Path("c")], None, [Path("a"), Path("b")]),
        (["2024-05-01"], (date(2020, 1, 1),), None, (date(2024, 5, 1),)),
    ],
)
def test_a_value_takes_the_type_of_the_one_it_replaces(
    value: object, like: object, declared: object, expected: object
) -> None:
    fitted = fit(value, like, declared=declared)
    assert fitted == expected
    assert type(fitted) is type(expected)


@dataclasses.dataclass
class Period:
    first: date = date(2024, 1, 31)
    made: datetime = datetime(2024, 1, 31, 8, 30, 0, 5, tzinfo=UTC)
    price: Decimal = Decimal("1.10")
    run: uuid.UUID = dataclasses.field(default_factory=lambda: uuid.UUID(int=7))
    days: list[date] = dataclasses.field(default_factory=lambda: [date(2024, 2, 1)])
    device: Any = None


def test_dates_decimals_and_their_like_are_recorded_as_text_and_come_back_as_they_are() -> None:
    stored = read_parameters(Period())
    assert stored["first"] == ("string", "2024-01-31")
    assert stored["price"] == ("string", "1.10")
    earlier = Period(
        first=date(2000, 1, 1),
        made=datetime(2000, 1, 1, tzinfo=UTC),
        price=Decimal(0),
        run=uuid.UUID(int=1),
        days=[date(2000, 1, 1)],
    )
    write_parameters(earlier, stored)
    assert earlier == Period()


@pytest.mark.parametrize(("name", "text"), [("first", "tomorrow"), ("price", "much")])
def test_a_text_that_is_no_date_or_number_is_refused(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}' is no (date|Decimal)"):
        write_parameters(Period(), {name: ("string", text)})


def test_what_cannot_be_recorded_is_named() -> None:
    period = Period(device=object())
    assert left_out(period) == {"device": "object"}
    assert left_out({"deep": {"generator": iter(())}, "n": 1, "hook": print}) == {"deep/generator": "tuple_iterator"}
    assert left_out(types.ModuleType("config")) == {}
