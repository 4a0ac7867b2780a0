"""A local HTTP server that speaks the OpenAI chat protocol, and fails on request."""

from __future__ import annotations

import json
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-secret-of-the-teacher"


class ChatServer:
    """Speaks `POST /v1/chat/completions` on a loopback port; `script` holds statuses that come first."""

    def __init__(self) -> None:
        self.script: deque[int] = deque()
        self.asked: list[str] = []
        self.keys: set[str] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def status(self, path: str, headers: Any, body: dict[str, Any]) -> int:
        if headers.get("authorization") != f"Bearer {KEY}":
            return 401
        if path != "/v1/chat/completions" or body.get("model") != "wise" or body.get("temperature") != 0:
            return 404
        return self.script.popleft() if self.script else 200

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status = owner.status(self.path, self.headers, body)
                answer: dict[str, Any] = {"error": {"message": f"refused, your key is {self.headers['authorization']}"}}
                if status == 200:
                    prompt = body["messages"][-1]["content"]
                    owner.asked.append(prompt)
                    answer = {"choices": [{"message": {"role": "assistant", "content": f"aha {len(prompt)}"}}]}
                data = json.dumps(answer).encode("utf-8")
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
