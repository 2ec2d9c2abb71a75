"""Dataset versions: making, finding, finalizing and deleting them, and what is written about them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from orchestrator.api.answers import answer, answer_list, answer_page
from orchestrator.api.caller import Editor, Reader
from orchestrator.api.routes.queries import DEFAULT_LIMIT, After, Filter, Filters, Key, Limit
from orchestrator.records.base import Name
from orchestrator.records.dataset import DatasetState, DatasetVersion, Metadata
from orchestrator.records.task import Report
from orchestrator.services.create_dataset import create_dataset
from orchestrator.services.dataset_metadata import get_metadata, list_metadata, put_metadata
from orchestrator.services.delete_dataset import delete_dataset, freed_by_deleting
from orchestrator.services.edit_dataset import edit_dataset
from orchestrator.services.finalize import finalize_dataset, finalize_in_steps, prepare_finalize
from orchestrator.services.lineage import trace_lineage
from orchestrator.services.publish_dataset import publish_dataset
from orchestrator.services.read_datasets import (
    get_dataset,
    list_dataset_reports,
    list_datasets,
    newest_dataset,
)
from orchestrator.services.rename_dataset import rename_dataset
from orchestrator.services.results import put_dataset_report
from orchestrator.services.tag import tag_dataset
from orchestrator.wire import (
    CreateDataset,
    EditDataset,
    EditTags,
    Finalize,
    Freed,
    Lineage,
    Page,
    PutMetadata,
    PutReport,
    Renamed,
    RenameDataset,
)

router = APIRouter(prefix="/datasets", tags=["datasets"])

States = Annotated[list[DatasetState], Query()]
MetadataName = Annotated[Name, Path()]
_ARCHIVED = {"false": False, "true": True, "all": None}


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
    name_part: Filter = None,
    version: Filter = None,
    version_from: Filter = None,
    version_before: Filter = None,
    tag: Filters = [],  # noqa: B006  FastAPI copies it
    any_tag: Filters = [],  # noqa: B006
    no_tag: Filters = [],  # noqa: B006
    state: States = [],  # noqa: B006
    archived: Literal["false", "true", "all"] = "false",
    after: After = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """Find versions, newest first; `project` takes in those below it.

    All of `tag`, at least one of `any_tag` and none of `no_tag` must be there.
    """
    versions = caller.read(
        list_datasets,
        project=project,
        name=name,
        name_part=name_part,
        version=version,
        version_from=version_from,
        version_before=version_before,
        tags=tag,
        tags_any=any_tag,
        tags_none=no_tag,
        states=state,
        archived=_ARCHIVED[archived],
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


@router.post("/rename", response_model=Renamed)
def rename(body: RenameDataset, caller: Editor) -> Response:
    """Give all versions of a dataset another name, another project or both."""
    return caller.post(rename_dataset, body=body)


@router.get("/{version_id}", response_model=DatasetVersion)
def show(version_id: Key, caller: Reader) -> Response:
    """Show a version, also one that was deleted."""
    return answer(caller.read(get_dataset, version_id=version_id))


@router.patch("/{version_id}", response_model=DatasetVersion)
def edit(version_id: Key, body: EditDataset, caller: Editor) -> Response:
    """Change a version's description, put it into the archive or take it out."""
    return answer(caller.write(edit_dataset, version_id=version_id, body=body))


@router.delete("/{version_id}", response_model=Freed)
def delete(
    version_id: Key,
    caller: Editor,
    *,
    force: Annotated[bool, Query(description="Delete it though it is published.")] = False,
    dry_run: Annotated[bool, Query(description="Only say what it would free.")] = False,
) -> Response:
    """Delete a version's files and say what that frees; versions that were made from it keep theirs."""
    freed = caller.read(freed_by_deleting, version_id=version_id, force=force)
    if not dry_run:
        caller.write(delete_dataset, version_id=version_id, force=force)
    return answer(freed)


@router.post("/{version_id}/finalize", response_model=DatasetVersion)
def finalize(version_id: Key, caller: Editor, body: Finalize | None = None) -> Response:
    """Close a draft for ever and make it its dataset's newest version.

    Where another became the newest since, the draft's changes are applied to that one; where both touched the same
    paths the answer is 409 `head_moved`, which names them, and the draft stays as it is. So does one that would get
    another manifest than the one that the body names.
    """
    expected = body.manifest if body is not None else None
    return caller.post_in_steps(
        lambda one: finalize_in_steps(
            prepare=lambda: one.read(prepare_finalize, version_id=version_id, expected=expected),
            carry_out=lambda plan: one.post(finalize_dataset, version_id=version_id, plan=plan, expected=expected),
        )
    )


@router.post("/{version_id}/publish", response_model=DatasetVersion)
def publish(version_id: Key, caller: Editor) -> Response:
    """Publish a final version."""
    return caller.post(publish_dataset, version_id=version_id)


@router.post("/{version_id}/tags", response_model=DatasetVersion)
def tag(version_id: Key, body: EditTags, caller: Editor) -> Response:
    """Add and remove tags; one call is one event."""
    return caller.post(tag_dataset, version_id=version_id, body=body)


@router.get("/{version_id}/lineage", response_model=Lineage)
def lineage(version_id: Key, caller: Reader) -> Response:
    """Get all versions that it descends from and all that descend from it."""
    return answer(caller.read(trace_lineage, version_id=version_id))


@router.get("/{version_id}/metadata", response_model=Page[Metadata])
def metadata(version_id: Key, caller: Reader) -> Response:
    """List a version's metadata, sorted by name."""
    return answer_list(caller.read(list_metadata, version_id=version_id))


@router.get("/{version_id}/metadata/{name:path}", response_model=Metadata)
def show_metadata(version_id: Key, name: MetadataName, caller: Reader) -> Response:
    """Show metadata of a name; its bytes are the blob that it names."""
    return answer(caller.read(get_metadata, version_id=version_id, name=name))


@router.put("/{version_id}/metadata/{name:path}", response_model=Metadata)
def write_metadata(version_id: Key, name: MetadataName, body: PutMetadata, caller: Editor) -> Response:
    """Keep a table or any JSON with a version, also with one that is final; the blob must be there."""
    return answer(caller.write(put_metadata, version_id=version_id, name=name, body=body))


@router.get("/{version_id}/reports", response_model=Page[Report])
def reports(version_id: Key, caller: Reader) -> Response:
    """List a version's reports."""
    return answer_list(caller.read(list_dataset_reports, version_id=version_id))


@router.post("/{version_id}/reports", response_model=Report)
def send_report(version_id: Key, body: PutReport, caller: Editor) -> Response:
    """Keep a plot, a table or a text of a version."""
    return caller.post(put_dataset_report, version_id=version_id, body=body)
