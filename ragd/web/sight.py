"""What a monitor asks: `/metrics` for figures, `/healthz` whether it gets on, `/readyz` whether it takes searches."""

# Annotations are evaluated here, not kept as text: FastAPI must see the types of a closure.
from typing import Annotated, Any, Literal, Protocol

from fastapi import APIRouter, Header, Response
from fastapi.responses import PlainTextResponse
from pydantic import Field

from ragd.web.schema import Told

_TEXT = {"text/plain": {"schema": {"type": "string"}}}
_METRICS: dict[int | str, dict[str, Any]] = {200: {"content": _TEXT, "description": "The figures."}}
_ALIVE: dict[int | str, dict[str, Any]] = {
    200: {"content": _TEXT, "description": "It gets on."},
    503: {"content": _TEXT, "description": "It does not get on."},
}


class SightBackend(Protocol):
    """How the daemon fares, as a monitor sees it; from any thread."""

    def metrics(self, accept: str) -> tuple[bytes, str]:
        """The figures in a form that this Accept header takes, with their content type."""
        ...

    def is_alive(self) -> bool:
        """Whether the main thread gets on."""
        ...

    def readiness(self) -> tuple[str, tuple[str, ...]]:
        """`ready`, `degraded` or `failed`, and the reasons."""
        ...


class HasSight(Protocol):
    """The backend, as far as it is needed here."""

    @property
    def sight(self) -> SightBackend:
        """How the daemon fares."""
        ...


class ReadyAnswer(Told):
    """`GET /readyz`: with `failed` the HTTP status is 503, else 200."""

    state: Literal["ready", "degraded", "failed"] = Field(
        description="`degraded` answers searches, and something needs a look; `failed` cannot answer them truly."
    )
    reasons: list[str] = Field(description="What is wrong, the gravest first.")


def sight_router(backend: HasSight) -> APIRouter:
    """The three addresses, at the top and not below `/v1`."""
    router = APIRouter(tags=["sight"])

    @router.get("/metrics", response_class=Response, responses=_METRICS)
    def metrics(
        accept: Annotated[str, Header(description="Prometheus text, or OpenMetrics.")] = "",
    ) -> Response:
        """The figures of [metrics](metrics.md) for Prometheus."""
        body, content_type = backend.sight.metrics(accept)
        return Response(body, media_type=content_type)

    @router.get("/healthz", response_class=Response, responses=_ALIVE)
    def healthz() -> PlainTextResponse:
        """Whether the process and its main thread get on: `ok`, or 503. Tells nothing else, and asks for no token."""
        is_alive = backend.sight.is_alive()
        return PlainTextResponse("ok" if is_alive else "stuck", status_code=200 if is_alive else 503)

    @router.get("/readyz", response_model=ReadyAnswer, responses={503: {"model": ReadyAnswer}})
    def readyz(response: Response) -> dict[str, object]:
        """Whether searches may be sent here: 200 while they are answered, 503 when they cannot be answered truly."""
        state, reasons = backend.sight.readiness()
        response.status_code = 503 if state == "failed" else 200
        return {"state": state, "reasons": list(reasons)}

    return router
