"""`ragd top`: how the daemon fares, on one screen that is drawn anew every moment."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from ragd.cli.options import ConfigFile, StateFolder
from ragd.cli.session import client, configuration, screen
from ragd.cli.terminal import Terminal
from ragd.cli.top_frame import frame, waiting
from ragd.domain.errors import DaemonUnreachable, TimedOut

Show = Callable[[Sequence[str]], None]


def top(
    ctx: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Print one frame and end.")] = False,
    every_s: Annotated[
        float, typer.Option("--every", "-n", metavar="SECONDS", min=0.2, max=3600, help="Between two looks.")
    ] = 2.0,
    config: ConfigFile = None,
    state: StateFolder = None,
) -> None:
    """Show live how the daemon fares: state, freshness, queues, workers, index, rates, spending and the last proof.

    Figures of freshness and rates are of the last five minutes. Ctrl-C ends it. While no daemon answers it says so, and
    waits for one; with `--once` that is an error.
    """
    daemon = client(configuration(ctx, config, state))
    try:
        if once:
            for line in frame(daemon.status(), screen(), _clock()):
                typer.echo(line)
            return
        with _shown() as show:
            watch(daemon.status, show, screen, every_s=every_s)
    except KeyboardInterrupt:
        return
    finally:
        daemon.close()


def watch(
    status: Callable[[], Mapping[str, Any]],
    show: Show,
    terminal: Callable[[], Terminal],
    *,
    every_s: float,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Shows a frame every `every_s` seconds until it is interrupted; a daemon that goes away is waited for."""
    while True:
        try:
            lines = frame(status(), terminal(), _clock())
        except (DaemonUnreachable, TimedOut) as error:
            lines = waiting(str(error), terminal(), _clock())
        show(lines)
        sleep(every_s)


@contextmanager
def _shown() -> Iterator[Show]:
    """A way to show frames: each in place of the one before on a terminal, one after the other elsewhere."""
    if not sys.stdout.isatty():
        yield lambda lines: typer.echo("\n".join([*lines, ""]))
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with Live(console=Console(), screen=True, auto_refresh=False) as live:
        yield lambda lines: live.update(
            Text.from_ansi("\n".join(lines[: live.console.height]), no_wrap=True, overflow="crop"), refresh=True
        )


def _clock() -> str:
    return time.strftime("%H:%M:%S")
