"""Lets nobody in who may not: names, pages, tokens, roles, rates, sizes and times are checked before every route."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ragd.config.events import get_log
from ragd.domain.errors import Forbidden, RagdError, RateLimited, TimedOut, Unauthorized
from ragd.web.door import LOOPBACK_NAMES, Door
from ragd.web.faults import told
from ragd.web.rates import Rates, client_of
from ragd.web.roles import Table
from ragd.web.tokens import Role, Token

_LOG = get_log("ragd.web")
_TOLD_PER_S, _TOLD_AT_ONCE = 0.2, 10
_HOW_TO_COME_IN = "send `Authorization: Bearer TOKEN`; `ragd token add` makes one"
_CLOSE = {"connection": "close"}
"""Where a body was not read, the connection cannot serve another request."""


class Guard:
    """ASGI middleware before every route.

    Over TCP the Host header must be a name that is served, so that a page that rebinds its own name to this machine
    gets nothing, and a browser's Origin must be ours, so that no page can post here. A token that is sent counts
    wherever it is sent; where none is needed and none is sent the caller is an admin. Bodies and waits end at the
    door's limits.
    """

    def __init__(
        self,
        app: ASGIApp,
        door: Door,
        check: Callable[[str], Token | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._door = door
        self._check = check
        self._clock = clock
        self._table = Table()
        self._rates = Rates(door.limits.requests_per_s, door.limits.burst)
        self._refusals_told = Rates(_TOLD_PER_S, _TOLD_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            role = self._admitted(Headers(scope=scope), scope)
        except (RagdError, HTTPException) as error:
            await told(error, scope, _CLOSE)(scope, receive, send)
            return
        scope.setdefault("state", {})["role"] = role
        await self._serve(scope, receive, send)

    def _admitted(self, headers: Headers, scope: Scope) -> Role | None:
        """The role of the caller, None for a stranger at an address that is open to all; raises what keeps it out."""
        if scope.get("http_version", "1.1") not in ("1.0", "1.1"):
            raise HTTPException(505, "only HTTP/1.1 is spoken")
        is_tcp = _is_tcp(scope)
        if is_tcp:
            self._check_names(headers, scope)
        client = client_of(scope["client"][0]) if is_tcp and scope["client"] else ""
        given = headers.getlist("authorization")
        token = self._token(given) if given else None
        if client:
            self._count(f"token {token.name}" if token else client)
        if given and token is None:
            self._note_refusal(client)
            raise Unauthorized("the token is not known, expired or was revoked", hint=_HOW_TO_COME_IN)
        role = token.role if token else None if is_tcp and self._door.needs_token else Role.ADMIN
        if role is not Role.ADMIN:  # the router itself tells an admin what is not served
            self._check_role(role, scope["method"], scope["path"])
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > self._door.limits.body_bytes:
            raise HTTPException(413, f"the body has {length} bytes, more than {self._door.limits.body_bytes}")
        return role

    def _check_names(self, headers: Headers, scope: Scope) -> None:
        host = headers.get("host", "")
        # The address that was connected to is as good as a name: a page that rebinds a name sends that name.
        if _name(host) not in LOOPBACK_NAMES | self._door.hosts | {_bracketed(scope["server"][0])}:
            raise Forbidden(f"the host {host!r} is not served", hint="use localhost, or name the host in http.hosts")
        for origin in headers.getlist("origin"):
            if _netloc(origin) != host.lower():
                raise Forbidden(f"pages of {origin!r} may not ask", hint="ask from outside a browser")
        if headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            raise Forbidden("pages of other sites may not ask", hint="ask from outside a browser")

    def _token(self, given: list[str]) -> Token | None:
        scheme, _, secret = given[0].partition(" ")
        return self._check(secret.strip()) if len(given) == 1 and scheme.lower() == "bearer" else None

    def _count(self, client: str) -> None:
        wait_s = self._rates.take(client, self._clock())
        if wait_s:
            raise RateLimited(
                f"more than {self._door.limits.requests_per_s:g} requests a second",
                hint="ask again after Retry-After seconds; http.requests_per_s sets the limit",
                retry_after_s=wait_s,
            )

    def _check_role(self, role: Role | None, method: str, path: str) -> None:
        try:
            needed = self._table.role_of(method, path)
        except KeyError:
            needed = Role.READ
            methods = self._table.methods_of(path)
            if role is not None:
                headers = {"allow": ", ".join(methods)} if methods else None
                raise HTTPException(405 if methods else 404, headers=headers) from None
        if needed is None:
            return
        if role is None:
            raise Unauthorized("this needs a token", hint=_HOW_TO_COME_IN)
        if not role.allows(needed):
            raise Forbidden(
                f"{method} {path} needs a token of role {needed}, this one may {role}",
                hint=f"make one: `ragd token add NAME --role {needed}`",
            )

    def _note_refusal(self, client: str) -> None:
        if not self._refusals_told.take(client, self._clock()):
            _LOG.warning("token_refused", client=client or "socket")

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hands the request on and answers in its place when it takes too long."""
        limits = self._door.limits
        answer = _Answer(send)
        bounded = _bounded(receive, limits.body_bytes, limits.body_s)
        task = asyncio.ensure_future(self._app(scope, bounded, answer.send))
        try:
            await asyncio.wait({task}, timeout=limits.request_s)
        finally:
            if not task.done():
                # What a thread still says after this is not sent; the thread itself cannot be ended.
                answer.is_over = True
                task.add_done_callback(_forget)
                task.cancel()
        if not answer.is_over:
            await task
        elif not answer.has_begun:
            late = TimedOut(f"no answer within {limits.request_s:g} s", hint="`ragd status` tells what the daemon does")
            await told(late, scope, _CLOSE)(scope, receive, send)


def _forget(task: asyncio.Future[None]) -> None:
    """What became of a request that was given up is nobody's concern."""
    if not task.cancelled():
        task.exception()


class _Answer:
    """Sends until it is over."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_begun = False
        self.is_over = False

    async def send(self, message: Message) -> None:
        if not self.is_over:
            self.has_begun = True
            await self._send(message)


def _bounded(receive: Receive, most_bytes: int, body_s: float) -> Receive:
    """Receives a body of so many bytes at most, whether announced or not, and within so many seconds."""
    taken = 0
    is_whole = False
    deadline = asyncio.get_running_loop().time() + body_s

    async def counted() -> Message:
        nonlocal taken, is_whole
        if is_whole:
            return await receive()
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, f"the body did not arrive within {body_s:g} s", headers=_CLOSE) from None
        taken += len(message.get("body", b""))
        is_whole = not message.get("more_body", False)
        if taken > most_bytes:
            raise HTTPException(413, f"the body has more than {most_bytes} bytes", headers=_CLOSE)
        return message

    return counted


def _is_tcp(scope: Scope) -> bool:
    server = scope.get("server")
    return server is not None and server[1] is not None  # a Unix socket has no port


def _name(host: str) -> str:
    """The name of a Host header without its port, lower-case; brackets of IPv6 stay."""
    lowered = host.lower()
    if lowered.startswith("["):
        return lowered[: lowered.find("]") + 1]
    return lowered.partition(":")[0]


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:  # brackets that hold no address
        return ""
