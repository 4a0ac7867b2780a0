"""One connection below the application: malformed and endless requests end here, in the one JSON shape of errors."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ragd.web.door import Limits

_LINGER_S = 1.0


class WireConfig(uvicorn.Config):
    """uvicorn's settings, and the door's limits beside them."""

    limits: Limits = Limits()


class Wire(H11Protocol):
    """HTTP/1.1 by h11, with an end to everything a client can draw out.

    A head must arrive whole in `head_s` and be no longer than `head_bytes`, an answer must be taken in `write_s`
    seconds, and no more than `connections` are open at once through the TCP socket, nor through the Unix socket.
    """

    def __init__(self, config: WireConfig, **rest: Any) -> None:
        super().__init__(config, **rest)
        self._limits = config.limits
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._is_ending = False

    @property
    def is_tcp(self) -> bool:
        """False for the Unix socket, which has no port."""
        return self.server is not None and self.server[1] is not None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        beside = sum(cast(Wire, other).is_tcp is self.is_tcp for other in self.connections)
        if beside > 2 * self._limits.connections:
            transport.abort()
        elif beside > self._limits.connections:
            self._end(503, "busy", f"{self._limits.connections} connections are open", retry_after_s=1)
        else:
            self._head_timer = self.loop.call_later(self._limits.head_s, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._head_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_ending:
            return
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._head_came()
        elif self._head_timer is None and self.timeout_keep_alive_task is None:
            self._head_timer = self.loop.call_later(self._limits.head_s, self._head_is_late)

    def eof_received(self) -> None:
        if self._is_ending:
            self.transport.close()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._abort_later()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._abort_later()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer = self.loop.call_later(self._limits.write_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls when h11 does not understand what came."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()  # an answer is on its way already: what followed the request was not HTTP
            return
        held = len(self.conn.trailing_data[0])
        if held > self._limits.head_bytes:
            self._end(431, "too_large", f"the head of the request has more than {self._limits.head_bytes} bytes")
        else:
            self._end(400, "bad_request", "this is not an HTTP/1.1 request")

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self._end(408, "timed_out", f"the head of the request did not arrive within {self._limits.head_s:g} s")

    def _end(self, status: int, code: str, message: str, retry_after_s: int = 0) -> None:
        """Answers once and closes; what still comes is thrown away for a moment, or the answer would be lost by it."""
        self._is_ending = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # what the application still says has no place any more
            self.cycle.message_event.set()
        self._head_came()
        self._unset_keepalive_if_required()
        body = json.dumps({"error": {"code": code, "message": message, "hint": ""}}).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
        if retry_after_s:
            headers.append(("retry-after", str(retry_after_s)))
        for event in (h11.Response(status_code=status, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(_LINGER_S, self.transport.close)
        self._abort_later()

    def _abort_later(self) -> None:
        self.loop.call_later(self._limits.write_s, self.transport.abort)
