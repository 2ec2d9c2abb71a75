"""Blobs that are named by other things than manifests: the columns that can do so are listed here.

A test walks through all tables and finds columns that are forgotten.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlalchemy import select, type_coerce

from orchestrator.records.manifest import raw
from orchestrator.store.sql.columns import TEXT
from orchestrator.store.sql.tables import artifacts, dataset_metadata, models, parameters, reports, tasks, triggers

if TYPE_CHECKING:
    from orchestrator.store.sql.unit import Unit

_DIGEST = re.compile(r"blake3:[0-9a-f]{64}")
_ROWS_AT_ONCE = 500

NAMING = (
    tasks.c.script,
    tasks.c.source,  # patch and bundle, of submodules, too
    tasks.c.packages,  # lock
    tasks.c.container,
    parameters.c.value,  # a script may take one as an argument
    triggers.c.action,  # and a trigger may set that
    artifacts.c.digest,
    models.c.files,
    models.c.metadata,  # whatever a script says of its model
    reports.c.data,  # of images
    dataset_metadata.c.digest,
)
"""Columns of text or JSON in which digests stand."""


_OF_VERSIONS = {dataset_metadata: dataset_metadata.c.version_id, reports: reports.c.owner}
"""Which version a row belongs to."""


def named_digests(unit: Unit, *, without: str | None = None) -> set[bytes]:
    """Return every digest that stands in one of these columns, but for the rows of a version."""
    found: set[str] = set()
    for column in NAMING:
        text = type_coerce(column, TEXT)  # JSON need not be read for this
        statement = select(text).where(text.like("%blake3:%")).execution_options(yield_per=_ROWS_AT_ONCE)
        if without is not None and (owner := _OF_VERSIONS.get(column.table)) is not None:
            statement = statement.where(owner != without)
        for value in unit.execute(statement).scalars():
            found.update(_DIGEST.findall(value))
    return {raw(name) for name in found}
