"""The HTTP door before a backend, as it is configured: its rules, its tokens, its sockets."""

from __future__ import annotations

import time

from ragd import __version__
from ragd.config.live import LiveConfig
from ragd.web.backend import Backend
from ragd.web.door import door_of
from ragd.web.routes import create_app
from ragd.web.server import Server
from ragd.web.tokens import TokenBook


def http_server(live: LiveConfig, backend: Backend) -> Server:
    """A server that is ready to start."""
    config = live.now
    door = door_of(config.http)
    check = TokenBook(config.state, time.time).check
    app = create_app(backend, __version__, default_limit=lambda: live.now.search.limit, door=door, check=check)
    return Server(app, config.socket_path, door.tcp, door.limits)
