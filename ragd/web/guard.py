"""Refuses what must not reach a route: strangers' names and pages over TCP, and oversized bodies."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ragd.web.faults import fault

MAX_BODY_BYTES = 1024 * 1024
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


class Guard:
    """ASGI middleware before every route.

    Over TCP the Host header must name this machine's loopback, so that a page that rebinds its own name
    to 127.0.0.1 gets nothing, and a browser's Origin must be ours, so that no page can post here. The
    Unix socket is guarded by its file mode. A body is cut off at MAX_BODY_BYTES, announced or not.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif (refusal := _refusal(scope)) is not None:
            await refusal(scope, receive, send)
        else:
            await self._app(scope, _limited(receive), send)


def _limited(receive: Receive) -> Receive:
    taken = 0

    async def counted() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > MAX_BODY_BYTES:
            raise HTTPException(413, f"the body has more than {MAX_BODY_BYTES} bytes", headers={"connection": "close"})
        return message

    return counted


def _refusal(scope: Scope) -> JSONResponse | None:
    headers = Headers(scope=scope)
    length = headers.get("content-length", "")
    if length.isdigit() and int(length) > MAX_BODY_BYTES:
        # The rest of the body is not read, so the connection cannot serve another request.
        message = f"the body has {length} bytes, more than {MAX_BODY_BYTES}"
        return fault(413, "too_large", message, headers={"connection": "close"})
    server = scope.get("server")
    if server is None or server[1] is None:  # a Unix socket has no port
        return None
    host = headers.get("host", "")
    if _name(host) not in _LOOPBACK_NAMES:
        return fault(403, "forbidden", f"the host {host!r} is not served", "use localhost, 127.0.0.1 or [::1]")
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        return fault(403, "forbidden", f"pages of {origin!r} may not ask", "ask from outside a browser")
    return None


def _name(host: str) -> str:
    """The name of a Host header without its port, lower-case; brackets of IPv6 stay."""
    lowered = host.lower()
    if lowered.startswith("["):
        return lowered[: lowered.find("]") + 1]
    return lowered.partition(":")[0]
