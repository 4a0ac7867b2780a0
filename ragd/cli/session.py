"""What a command works with: the configuration its flags ask for, and whoever can answer."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ragd.cli.place import URL_VARIABLE, place_of
from ragd.cli.terminal import Terminal
from ragd.domain.errors import DaemonUnreachable

if TYPE_CHECKING:
    from ragd.cli.client import Client
    from ragd.cli.snapshot import Snapshot
    from ragd.config.load import Loaded


@dataclass(frozen=True, slots=True)
class Globals:
    """The options given before the command's name."""

    config: Path | None = None
    state: Path | None = None


def configuration(
    ctx: typer.Context, config: Path | None, state: Path | None, flags: Mapping[str, object] | None = None
) -> Loaded:
    """The configuration with flags on top; an option after the command's name wins over one before it.

    Raises ConfigInvalid.
    """
    from ragd.config.load import load

    before = ctx.find_object(Globals) or Globals()
    given: dict[str, object] = {name: value for name, value in (flags or {}).items() if value is not None}
    folder = state or before.state
    if folder is not None:
        given["state"] = folder
    return load(config or before.config, os.environ, given)


@contextmanager
def daemon(loaded: Loaded) -> Iterator[Client]:
    """A connection to the daemon. Raises DaemonUnreachable when there is none."""
    asked = client(loaded)
    try:
        asked.connect()
        yield asked
    finally:
        asked.close()


@contextmanager
def daemon_or_snapshot(loaded: Loaded) -> Iterator[Client | Snapshot]:
    """The daemon, or where none runs on this machine the state folder opened read only, which is said on stderr.

    Both have the methods search, status, documents, receipts and verify with the same answers.
    Raises DaemonUnreachable when there is neither.
    """
    asked = client(loaded)
    answering: Client | Snapshot = asked
    try:
        asked.connect()
    except DaemonUnreachable as error:
        if os.environ.get(URL_VARIABLE):
            raise
        answering = _snapshot(loaded, error)
    try:
        yield answering
    finally:
        answering.close()


def roots(answering: Client | Snapshot, loaded: Loaded) -> list[str]:
    """The watched folders, as absolute paths: those that the daemon tells, and those configured."""
    told = [str(root["folder"]) for root in answering.status()["watch"] if "folder" in root]
    return told + [str(folder) for collection in loaded.config.collections for folder in collection.folders]


def client(loaded: Loaded) -> Client:
    """A client of the daemon that is not connected yet. Raises ConfigInvalid."""
    from ragd.cli.client import Client

    return Client(place_of(loaded.config.socket_path, os.environ))


def _snapshot(loaded: Loaded, unreachable: DaemonUnreachable) -> Snapshot:
    from ragd.cli.snapshot import Snapshot, holds_index

    state = loaded.config.state
    if not holds_index(state):
        raise DaemonUnreachable(
            f"no daemon is running and {state} holds no index yet", hint="start one with `ragd run FOLDER`"
        ) from unreachable
    typer.echo(f"no daemon is running: answering from the last snapshot of {state}", err=True)
    return Snapshot(loaded.config)


def show_json(value: object) -> None:
    """Prints one JSON document on stdout."""
    import json

    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def screen() -> Terminal:
    """The terminal behind stdout."""
    return Terminal.of(sys.stdout, os.environ)
