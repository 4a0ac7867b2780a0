"""An HTTP connection to a daemon, through its Unix socket or to an address."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ragd.cli.place import Place


@dataclass(frozen=True, slots=True)
class Line:
    """A connection that may be opened, what stands before every address, and the headers of every request."""

    http: http.client.HTTPConnection
    prefix: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def patience(self, timeout_s: float) -> None:
        """Seconds to wait for the next answer, also after the connection was closed in between."""
        self.http.timeout = timeout_s
        if self.http.sock is not None:
            self.http.sock.settimeout(timeout_s)


def line_to(place: Place, timeout_s: float) -> Line:
    """A line that is not open yet."""
    if isinstance(place, Path):
        return Line(_UnixConnection(place, timeout_s))
    parts = urlsplit(place.url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    headers = {"Authorization": f"Bearer {place.token}"} if place.token else {}
    return Line(kind(parts.hostname or "", parts.port, timeout=timeout_s), parts.path, headers)


class _UnixConnection(http.client.HTTPConnection):
    """An HTTP connection through a Unix socket."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(self.timeout)
            sock.connect(bytes(self._path))
        except OSError:
            sock.close()
            raise
        self.sock = sock
