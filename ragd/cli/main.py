"""The `ragd` command: its global options and its commands, each from a file of its own."""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated

import typer

from ragd.cli import config as config_command
from ragd.cli import models, plugins, runs, service, token, triggers
from ragd.cli.backup import backup, restore
from ragd.cli.confirm_delete import confirm_delete
from ragd.cli.doctor import doctor
from ragd.cli.documents import documents
from ragd.cli.edge import Edge, tell
from ragd.cli.failed import failed
from ragd.cli.feedback import feedback
from ragd.cli.options import ConfigFile, StateFolder
from ragd.cli.receipts import receipts
from ragd.cli.reload import reload
from ragd.cli.rescan import rescan
from ragd.cli.retry import retry
from ragd.cli.run import run
from ragd.cli.search import search
from ragd.cli.session import Globals
from ragd.cli.spend import spend
from ragd.cli.status import status
from ragd.cli.top import top
from ragd.cli.train import train
from ragd.cli.verify import verify
from ragd.cli.version import print_version, version
from ragd.cli.worker import worker
from ragd.domain.errors import DiskFull

COMMANDS = (
    run,
    search,
    feedback,
    status,
    top,
    documents,
    receipts,
    failed,
    retry,
    rescan,
    reload,
    confirm_delete,
    verify,
    doctor,
    train,
    spend,
)
LAST_COMMANDS = (backup, restore, worker, version)
GROUPS = {
    "triggers": triggers,
    "runs": runs,
    "models": models,
    "plugins": plugins,
    "token": token,
    "config": config_command,
    "service": service,
}


def build() -> typer.Typer:
    """The whole command line as a typer application."""
    app = typer.Typer(
        name="ragd",
        cls=Edge,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback()(_globals)
    for command in COMMANDS:
        app.command()(command)
    for name, group in GROUPS.items():
        app.add_typer(group.build(), name=name)
    for last in LAST_COMMANDS:
        app.command()(last)
    return app


def main() -> None:
    """Runs the command line of this process and ends it with the command's exit code."""
    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding cannot show must not end a listing.
        getattr(stream, "reconfigure", lambda **_: None)(errors="backslashreplace")
    try:
        try:
            build()(prog_name="ragd")
        finally:
            _flush()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _give_up_output()
        tell(DiskFull("the disk is full: nothing more can be written", hint="make room where it goes"), is_json=False)
        sys.exit(DiskFull.exit_code)


def _globals(
    ctx: typer.Context,
    config: ConfigFile = None,
    state: StateFolder = None,
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=print_version, is_eager=True)
    ] = False,
) -> None:
    """Keep a search index equal to your folders, at every moment.

    Start with `ragd run FOLDER`, then ask with `ragd search "what you look for"`.
    """
    ctx.obj = Globals(config, state)


def _open_what_is_closed() -> None:
    """Standard streams that the caller closed read and take nothing; no other file may get their numbers."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
            setattr(sys, name, os.fdopen(number, "w" if number else "r"))


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _give_up_output()  # whoever read us has seen enough


def _give_up_output() -> None:
    # The interpreter's own flush must not complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
