"""What no application sees: malformed, endless, slow and too many requests, over raw sockets."""

from __future__ import annotations

import json
import select
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from ragd.domain.search import Query
from ragd.web.door import Door, Limits
from ragd.web.routes import create_app
from ragd.web.server import Server
from tests.unit.web.conftest import Shelf

LIMITS = Limits(head_s=0.3, body_s=0.3, request_s=0.6, write_s=0.3, connections=4, head_bytes=4096, body_bytes=20_000)
HEAD = b"GET /v1/status HTTP/1.1\r\nhost: localhost\r\n"


@dataclass(frozen=True, slots=True)
class Strict:
    """A server with little patience."""

    shelf: Shelf
    address: tuple[str, int]
    socket: Path


@pytest.fixture
def strict(socket_path: Path) -> Iterator[Strict]:
    shelf = Shelf()
    server = Server(create_app(shelf, "9", door=Door(limits=LIMITS)), socket_path, "127.0.0.1:0", LIMITS)
    server.start()
    assert server.tcp_port is not None
    yield Strict(shelf, ("127.0.0.1", server.tcp_port), socket_path)
    shelf.done.set()
    server.stop(1.0)


def _answer(sock: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """The one answer on a connection, which then ends."""
    sock.settimeout(10)
    data = b""
    while part := sock.recv(65536):
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(first.split(" ")[1]), headers, body


def _refused(sock: socket.socket, status: int, code: str) -> dict[str, str]:
    found, headers, body = _answer(sock)
    assert (found, headers["content-type"]) == (status, "application/json")
    assert json.loads(body)["error"].keys() == {"code", "message", "hint"}
    assert json.loads(body)["error"]["code"] == code
    return headers


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\nhost: localhost\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        HEAD + b"host: localhost\r\n\r\n",
        HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\n",
        HEAD + b"content-length: -1\r\n\r\n",
        HEAD + b"content-length: " + b"9" * 3000 + b"\r\n\r\n",
        HEAD + b"content-length: \xb2\r\n\r\n",
        HEAD + b"transfer-encoding: gzip\r\n\r\n",
        HEAD + b"a b: c\r\n\r\n",
        HEAD + b"x: a\x00b\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_not_http_gets_one_answer_in_the_one_shape_and_an_end(strict: Strict, request_bytes: bytes) -> None:
    with socket.create_connection(strict.address) as sock:
        sock.sendall(request_bytes)
        _refused(sock, 505 if b"HTTP/9.9" in request_bytes or b"HTTP/2" in request_bytes else 400, "bad_request")
    assert strict.shelf.asked == []


def test_a_head_that_is_too_long_is_refused_as_such(strict: Strict) -> None:
    with socket.create_connection(strict.address) as sock:
        sock.sendall(HEAD + b"x: " + b"a" * 10_000)
        _refused(sock, 431, "too_large")


def test_a_head_that_comes_drop_by_drop_is_cut_off(strict: Strict) -> None:
    began = time.monotonic()
    with socket.create_connection(strict.address) as sock:
        drops = iter(HEAD * 10)
        while not select.select([sock], [], [], 0.01)[0]:
            sock.sendall(bytes([next(drops)]))
        _refused(sock, 408, "timed_out")
    assert LIMITS.head_s * 0.9 < time.monotonic() - began < LIMITS.head_s + 5


def test_whoever_connects_and_says_nothing_is_cut_off(strict: Strict) -> None:
    with socket.create_connection(strict.address) as sock:
        _refused(sock, 408, "timed_out")


def test_a_second_request_has_no_more_time_than_the_first(strict: Strict) -> None:
    with socket.create_connection(strict.address) as sock:
        sock.sendall(HEAD + b"\r\n")
        sock.settimeout(10)
        assert b"200" in sock.recv(65536)
        sock.sendall(b"GET /v1/")
        _refused(sock, 408, "timed_out")


def test_a_body_that_does_not_come_is_given_up(strict: Strict) -> None:
    with socket.create_connection(strict.address) as sock:
        kind = b"content-type: application/json\r\ncontent-length: 100\r\n\r\n{"
        sock.sendall(b"POST /v1/retry HTTP/1.1\r\nhost: localhost\r\n" + kind)
        _refused(sock, 408, "timed_out")
    assert strict.shelf.asked == []


def test_a_body_that_breaks_off_into_nonsense_is_refused_and_is_no_bug(
    strict: Strict, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_connection(strict.address) as sock, caplog.at_level("WARNING"):
        kind = b"content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        sock.sendall(b"POST /v1/retry HTTP/1.1\r\nhost: localhost\r\n" + kind)
        sock.sendall(b"2\r\n{}\r\n")
        sock.sendall(b"not a length\r\n")
        _refused(sock, 400, "bad_request")
    assert strict.shelf.asked == []
    assert caplog.records == []


def test_a_request_that_takes_too_long_is_answered_and_others_go_on(strict: Strict) -> None:
    transport = httpx.HTTPTransport(uds=str(strict.socket))
    with httpx.Client(transport=transport, base_url="http://ragd", timeout=10) as client:
        began = time.monotonic()
        late = client.get("/v1/search", params={"q": "a", "after": "5", "timeout_s": "60"})
        assert time.monotonic() - began < 5
        assert (late.status_code, late.json()["error"]["code"]) == (504, "timed_out")
        assert not any(isinstance(asked, Query) for asked in strict.shelf.asked)
        assert client.get("/v1/status").status_code == 200


def test_an_answer_that_nobody_takes_is_given_up(strict: Strict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict.shelf, "documents", lambda **_: {"documents": [], "next": "x" * 30_000_000})
    with socket.create_connection(strict.address) as sock:
        sock.sendall(b"GET /v1/documents HTTP/1.1\r\nhost: localhost\r\n\r\n")
        sock.settimeout(10)
        assert sock.recv(10)
        assert _ends(sock, LIMITS.write_s + 5)


def _ends(sock: socket.socket, within_s: float) -> bool:
    """Whether the other side gives the connection up while nothing is read from it."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            sock.send(b"\r\n")
        except OSError:
            return True
        threading.Event().wait(0.05)
    return False


def test_only_so_many_connections_are_open_at_once_and_the_socket_has_its_own(strict: Strict) -> None:
    held = [socket.create_connection(strict.address) for _ in range(LIMITS.connections)]
    try:
        with socket.create_connection(strict.address) as one_more:
            headers = _refused(one_more, 503, "busy")
            assert int(headers["retry-after"]) >= 1
        transport = httpx.HTTPTransport(uds=str(strict.socket))
        with httpx.Client(transport=transport, base_url="http://ragd", timeout=10) as owner:
            assert owner.get("/v1/status").status_code == 200
    finally:
        for sock in held:
            sock.close()
    with httpx.Client(base_url=f"http://127.0.0.1:{strict.address[1]}", trust_env=False) as later:
        deadline = time.monotonic() + 10
        while later.get("/v1/status").status_code != 200:
            assert time.monotonic() < deadline


def test_an_absolute_address_does_not_get_around_the_names(strict: Strict) -> None:
    with socket.create_connection(strict.address) as sock:
        sock.sendall(
            b"GET http://localhost/v1/status HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n",
        )
        _refused(sock, 403, "forbidden")


def test_two_requests_in_one_breath_get_two_answers(strict: Strict) -> None:
    with socket.create_connection(strict.address) as sock:
        sock.sendall(HEAD + b"\r\n" + HEAD + b"connection: close\r\n\r\n")
        _, _, rest = _answer(sock)
        assert rest.count(b"HTTP/1.1 200 OK") == 1
