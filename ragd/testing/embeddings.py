"""A local HTTP server that speaks the OpenAI embeddings protocol, and fails on request; for tests of what calls it."""

from __future__ import annotations

import json
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import numpy as np


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer that is not the right one: a status, headers and a body; or silence for `hang_s` seconds.

    `drop` closes the connection without an answer. `change` alters the right answer instead.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b"{}"
    hang_s: float = 0.0
    drop: bool = False
    change: Callable[[dict[str, Any]], object] | None = None


@dataclass(slots=True)
class Seen:
    """What one request carried: its path, its headers in lower case, its JSON body."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any] = field(repr=False)


class EmbeddingServer:
    """Answers `POST /v1/embeddings` on a loopback port, as a context manager.

    Stricter than most: a wrong key is 401, another path or model 404, an empty input 400, a text longer than
    `most_chars` 400. `script` gives the first answers; afterwards all are right. Answers come in
    reversed order, with their `index`, as the protocol allows. A text's vector depends on its words only.
    """

    def __init__(
        self,
        *,
        model: str = "hashing",
        dimension: int = 64,
        api_key: str = "",
        most_chars: int = 100_000,
        script: Iterable[Reply] = (),
    ) -> None:
        self.model = model
        self.dimension = dimension
        self.api_key = api_key
        self.most_chars = most_chars
        self.script = deque(script)
        self.seen: list[Seen] = []
        self._stop = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """The API's address, ending in /v1."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def vector(self, text: str) -> list[float]:
        """The server's vector of a text: a hashed bag of its words and their letter triples, not normalised."""
        row = np.zeros(self.dimension)
        row[0] = 0.1  # so that a blank text has a direction too
        for word in text.lower().split():
            for part in (word, *(word[i : i + 3] for i in range(len(word) - 2))):
                place = zlib.crc32(part.encode("utf-8"))
                row[place % self.dimension] += 1.0 if place & 0x10000 else -1.0
        return [float(value) for value in row]

    def answer(self, seen: Seen) -> tuple[int, dict[str, Any]]:
        """Status and body of the right answer to a request."""
        if self.api_key and seen.headers.get("authorization") != f"Bearer {self.api_key}":
            return 401, _error("incorrect API key provided")
        if seen.path != "/v1/embeddings" or seen.body.get("model") != self.model:
            return 404, _error("no such path or model")
        texts = seen.body.get("input")
        if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
            return 400, _error("input cannot be an empty string")
        if any(len(text) > self.most_chars for text in texts):
            return 400, _error("maximum context length exceeded")
        data = [{"object": "embedding", "index": i, "embedding": self.vector(text)} for i, text in enumerate(texts)]
        return 200, {"object": "list", "model": self.model, "data": data[::-1]}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 16  # headers and body in one packet: apart, the second waits 40 ms for an acknowledgement

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                seen = Seen(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                owner.seen.append(seen)
                reply = owner.script.popleft() if owner.script else None
                if reply is None or reply.change is not None:
                    status, answer = owner.answer(seen)
                    changed = reply.change(answer) if reply is not None and reply.change is not None else answer
                    self._send(status, (), json.dumps(changed).encode("utf-8"))
                elif reply.drop or (reply.hang_s and owner._stop.wait(reply.hang_s)):
                    self.close_connection = True
                else:
                    self._send(reply.status, reply.headers, reply.body)

            def _send(self, status: int, headers: tuple[tuple[str, str], ...], body: bytes) -> None:
                try:
                    self.send_response(status)
                    for name, value in (*headers, ("content-type", "application/json")):
                        self.send_header(name, value)
                    self.send_header("content-length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True  # the client gave up, as some tests want

            def log_message(self, format: str, *args: object) -> None:
                """Tests read `seen` instead."""

        return Handler


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error"}}
