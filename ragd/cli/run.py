"""`ragd run`: the daemon, in the foreground."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragd.cli.options import ConfigFile, LogFormat, LogLevel, StateFolder
from ragd.cli.session import configuration
from ragd.domain.errors import ConfigInvalid, PathInvalid

if TYPE_CHECKING:
    from ragd.config.schema import Config

DEFAULT_COLLECTION = "default"

RedisUrl = Annotated[
    str | None,
    typer.Option("--redis-url", metavar="URL", help="A Redis server; without one a private one is started."),
]
Tcp = Annotated[
    str | None, typer.Option("--tcp", metavar="ADDRESS", help="Answer on this address too: 127.0.0.1:8377.")
]
EmbedWorkers = Annotated[
    int | None, typer.Option("--embed-workers", metavar="N", min=0, max=256, help="Processes that run the encoder.")
]


def run(
    ctx: typer.Context,
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FOLDERS]...", help="What to index, instead of the configured collections."),
    ] = None,
    redis_url: RedisUrl = None,
    tcp: Tcp = None,
    embed_workers: EmbedWorkers = None,
    until_indexed: Annotated[
        bool, typer.Option("--until-indexed", help="Stop as soon as everything is searchable.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress; log only warnings.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every step.")] = False,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
    config: ConfigFile = None,
    state: StateFolder = None,
) -> None:
    """Index folders and keep the index equal to them, until stopped.

    Named FOLDERS become the one collection `default`. Stop with Ctrl-C; what is done stays done.
    """
    flags: dict[str, object] = {"redis.url": redis_url, "http.tcp": tcp, "workers.embed": embed_workers}
    flags |= {"log.level": log_level, "log.format": log_format}
    if folders:
        flags["collections"] = [{"name": DEFAULT_COLLECTION, "folders": _present(folders)}]
    if (quiet or verbose) and log_level is None:
        flags["log.level"] = "debug" if verbose else "warning"

    def load() -> Config:
        found = configuration(ctx, config, state, flags).config
        _check(found)
        return found

    loaded = load()

    from ragd.daemon.heaps import share_one_heap

    share_one_heap()
    from ragd.daemon.run import run as run_daemon

    is_watched = not (quiet or "NOTIFY_SOCKET" in os.environ)  # a service manager's log is no place for progress
    raise typer.Exit(run_daemon(loaded, until_indexed=until_indexed, progress=is_watched, load_again=load))


def _present(folders: list[Path]) -> list[Path]:
    """The folders as given. A configured folder may come later; one typed just now should be there."""
    for folder in folders:
        if not folder.expanduser().is_dir():
            problem = "is not a folder" if folder.exists() else "does not exist"
            raise PathInvalid(f"{folder} {problem}", hint="name the folder whose files are to be searchable")
    return folders


def _check(config: Config) -> None:
    if not config.collections:
        raise ConfigInvalid(
            "there is nothing to index: no folder is named and no collection is configured",
            hint="name one, `ragd run FOLDER`, or write a configuration, `ragd config init`",
        )
