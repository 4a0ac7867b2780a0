"""The HTTP door before a backend, as it is configured: its rules, its tokens, its sockets."""

from __future__ import annotations

import time

from ragd import __version__
from ragd.config.schema import Config
from ragd.web.backend import Backend
from ragd.web.door import door_of
from ragd.web.routes import create_app
from ragd.web.server import Server
from ragd.web.tokens import TokenBook


def http_server(config: Config, backend: Backend) -> Server:
    """A server that is ready to start."""
    door = door_of(config.http)
    check = TokenBook(config.state, time.time).check
    app = create_app(backend, __version__, default_limit=config.search.limit, door=door, check=check)
    return Server(app, config.socket_path, door.tcp, door.limits)
