"""The addresses of `/v1`: each asks the daemon behind it and answers in the shapes of `web/schema`."""

# Annotations are evaluated here, not kept as text: FastAPI must see the dependency a closure names.
import time
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.routing import APIRoute

from ragd.domain.search import Query as Search
from ragd.search.filters import parse_filters
from ragd.web import faults
from ragd.web.backend import Backend, Json
from ragd.web.door import Door
from ragd.web.guard import Guard
from ragd.web.learning import routers
from ragd.web.roles import permit, secure
from ragd.web.schema import (
    ConfirmDeleteAnswer,
    ConfirmDeleteBody,
    DocumentsAnswer,
    DocumentsParams,
    ErrorAnswer,
    ReceiptsAnswer,
    ReceiptsParams,
    ReloadAnswer,
    RereadAnswer,
    RereadBody,
    RescanAnswer,
    RescanBody,
    RetryAnswer,
    RetryBody,
    SearchAnswer,
    SearchParams,
    StatusAnswer,
    VerifyAnswer,
    VerifyBody,
)
from ragd.web.sight import sight_router
from ragd.web.tokens import Token
from ragd.web.waiting import Waiting


def create_app(
    backend: Backend,
    version: str,
    *,
    default_limit: Callable[[], int] = lambda: 10,
    door: Door | None = None,
    check: Callable[[str], Token | None] | None = None,
) -> FastAPI:
    """The HTTP application over one daemon; `default_limit` gives the number of hits when a search does not say.

    `check` knows the token of a secret; without it every token is refused.
    """
    app = _Application(
        title="ragd",
        summary="Search folders that are indexed as they change.",
        version=version,
        openapi_url="/v1/openapi.json",
        # Both pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
        generate_unique_id_function=_operation,
        responses={"4XX": {"model": ErrorAnswer}, "5XX": {"model": ErrorAnswer}},
    )
    faults.install(app)
    app.add_middleware(Guard, door=door or Door(), check=check or _knows_none)
    app.include_router(sight_router(backend))
    app.include_router(_search(backend, default_limit), prefix="/v1")
    app.include_router(_reading(backend), prefix="/v1")
    app.include_router(_acting(backend), prefix="/v1")
    for router in routers(backend):
        app.include_router(router, prefix="/v1")
    return app


class _Application(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document with the roles, and without the validation answer (422) that ragd never gives."""
        if self.openapi_schema is None:
            document = super().openapi()
            secure(document)
            for path in document["paths"].values():
                for operation in path.values():
                    operation["responses"].pop("422", None)
            for name in ("HTTPValidationError", "ValidationError"):
                document["components"]["schemas"].pop(name, None)
            self.openapi_schema = document
        return self.openapi_schema


def _knows_none(_: str) -> None:
    return None


def _operation(route: APIRoute) -> str:
    return route.name


def _search(backend: Backend, default_limit: Callable[[], int]) -> APIRouter:
    router = APIRouter(tags=["search"])
    waiting = Waiting(backend)

    async def waited(asked: Annotated[SearchParams, Query()], request: Request) -> SearchParams:
        if asked.after:
            await waiting.until_searchable(asked.after, asked.timeout_s, request)
        return asked

    @router.get("/search", response_model=SearchAnswer)
    def search(asked: Annotated[SearchParams, Depends(waited)]) -> Json:
        """Searches; with `after`, once that change is searchable."""
        filters = parse_filters(
            collections=asked.collection,
            folders=asked.folder,
            globs=asked.glob,
            types=asked.type,
            modified_after=asked.modified_after,
            modified_before=asked.modified_before,
            now=time.time(),
        )
        limit = default_limit() if asked.limit is None else asked.limit
        return backend.search(Search(text=asked.q, mode=asked.mode, limit=limit, filters=filters))

    return router


def _reading(backend: Backend) -> APIRouter:
    router = APIRouter(tags=["state"])

    @router.get("/status", response_model=StatusAnswer)
    def status() -> Json:
        """How the daemon is: ready, indexing or degraded, and why."""
        return backend.status()

    @router.get("/documents", response_model=DocumentsAnswer)
    def documents(asked: Annotated[DocumentsParams, Query()]) -> Json:
        """Documents and where each stands, a page at a time."""
        return backend.documents(
            state=asked.state, collection=asked.collection, path=asked.path, limit=asked.limit, cursor=asked.cursor
        )

    @router.get("/receipts", response_model=ReceiptsAnswer)
    def receipts(asked: Annotated[ReceiptsParams, Query()]) -> Json:
        """The way of recent changes, step by step, newest first."""
        return backend.receipts(path=asked.path, limit=asked.limit, pending=asked.pending)

    return router


def _acting(backend: Backend) -> APIRouter:
    router = APIRouter(tags=["actions"])

    @router.post("/retry", response_model=RetryAnswer)
    def retry(asked: RetryBody) -> Json:
        """Takes failed documents up again."""
        return {"retried": backend.retry(asked.paths)}

    @router.post("/reread", response_model=RereadAnswer)
    def reread(asked: RereadBody) -> Json:
        """Reads documents again, whatever their times say."""
        return {"reread": backend.reread(asked.documents)}

    @router.post("/rescan", response_model=RescanAnswer)
    def rescan(asked: RescanBody) -> Json:
        """Starts a scan; its findings become receipts."""
        backend.rescan(asked.folder)
        return {"started": True}

    @router.post("/confirm-delete", response_model=ConfirmDeleteAnswer)
    def confirm_delete(asked: ConfirmDeleteBody) -> Json:
        """Lets go of deletions that are held because too much was missing at once; see `watch[].held` of the status."""
        return {"confirmed": backend.confirm_delete(asked.folder, asked.most)}

    @router.post("/reload", response_model=ReloadAnswer)
    def reload() -> Json:
        """Reads the configuration again; a wrong one is refused, and the one before goes on."""
        return backend.reload()

    @router.post("/verify", response_model=VerifyAnswer)
    def verify(asked: VerifyBody, request: Request) -> Json:
        """Compares catalog and index, and makes them equal when asked."""
        permit(request, asked)
        return backend.verify(asked.repair, asked.full)

    return router
