"""One conversation with bytes that may be no HTTP, and what is wrong with what came back."""

from __future__ import annotations

import io
import json
import socket
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import cast

from bench.http_cases import Case

HANG_S = 20.0
_TRACES = (b"Traceback (most recent call last)", b'File "/', b"site-packages")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case: its status, `closed` or `hang`; `complaint` is empty where all is well."""

    kind: str
    status: str
    complaint: str = ""
    shows_traceback: bool = False


def talk(address: tuple[str, int], case: Case) -> Outcome:
    """Sends one case and reads its first answer. Never raises for what a server does."""
    try:
        data = _exchange(address, case)
    except TimeoutError:
        return Outcome(case.kind, "hang", f"no answer and no end after {HANG_S:g} s: {case.data[:200]!r}")
    if not data:
        due = case.must_answer and not case.hangs_up
        return Outcome(case.kind, "closed", f"no answer to {case.data[:200]!r}" if due else "")
    return judged(case.kind, data, case)


def judged(kind: str, data: bytes, case: Case) -> Outcome:
    """What is wrong with the bytes of an answer."""
    trace = any(mark in data for mark in _TRACES)
    try:
        response = HTTPResponse(
            cast(socket.socket, _Bytes(data)), method=case.data.partition(b" ")[0].decode("latin-1")
        )
        response.begin()
        body = response.read()
    except (HTTPException, ValueError, OSError) as error:
        return Outcome(kind, "garbled", f"{type(error).__name__} reading {data[:200]!r}", trace)
    status = response.status
    complaint = complaint_of(status, response.getheader("content-type", ""), body, trace=trace)
    if not complaint and case.statuses and status not in case.statuses:
        complaint = f"{status} where only {sorted(case.statuses)} is right"
    said = f"{complaint}; sent {case.data[:300]!r}, got {data[:300]!r}" if complaint else ""
    return Outcome(kind, str(status), said, trace)


def complaint_of(status: int, content_type: str, body: bytes, *, trace: bool) -> str:
    """What is wrong with an answer whatever was asked; empty where nothing is."""
    if trace:
        return f"{status} shows a traceback"
    if status == 500:
        return "a bug: 500"
    if status < 400 or not body:
        return ""
    try:
        error = json.loads(body)["error"]
        is_shaped = set(error) == {"code", "message", "hint"} and all(isinstance(text, str) for text in error.values())
    except (ValueError, TypeError, KeyError):
        is_shaped = False
    return "" if is_shaped and content_type == "application/json" else f"{status} not in the shape of errors"


def _exchange(address: tuple[str, int], case: Case) -> bytes:
    """Everything the server said until the first answer is whole or it hung up."""
    with socket.create_connection(address, timeout=HANG_S) as sock:
        # A server that had enough hangs up while it is still being sent to; what it said can be read all the same.
        with suppress(BrokenPipeError, ConnectionResetError):
            sock.sendall(case.data)
            if case.hangs_up:
                sock.shutdown(socket.SHUT_WR)
        data = b""
        with suppress(ConnectionResetError):
            is_head = case.data.startswith(b"HEAD ")  # answered with the length of a body that does not come
            while not _is_whole(data, is_head=is_head) and (part := sock.recv(262_144)):
                data += part
        return data


def _is_whole(data: bytes, *, is_head: bool) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    if head.startswith(b"HTTP/1.1 100"):  # the answer comes after it
        return _is_whole(body, is_head=is_head)
    if not end:
        return False
    if is_head:
        return True
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length" and value.strip().isdigit():
            return len(body) >= int(value)
    return False


class _Bytes:
    """As much of a socket as HTTPResponse wants."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> io.BytesIO:
        """The bytes as a file."""
        return io.BytesIO(self._data)
