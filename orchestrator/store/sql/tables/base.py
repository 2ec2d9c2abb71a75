"""What the tables are made with."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ForeignKey, LargeBinary, MetaData, String, Table

from orchestrator.store.sql.columns import TEXT, WHOLE, JsonText, Utc

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    },
)

schema_version = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
"""Alembic's own table: one row, the revision that the database has."""


def text_column(name: str, *, null: bool = False) -> Column[str]:
    """Make a column of text."""
    return Column(name, TEXT, nullable=null)


def whole_column(name: str, *, null: bool = False) -> Column[int]:
    """Make a column of whole numbers."""
    return Column(name, WHOLE, nullable=null)


def moment_column(name: str, *, null: bool = False) -> Column[Any]:
    """Make a column of moments."""
    return Column(name, Utc, nullable=null)


def json_column(name: str, *, null: bool = False) -> Column[Any]:
    """Make a column of JSON."""
    return Column(name, JsonText, nullable=null)


def key_column(name: str, *, of: str | None = None) -> Column[str]:
    """Make a part of the primary key, which may refer to another table's: deleted there, it is deleted here."""
    owner = () if of is None else (ForeignKey(of, ondelete="CASCADE"),)
    return Column(name, TEXT, *owner, primary_key=True, nullable=False)


def digest_column() -> Column[bytes]:
    """Make the primary key of what is named by a digest: its 32 bytes."""
    return Column("digest", LargeBinary, primary_key=True, nullable=False)
