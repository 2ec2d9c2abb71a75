"""Projects."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api.answers import answer_list
from orchestrator.api.caller import Reader
from orchestrator.services.projects import list_projects
from orchestrator.wire import Page, ProjectSummary

router = APIRouter(prefix="/projects", tags=["projects"])


@router.get("", response_model=Page[ProjectSummary])
def find(caller: Reader) -> Response:
    """List the project paths in use."""
    return answer_list(caller.read(list_projects))
