"""The configuration of the HTTP door: where it stands, by which names it is reached, and how much it takes."""

from __future__ import annotations

from pydantic import Field, field_validator

from ragd.config import rules
from ragd.config.section import Section


class Http(Section):
    """Where the daemon answers, and how much one client may ask."""

    socket: str = Field(default="", description="Path of the Unix socket; empty is `ragd.sock` in the state folder.")
    tcp: str = Field(
        default="",
        description="An address to answer on as well, for example `127.0.0.1:8377`; empty for none. "
        "Beyond loopback every request needs a token.",
    )
    hosts: tuple[str, ...] = Field(
        default=(), description="Names by which clients may reach `tcp`, besides loopback's and the address itself."
    )
    require_token: bool = Field(default=False, description="Ask for a token on loopback TCP too.")
    head_s: float = Field(default=10.0, gt=0, le=600, description="Seconds in which a request's head must arrive.")
    body_s: float = Field(default=30.0, gt=0, le=600, description="Seconds in which a request's body must arrive.")
    request_s: float = Field(
        default=660.0, gt=0, le=86400, description="Seconds after which a request that is not answered yet is given up."
    )
    connections: int = Field(
        default=256, ge=1, le=10_000, description="Connections open at once over TCP, and as many over the socket."
    )
    requests_per_s: float = Field(
        default=100.0, ge=0, description="Requests a second of one token, or one address, over TCP; 0 sets no limit."
    )
    burst: int = Field(default=200, ge=1, description="Requests that may come at once before that limit counts.")

    @field_validator("tcp")
    @classmethod
    def _address(cls, value: str) -> str:
        return rules.tcp_address(value)

    @field_validator("hosts")
    @classmethod
    def _names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return rules.host_names(value)
