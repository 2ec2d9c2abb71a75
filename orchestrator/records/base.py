"""What every record shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, StringConstraints

if TYPE_CHECKING:
    from collections.abc import Callable

Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
"""A UUIDv7 (RFC 9562) as 32 hexadecimal digits: sorted by time of making."""

Digest = Annotated[str, StringConstraints(pattern=r"^blake3:[0-9a-f]{64}$")]
"""The name of a blob: the BLAKE3 hash of its bytes."""


def _without_dots(text: str) -> str:
    if {".", ".."} & set(text.split("/")):
        raise ValueError("a name has no part '.' or '..'")
    return text


Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$"),
    AfterValidator(_without_dots),
]
"""What a person calls a thing: one line, not empty."""

ProjectPath = Annotated[
    str,
    StringConstraints(max_length=255, pattern=r"^[^\x00-\x1f\x7f/]+(/[^\x00-\x1f\x7f/]+)*$"),
    AfterValidator(_without_dots),
]
"""Where things belong: names joined by `/`, such as `pharmacy/forecast`."""

Tag = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f,]+$")]
"""One label; no comma, so that lists of them can be typed."""

Moment = AwareDatetime
"""A point in time, aware, in UTC."""


class Record(BaseModel):
    """An immutable value; a field that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    @classmethod
    def from_wire(cls, data: Any) -> Self:  # noqa: ANN401  JSON is any
        """Read what a server sent; fields of a later release are passed over."""
        return cls.model_validate(data, extra="ignore")

    def changed(self, **fields: Any) -> Self:  # noqa: ANN401  the fields are the record's own, checked by validation
        """Return a copy with these fields replaced, validated like a new one."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self).model_validate(values | fields)


def of_kind(kind: str) -> Callable[[Any], Any]:
    """Return what gives an object this `kind` where it names none, before it is read as one of several records."""

    def with_kind(data: Any) -> Any:  # noqa: ANN401  JSON is any
        return {"kind": kind} | data if isinstance(data, dict) else data

    return with_kind


def inside(project: str, root: str) -> bool:
    """Tell whether a project is `root` or lies below it; the root `""` holds every project."""
    return not root or project == root or project.startswith(root + "/")


__all__ = ["Digest", "Id", "Moment", "Name", "ProjectPath", "Record", "Tag", "inside", "of_kind"]
