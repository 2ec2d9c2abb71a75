"""Records instead of JSON, for the command, agents and schedulers. Scripts never import it: pydantic is not theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from orchestrator.records.base import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.sdk.client import Client, Query

T = TypeVar("T", bound=Record)


def get_as(client: Client, model: type[T], path: str, **query: Query) -> T:
    """Ask for one record."""
    return model.from_wire(client.get(path, **query))


def pages_as(client: Client, model: type[T], path: str, **query: Query) -> Iterator[T]:
    """Ask for all records of a list, page by page."""
    return (model.from_wire(item) for item in client.pages(path, **query))


def post_as(client: Client, model: type[T], path: str, body: Record | None = None, *, repeatable: bool = False) -> T:
    """Send a body and read the record that answers it; see `Client.post`."""
    return model.from_wire(client.post(path, None if body is None else wire_form(body), repeatable=repeatable))


def put_as(client: Client, model: type[T], path: str, body: Record) -> T:
    """Send a body with PUT and read the record that answers it."""
    return model.from_wire(client.put(path, wire_form(body)))


def wire_form(body: Record) -> dict[str, object]:
    """Return a body as JSON values, without what was left at its default."""
    return body.model_dump(mode="json", exclude_unset=True)
