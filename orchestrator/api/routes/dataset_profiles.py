"""Statistics and previews of dataset versions, and how they differ."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from orchestrator.api.answers import answer
from orchestrator.api.caller import Reader
from orchestrator.api.routes.queries import Key
from orchestrator.records.drift import ProfileComparison
from orchestrator.records.profile import DatasetProfile
from orchestrator.services.profiles import compare_versions, get_profile

router = APIRouter(prefix="/datasets", tags=["datasets"])


@router.get("/{version_id}/profile", response_model=DatasetProfile)
def profile(version_id: Key, caller: Reader) -> Response:
    """Show what is known of a version's files; it is made in the background once a version is final."""
    return answer(caller.read(get_profile, version_id=version_id))


@router.get("/{version_id}/profile/compare", response_model=ProfileComparison)
def compare(version_id: Key, caller: Reader, against: Annotated[str | None, Query(max_length=255)] = None) -> Response:
    """Compare a version's profile with another's; with its first parent's where none is named."""
    return answer(caller.read(compare_versions, version_id=version_id, against=against))
