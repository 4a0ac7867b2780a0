"""Every error as one JSON shape; a bug's traceback stays in the log."""

from __future__ import annotations

import math
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import Scope

from ragd.config.events import get_log
from ragd.domain.errors import BadRequest, Busy, RagdError, Unauthorized

_LOG = get_log("ragd.web")
_CODES = {404: "not_found", 405: "method_not_allowed", 408: "timed_out", 413: "too_large", 505: "bad_request"}
_AGAIN_AFTER_S = 5


def fault(
    status: int, code: str, message: str, hint: str = "", headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The response that carries one error."""
    # What a caller sent may hold what is no text, and comes back in messages.
    content = {"error": {"code": code, "message": _sendable(message), "hint": _sendable(hint)}}
    return JSONResponse(content, status_code=status, headers=headers)


def _sendable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def install(app: FastAPI) -> None:
    """Makes `app` answer every error in this shape."""
    app.exception_handler(RagdError)(_known)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(HTTPException)(_http)
    app.exception_handler(Exception)(_bug)


def told(error: RagdError | HTTPException, scope: Scope, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer that says an error, with what its status asks for in headers."""
    if isinstance(error, RagdError):
        wanted = {**_headers(error), **(headers or {})}
        return fault(error.http_status, error.code, str(error), error.hint, wanted)
    status, message, hint = error.status_code, error.detail, ""
    if status in (404, 405):
        message = f"{scope['method']} {scope['path']} is not served"
        hint = "see /v1/openapi.json for what is"
    code = _CODES.get(status, "bad_request" if status < 500 else "internal")
    return fault(status, code, message, hint, {**(error.headers or {}), **(headers or {})})


def _headers(error: RagdError) -> dict[str, str]:
    if isinstance(error, Unauthorized):
        return {"www-authenticate": 'Bearer realm="ragd"'}
    if error.http_status not in (429, 503):
        return {}
    return {"retry-after": str(math.ceil(error.retry_after_s) if isinstance(error, Busy) else _AGAIN_AFTER_S)}


async def _known(request: Request, error: RagdError) -> JSONResponse:
    if error.http_status >= 500:
        _LOG.warning("request_failed", path=request.url.path, code=error.code, message=error)
    return told(error, request.scope)


async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    lines = [f"{_place(found['loc'])}: {found['msg']}" for found in error.errors()]
    told = BadRequest("; ".join(lines[:5]), hint=f"see /v1/openapi.json for {request.url.path}")
    return fault(told.http_status, told.code, str(told), told.hint)


async def _http(request: Request, error: HTTPException) -> JSONResponse:
    return told(error, request.scope)


async def _bug(request: Request, error: Exception) -> JSONResponse:
    # The outermost middleware raises the error again after this answer, so that the server logs its traceback.
    return fault(500, "internal", f"{type(error).__name__} in ragd", "the daemon's log has the details; please report")


def _place(location: tuple[int | str, ...]) -> str:
    parts = [str(part) for part in location if part not in ("query", "body")]
    return ".".join(parts) or "request"
