"""Tags, one a row, so that both databases can filter by them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, delete, select

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Table

    from orchestrator.store.sql.unit import Unit


def tagged(owner: ColumnElement[str], table: Table, tag: str) -> ColumnElement[bool]:
    """Match owners that have the tag."""
    return owner.in_(select(table.c.owner).where(table.c.tag == tag))


def replace_tags(unit: Unit, table: Table, *, owner: str, tags: Sequence[str]) -> None:
    """Make these an owner's tags."""
    unit.execute(delete(table).where(table.c.owner == owner))
    unit.add(table, ({"owner": owner, "tag": tag} for tag in sorted(set(tags))))
