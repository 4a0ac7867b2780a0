"""`ragd rescan`: walk the folders now."""

from __future__ import annotations

from typing import Annotated

import typer

from ragd.cli.options import AsJson, ConfigFile, StateFolder
from ragd.cli.paths import named_path
from ragd.cli.session import configuration, daemon, show_json


def rescan(
    ctx: typer.Context,
    folder: Annotated[
        str | None, typer.Argument(metavar="FOLDER", help="Only this one; every one when none is named.")
    ] = None,
    config: ConfigFile = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """Walk the folders now and take up whatever differs."""
    with daemon(configuration(ctx, config, state)) as client:
        answer = client.rescan(named_path(folder))
    if as_json:
        show_json(answer)
        return
    typer.echo("the walk has begun; see `ragd status`")
