"""The application: routes behind the gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI
from starlette.responses import JSONResponse

from orchestrator.api.caller import Parts
from orchestrator.api.documentation import add_documentation
from orchestrator.api.errors import add_error_handlers
from orchestrator.api.gate import Gate
from orchestrator.api.hub import Hub
from orchestrator.api.routes import (
    agents,
    attempts,
    blob_packs,
    blobs,
    dataset_files,
    dataset_profiles,
    datasets,
    events,
    models,
    projects,
    queues,
    storages,
    tasks,
    tokens,
    triggers,
    uploads,
)
from orchestrator.services.resumable_uploads import ResumableUploads

if TYPE_CHECKING:
    from orchestrator.services.storage_access import Storages
    from orchestrator.settings import Settings
    from orchestrator.store.protocol import Store

PREFIX = "/api/v1"

_ROUTERS = (
    projects.router,
    tasks.router,
    attempts.router,
    queues.router,
    agents.router,
    datasets.router,
    dataset_files.router,
    dataset_profiles.router,
    models.router,
    storages.router,
    blob_packs.router,
    uploads.router,
    blobs.router,
    events.router,
    triggers.router,
    tokens.router,
)


def create_app(store: Store, *, storages: Storages, settings: Settings) -> FastAPI:
    """Return the ASGI application. It starts no thread of its own; `orchestrator.api.serve` does.

    Args:
        store: the database.
        storages: where bytes lie.
        settings: lengths of leases and the like.
    """
    app = FastAPI(title="retrain", openapi_url=None, docs_url=None, redoc_url=None)
    app.state.parts = Parts(
        store=store,
        storages=storages,
        uploads=ResumableUploads(settings.home / "uploads"),
        settings=settings,
        hub=Hub(store),
    )
    add_error_handlers(app)
    app.add_middleware(Gate, store=store)
    versioned = APIRouter(prefix=PREFIX)
    for router in _ROUTERS:
        versioned.include_router(router)
    app.include_router(versioned)
    add_documentation(app)

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    return app
