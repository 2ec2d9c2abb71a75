"""Dataset versions."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from orchestrator.api.answers import answer, answer_list, answer_page
from orchestrator.api.caller import Editor, Reader
from orchestrator.api.routes.queries import DEFAULT_LIMIT, After, Filter, Filters, Key, Limit
from orchestrator.records.dataset import DatasetState, DatasetVersion, ManifestEntry
from orchestrator.records.task import Report
from orchestrator.services.create_dataset import create_dataset
from orchestrator.services.dataset_entries import edit_entries
from orchestrator.services.finalize import finalize_dataset
from orchestrator.services.read_datasets import (
    get_dataset,
    list_dataset_reports,
    list_datasets,
    list_entries,
    newest_dataset,
)
from orchestrator.services.results import put_dataset_report
from orchestrator.services.tag import tag_dataset
from orchestrator.wire import CreateDataset, EditEntries, EditTags, Page, PutReport

router = APIRouter(prefix="/datasets", tags=["datasets"])

States = Annotated[list[DatasetState], Query()]


@router.post("", status_code=201, response_model=DatasetVersion)
def create(body: CreateDataset, caller: Editor) -> Response:
    """Make a draft that begins with its parents' files."""
    return caller.create(create_dataset, body=body)


@router.get("", response_model=Page[DatasetVersion])
def find(  # noqa: PLR0913  a filter is made of many optional parts
    *,
    caller: Reader,
    project: Filter = None,
    name: Filter = None,
    version: Filter = None,
    tag: Filters = [],  # noqa: B006  FastAPI copies it
    state: States = [],  # noqa: B006
    after: After = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """Find versions, newest first; `project` takes in those below it, and all of the tags must be there."""
    versions = caller.read(
        list_datasets,
        project=project,
        name=name,
        version=version,
        tags=tag,
        states=state,
        after=after,
        limit=limit + 1,
    )
    return answer_page(versions, limit=limit, key=lambda one: one.id)


@router.get("/newest", response_model=DatasetVersion)
def newest(  # noqa: PLR0913  a filter is made of many optional parts
    *,
    caller: Reader,
    project: Annotated[str, Query(max_length=255)],
    name: Annotated[str, Query(max_length=255)],
    version: Filter = None,
    tag: Filters = [],  # noqa: B006  FastAPI copies it
    state: States = [],  # noqa: B006
) -> Response:
    """Get the version with the largest number, in exactly this project; a final one unless states are named."""
    return answer(caller.read(newest_dataset, project=project, name=name, version=version, tags=tag, states=state))


@router.get("/{version_id}", response_model=DatasetVersion)
def show(version_id: Key, caller: Reader) -> Response:
    """Show a version."""
    return answer(caller.read(get_dataset, version_id=version_id))


@router.get("/{version_id}/entries", response_model=Page[ManifestEntry])
def entries(version_id: Key, caller: Reader, after: After = None, limit: Limit = DEFAULT_LIMIT) -> Response:
    """List a version's files, sorted by path."""
    found = caller.read(list_entries, version_id=version_id, after=after, limit=limit + 1)
    return answer_page(found, limit=limit, key=lambda entry: entry.path)


@router.post("/{version_id}/entries", response_model=DatasetVersion)
def edit(version_id: Key, body: EditEntries, caller: Editor) -> Response:
    """Change a draft's files: all that is asked for, or nothing."""
    return caller.post(edit_entries, version_id=version_id, body=body)


@router.post("/{version_id}/finalize", response_model=DatasetVersion)
def finalize(version_id: Key, caller: Editor) -> Response:
    """Close a draft for ever and make it its dataset's newest version."""
    return caller.post(finalize_dataset, version_id=version_id)


@router.post("/{version_id}/tags", response_model=DatasetVersion)
def tag(version_id: Key, body: EditTags, caller: Editor) -> Response:
    """Add and remove tags; one call is one event."""
    return caller.post(tag_dataset, version_id=version_id, body=body)


@router.get("/{version_id}/reports", response_model=Page[Report])
def reports(version_id: Key, caller: Reader) -> Response:
    """List a version's reports."""
    return answer_list(caller.read(list_dataset_reports, version_id=version_id))


@router.post("/{version_id}/reports", response_model=Report)
def send_report(version_id: Key, body: PutReport, caller: Editor) -> Response:
    """Keep a plot, a table or a text of a version."""
    return caller.post(put_dataset_report, version_id=version_id, body=body)
