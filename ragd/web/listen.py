"""Opens the sockets the daemon answers on: a Unix socket for its owner alone, and a TCP one when configured."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import stat
from pathlib import Path

from ragd.domain.errors import ConfigInvalid, PathInvalid, StateLocked

MAX_PATH_BYTES = 107
"""The longest path of a Unix socket that the kernel takes."""


def unix_listener(path: Path) -> socket.socket:
    """A listening Unix socket at `path`, mode 0600; a stale one that nobody answers on is replaced.

    Raises PathInvalid for a path that cannot hold a socket, StateLocked when a daemon answers there.
    """
    size = len(os.fsencode(path))
    if size > MAX_PATH_BYTES:
        raise PathInvalid(
            f"the socket path {path} has {size} bytes, the system takes {MAX_PATH_BYTES}",
            hint="set http.socket to a shorter path, or move the state folder",
        )
    _clear(path)
    # Made under another name of the same length, and renamed: whoever sees the path is answered.
    unseen = path.with_name(("_" if path.name.startswith("-") else "-") + path.name[1:])
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        unseen.unlink(missing_ok=True)
        listener.bind(os.fsencode(unseen))
        # Nobody can connect before listen, so the mode is never wider than this for a client.
        unseen.chmod(0o600)
        listener.listen(socket.SOMAXCONN)
        unseen.rename(path)
    except OSError as error:
        listener.close()
        raise PathInvalid(
            f"no socket can be made at {path}: {os.strerror(error.errno or 0)}",
            hint="check that its folder exists and may be written, or set http.socket",
        ) from error
    listener.setblocking(False)
    return listener


def _clear(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(mode):
        raise PathInvalid(f"{path} is there and is not a socket", hint="remove it, or set http.socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2.0)
        try:
            probe.connect(os.fsencode(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            # A full backlog, a time-out or no permission: somebody is there.
            raise _locked(path) from error
    raise _locked(path)


def _locked(path: Path) -> StateLocked:
    return StateLocked(f"another process answers on {path}", hint="stop it, or set http.socket to another path")


def tcp_listener(address: str) -> socket.socket:
    """A listening TCP socket at `host:port`, an address of this machine; port 0 takes a free one.

    Who may come in is for the guard; a door beyond loopback opens only after `door.check_tokens`. Raises ConfigInvalid.
    """
    host, port = _parsed(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(socket.SOMAXCONN)
    except OSError as error:
        listener.close()
        reason = "it is in use" if error.errno == errno.EADDRINUSE else os.strerror(error.errno or 0)
        raise ConfigInvalid(f"http.tcp: cannot listen on {address}: {reason}", hint="choose another port") from error
    listener.setblocking(False)
    return listener


def _parsed(address: str) -> tuple[str, int]:
    name, _, port = address.rpartition(":")
    host = "127.0.0.1" if name == "localhost" else name.removeprefix("[").removesuffix("]")
    if not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ConfigInvalid(f"http.tcp: {address} has no port", hint="write it like 127.0.0.1:8377")
    try:
        ipaddress.ip_address(host)
    except ValueError as error:
        raise ConfigInvalid(f"http.tcp: {name!r} is not an address", hint="write it like 127.0.0.1:8377") from error
    return host, int(port)
