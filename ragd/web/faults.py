"""Every error as one JSON shape; a bug's traceback stays in the log."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from ragd.config.events import get_log
from ragd.domain.errors import BadRequest, RagdError

_LOG = get_log("ragd.web")
_CODES = {403: "forbidden", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}


def fault(
    status: int, code: str, message: str, hint: str = "", headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The response that carries one error."""
    content = {"error": {"code": code, "message": message, "hint": hint}}
    return JSONResponse(content, status_code=status, headers=headers)


def install(app: FastAPI) -> None:
    """Makes `app` answer every error in this shape."""
    app.exception_handler(RagdError)(_known)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(HTTPException)(_http)
    app.exception_handler(Exception)(_bug)


async def _known(request: Request, error: RagdError) -> JSONResponse:
    if error.http_status >= 500:
        _LOG.warning("request_failed", path=request.url.path, code=error.code, message=error)
    return fault(error.http_status, error.code, str(error), error.hint)


async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    lines = [f"{_place(found['loc'])}: {found['msg']}" for found in error.errors()]
    told = BadRequest("; ".join(lines[:5]), hint=f"see /v1/openapi.json for {request.url.path}")
    return fault(told.http_status, told.code, str(told), told.hint)


async def _http(request: Request, error: HTTPException) -> JSONResponse:
    message, hint = error.detail, ""
    if error.status_code in (404, 405):
        message = f"{request.method} {request.url.path} is not served"
        hint = "see /v1/openapi.json for what is"
    code = _CODES.get(error.status_code, "bad_request" if error.status_code < 500 else "internal")
    return fault(error.status_code, code, message, hint, error.headers)


async def _bug(request: Request, error: Exception) -> JSONResponse:
    # The outermost middleware raises the error again after this answer, so that the server logs its traceback.
    return fault(500, "internal", f"{type(error).__name__} in ragd", "the daemon's log has the details; please report")


def _place(location: tuple[int | str, ...]) -> str:
    parts = [str(part) for part in location if part not in ("query", "body")]
    return ".".join(parts) or "request"
