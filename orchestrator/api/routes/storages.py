"""Places for bytes, and which of them the new bytes of a dataset go to."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from orchestrator.api.answers import answer, answer_list
from orchestrator.api.caller import Administrator, Reader
from orchestrator.blobs import open_objects
from orchestrator.errors import InvalidRequest, Unavailable
from orchestrator.records.base import Name
from orchestrator.records.dataset import Storage, StorageChoice
from orchestrator.records.links import check_no_credentials
from orchestrator.services.storages import (
    drop_choice,
    list_choices,
    list_storages,
    put_choice,
    put_storage,
    require_storages,
)
from orchestrator.wire import CreateStorage, Page, StorageUse

router = APIRouter(prefix="/storages", tags=["storages"])

StorageName = Annotated[Name, Path()]


@router.get("", response_model=Page[StorageUse])
def find(caller: Reader) -> Response:
    """List the storages and what lies in them."""
    return answer_list(caller.read(list_storages))


@router.get("/choices", response_model=Page[StorageChoice])
def choices(caller: Reader) -> Response:
    """List which storages were chosen for which projects and datasets."""
    return answer_list(caller.read(list_choices))


@router.put("/choices", response_model=StorageChoice)
def choose(body: StorageChoice, caller: Administrator) -> Response:
    """Choose where the new bytes of a dataset go, or of a project and all below it; what is stored stays."""
    return answer(caller.write(put_choice, body=body))


@router.delete("/choices", response_model=StorageChoice)
def take_back(
    caller: Administrator,
    project: Annotated[str, Query(max_length=255)],
    dataset: Annotated[str, Query(max_length=255)] = "",
) -> Response:
    """Take a choice back."""
    return answer(caller.write(drop_choice, project=project, dataset=dataset))


@router.put("/{name}", response_model=Storage)
def create(name: StorageName, body: CreateStorage, caller: Administrator) -> Response:
    """Name a directory, or what fsspec knows, as a storage; a marker is written into it."""
    caller.read(require_storages)
    url = check_no_credentials(body.url)
    if "://" not in url and not url.startswith("/"):
        raise InvalidRequest(
            f"{url!r} is no place for bytes.", hint="Give a whole path, or a URL such as s3://bucket/prefix."
        )
    objects = open_objects(url)
    try:
        identity = caller.parts.storages.take(objects)
    except Unavailable as error:
        if objects.local_path("x") is None:
            raise
        raise InvalidRequest(f"{url!r} is no place for bytes: {error.message}", hint=error.hint) from error
    return answer(caller.write(put_storage, name=name, url=objects.url, identity=identity))
