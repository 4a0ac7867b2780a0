"""Where the daemon is: at its Unix socket, or elsewhere behind the address and the token of two variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ragd.domain.errors import ConfigInvalid

URL_VARIABLE, TOKEN_VARIABLE = "RAGD_URL", "RAGD_TOKEN"
_SENDABLE = re.compile(r"[\x21-\x7e]*")


@dataclass(frozen=True, slots=True)
class Remote:
    """A daemon behind an address, `http://HOST:PORT` or `https://HOST/BELOW`, and the token it is asked with."""

    url: str
    token: str = field(default="", repr=False)

    def __str__(self) -> str:
        return self.url


Place = Path | Remote


def place_of(socket_path: Path, env: Mapping[str, str]) -> Place:
    """Where the daemon is: at RAGD_URL where that is set, with the token of RAGD_TOKEN, else at its socket.

    The token is taken from the environment alone: a command line can be read by every user of a machine.
    Raises ConfigInvalid.
    """
    url, token = env.get(URL_VARIABLE, ""), env.get(TOKEN_VARIABLE, "")
    if not url:
        return socket_path
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna")  # as a look-up will; what it refuses is a ValueError
        is_fine = parts.scheme in ("http", "https") and bool(host) and parts.port != 0
    except ValueError:
        is_fine = False
    if not is_fine or not _SENDABLE.fullmatch(url) or parts.username or parts.query or parts.fragment:
        raise ConfigInvalid(
            f"{URL_VARIABLE} is not the address of a daemon", hint="set it to one like http://127.0.0.1:8377"
        )
    if not _SENDABLE.fullmatch(token):
        raise ConfigInvalid(f"{TOKEN_VARIABLE} is not a token", hint="set it to what `ragd token add` printed")
    return Remote(url.rstrip("/"), token)
