"""What stands between ragd and Redis in scenarios of faults: a proxy that cuts, and a server that says it is old."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


class Proxy:
    """Passes bytes on between a new socket and a server's; `cut` ends every connection, `is_frozen` holds all bytes."""

    def __init__(self, server: Path, here: Path) -> None:
        self.url = f"unix://{here}?db=0"
        self.cuts = 0
        self.is_frozen = False
        self._server, self._here = server, here
        self._pairs: list[socket.socket] = []
        self._lock = threading.Lock()
        self._listening = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> Proxy:
        self._listening.bind(str(self._here))
        self._listening.listen(128)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()

    def cut(self) -> None:
        """Ends every connection there is, whatever is on its way."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        self.cuts += len(pairs) // 2
        for end in pairs:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(str(self._server))
            except OSError:
                near.close()
                continue
            with self._lock:
                self._pairs += [near, far]
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(4096):
                while self.is_frozen:
                    time.sleep(0.05)
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        source.close()  # each direction closes the end it reads from


@contextmanager
def old_server(here: Path, version: str) -> Iterator[None]:
    """A server on the socket `here` that says it is `version`, and knows PING, INFO and DBSIZE only."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(here))
        listening.listen(128)
        threading.Thread(target=_answer_all, args=(listening, version), daemon=True).start()
        yield
        listening.shutdown(socket.SHUT_RDWR)
    here.unlink(missing_ok=True)


def _answer_all(listening: socket.socket, version: str) -> None:
    while True:
        try:
            client, _ = listening.accept()
        except OSError:
            return
        client.settimeout(30.0)
        threading.Thread(target=_answer, args=(client, version), daemon=True).start()


def _answer(client: socket.socket, version: str) -> None:
    facts = f"redis_version:{version}\r\nrun_id:{version}\r\nused_memory:1\r\n".encode()
    replies = {b"PING": b"+PONG\r\n", b"DBSIZE": b":0\r\n", b"INFO": b"$%d\r\n%b\r\n" % (len(facts), facts)}
    with client, client.makefile("rb") as stream, suppress(OSError, ValueError):
        while words := _command(stream):
            client.sendall(replies.get(words[0].upper(), b"-ERR unknown command `%b`\r\n" % words[0]))


def _command(stream: BinaryIO) -> list[bytes]:
    """The next command, a RESP array of bulk strings; empty at the end."""
    head = stream.readline()
    if not head.startswith(b"*"):
        return []
    words = []
    for _ in range(int(head[1:])):
        size = int(stream.readline()[1:])
        words.append(stream.read(size + 2)[:size])
    return words
