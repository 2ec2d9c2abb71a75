"""Whether the data of a report can be drawn."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pydantic import Field, TypeAdapter, ValidationError

from orchestrator.errors import InvalidRequest
from orchestrator.records.base import Digest, Record

if TYPE_CHECKING:
    from orchestrator.wire import PutReport

_EXPECTED = {
    "scalar": "a number",
    "text": "a string",
    "scatter2d": "a list of pairs of numbers",
    "table": '{"columns": [...], "rows": [[...]]} with a cell for every column in every row',
    "histogram": '{"labels": [...], "values": [...]} with a number for every label',
    "image": '{"digest": "blake3:…", "width": …, "height": …} of a PNG that was uploaded',
    "plotly": 'a figure as Plotly writes it: {"data": [...], "layout": {...}}',
}
_DEEPEST = 64


class _Image(Record):
    digest: Digest
    width: int = Field(ge=1, le=1 << 16)
    height: int = Field(ge=1, le=1 << 16)


_IMAGE = TypeAdapter(_Image)


def drawable(body: PutReport) -> Any:  # noqa: ANN401  JSON is any
    """Return the data of a report when they can be drawn; numbers that are none (NaN, infinities) become None.

    Raises:
        InvalidRequest: they cannot; the message says what was expected.
    """
    data = body.data
    match body.kind:
        case "scalar":
            fits = _is_number(data)
        case "text":
            fits = isinstance(data, str)
        case "scatter2d":
            fits = isinstance(data, list) and all(_is_pair(point) for point in data)
        case "table":
            fits = _is_table(data)
        case "histogram":
            fits = _is_histogram(data)
        case "image":
            fits = _is_image(data)
        case "plotly":
            fits = isinstance(data, dict) and isinstance(data.get("data"), list)
    if not fits:
        raise InvalidRequest(f"The data of a {body.kind} must be {_EXPECTED[body.kind]}.")
    return plain_json(data)


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _is_cell(value: object) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))


def _is_pair(point: object) -> bool:
    return isinstance(point, list) and len(point) == 2 and all(map(_is_number, point))  # noqa: PLR2004  x and y


def _is_table(data: object) -> bool:
    if not isinstance(data, dict) or set(data) != {"columns", "rows"}:
        return False
    columns, rows = data["columns"], data["rows"]
    if not isinstance(columns, list) or not all(isinstance(column, str) for column in columns):
        return False
    return isinstance(rows, list) and all(
        isinstance(row, list) and len(row) == len(columns) and all(map(_is_cell, row)) for row in rows
    )


def _is_histogram(data: object) -> bool:
    if not isinstance(data, dict) or set(data) != {"labels", "values"}:
        return False
    labels, values = data["labels"], data["values"]
    if not isinstance(labels, list) or not isinstance(values, list) or len(labels) != len(values):
        return False
    return all(map(_is_cell, labels)) and all(map(_is_number, values))


def _is_image(data: object) -> bool:
    try:
        _IMAGE.validate_python(data)
    except ValidationError:
        return False
    return True


def plain_json(value: Any, depth: int = 0) -> Any:  # noqa: ANN401  JSON is any
    """Return JSON that every database and browser can read.

    Raises:
        InvalidRequest: it is nested too deep, or a text cannot be encoded.
    """
    if depth > _DEEPEST:
        raise InvalidRequest(f"The data are nested more than {_DEEPEST} deep.")
    if isinstance(value, str):
        return _encodable(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [plain_json(each, depth + 1) for each in value]
    if isinstance(value, dict):
        return {_encodable(str(key)): plain_json(each, depth + 1) for key, each in value.items()}
    return value


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(
            f"The text cannot be written as UTF-8: {error}.", hint="Mend it before it is sent."
        ) from None
    return text
