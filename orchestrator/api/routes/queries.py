"""Parameters that routes share."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query

_INT64_MAX = 2**63 - 1

Key = Annotated[str, Path(min_length=1, max_length=255)]
"""An id, or a name where the route says so."""

Limit = Annotated[int, Query(ge=1, le=1000, description="Most items of a page.")]
After = Annotated[str | None, Query(max_length=4096, description="`next` of the page before.")]
Offset = Annotated[int, Query(ge=0, le=_INT64_MAX, description="In bytes.")]
Cursor = Annotated[int, Query(ge=0, le=_INT64_MAX, description="Id of an event.")]
Filter = Annotated[str | None, Query(max_length=255)]
Filters = Annotated[list[str], Query(max_length=100)]

DEFAULT_LIMIT = 100
