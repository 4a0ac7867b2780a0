"""`ragd worker`: one process that works for a daemon, here or on another machine."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from ragd.cli.options import ConfigFile, LogFormat, LogLevel, StateFolder
from ragd.cli.session import configuration
from ragd.domain.errors import BrokerUnavailable, NotFound

if TYPE_CHECKING:
    from ragd.config.schema import Config


class Kind(StrEnum):
    """What a worker does, and the queue it takes work from."""

    EXTRACT = "extract"
    EMBED = "embed"
    TRAIN = "train"


def worker(
    ctx: typer.Context,
    kind: Annotated[Kind, typer.Argument(help="What it does: read and split files, run the encoder, or train.")],
    redis_url: Annotated[
        str | None,
        typer.Option("--redis-url", metavar="URL", help="The daemon's Redis; without one that of the daemon here."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Start none: tell whether one works on this machine, as for a health check.")
    ] = False,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
    config: ConfigFile = None,
    state: StateFolder = None,
) -> None:
    """Work for a daemon: read files (extract), run the encoder (embed) or train models (train).

    The daemon starts its own workers; more can be started by hand, on any machine that reaches its Redis
    (and for extract, its folders). Stop with Ctrl-C: the work in hand is finished first; a run saves a checkpoint,
    and goes on when a worker takes it up again.
    """
    flags = {"redis.url": redis_url, "log.level": log_level, "log.format": log_format}
    loaded = configuration(ctx, config, state, flags)
    url = loaded.config.redis.address or _private_url(loaded.config)
    if check:
        _check(str(kind), url)
        return

    from ragd.config.logs import log_to_stderr
    from ragd.jobs.worker import worker_main

    log_to_stderr(loaded.config.log.level, loaded.config.log.format, process=kind)
    api_key, models = loaded.config.embed.api_key.get_secret_value(), loaded.config.state / "models"
    folder, readers = loaded.config.plugins_folder, None
    if kind is Kind.EXTRACT:
        from ragd.hooks.roster import readers_in

        readers = readers_in(folder, loaded.config.state, loaded.config.plugins.disabled)
    roots = [bytes(path.absolute()) for collection in loaded.config.collections for path in collection.folders]
    status = worker_main(
        str(kind),
        url,
        models,
        plugins=folder,
        readers=readers,
        roots=roots,
        api_key=api_key,
        endpoint=loaded.config.embed.url,
    )
    raise typer.Exit(status)


def _check(kind: str, url: str) -> None:
    """Raises NotFound unless a worker of this kind gives signs of life here, BrokerUnavailable."""
    import socket

    from ragd.jobs.broker import Broker
    from ragd.jobs.roll import workers

    broker, host = Broker(url), socket.gethostname()
    try:
        found = [each for each in workers(broker) if each.queue == kind and each.host == host]
    finally:
        broker.close()
    if not found:
        raise NotFound(f"no {kind} worker gives signs of life on {host}", hint=f"start one: `ragd worker {kind}`")
    for each in found:
        typer.echo(f"{each.name}: {each.problem or ('busy' if each.is_busy else 'idle')}")


def _private_url(config: Config) -> str:
    """The address of the Redis that a daemon on this machine started. Raises BrokerUnavailable when there is none."""
    from ragd.jobs.embedded import EmbeddedRedis

    private = EmbeddedRedis(config.state / "broker", config.redis.server)
    if not private.socket.exists():
        raise BrokerUnavailable(
            f"no Redis is named, and no daemon runs in {config.state}",
            hint="name the daemon's Redis: `ragd worker KIND --redis-url redis://HOST:6379`",
        )
    return private.url
