"""What is asked of whoever comes to the HTTP door, as one value: where it stands, names, tokens and limits."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from ragd.config.http import Http
from ragd.domain.errors import ConfigInvalid
from ragd.web.tokens import TokenFile

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how much; 0 requests a second sets no limit. Bytes of a head are h11's limit for a whole one."""

    head_s: float = 10.0
    body_s: float = 30.0
    request_s: float = 660.0
    write_s: float = 30.0
    connections: int = 256
    requests_per_s: float = 100.0
    burst: int = 200
    head_bytes: int = 128 * 1024
    """A query of 8192 characters is at most 98 kB once percent-encoded, more than h11's own limit."""
    body_bytes: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Door:
    """The rules of one server. `hosts` are names, small, without ports, that a Host header may give besides loopback's.

    Beyond loopback every request over TCP needs a token; on loopback only with `require_token`. Whoever comes through
    the Unix socket is its owner (its file mode says so) and needs none.
    """

    tcp: str = ""
    hosts: frozenset[str] = frozenset()
    require_token: bool = False
    limits: Limits = Limits()

    @property
    def is_wide(self) -> bool:
        """Whether it listens beyond loopback."""
        return bool(self.tcp) and not is_loopback(self.tcp)

    @property
    def needs_token(self) -> bool:
        """Whether a request over TCP needs a token."""
        return self.require_token or self.is_wide


def door_of(http: Http) -> Door:
    """The door that is configured."""
    limits = Limits(
        head_s=http.head_s,
        body_s=http.body_s,
        request_s=http.request_s,
        connections=http.connections,
        requests_per_s=http.requests_per_s,
        burst=http.burst,
    )
    return Door(http.tcp, frozenset(http.hosts), http.require_token, limits)


def check_tokens(door: Door, state: Path, now: float) -> None:
    """Nobody opens a door beyond loopback that no token opens. Raises ConfigInvalid, StateCorrupt."""
    if door.is_wide and not any(token.is_valid(now) for token in TokenFile(state).read()):
        raise ConfigInvalid(
            f"http.tcp: {door.tcp} can be reached from other machines, and there is no valid token",
            hint=f"make one: `ragd --state {state} token add NAME --role read`, or use 127.0.0.1:PORT",
        )


def is_loopback(address: str) -> bool:
    """Whether `host:port` is this machine's loopback."""
    host = address.rpartition(":")[0].removeprefix("[").removesuffix("]")
    return host == "localhost" or ipaddress.ip_address(host).is_loopback
