"""`ragd retry`: failed files, once more."""

from __future__ import annotations

from typing import Annotated

import typer

from ragd.cli.options import AsJson, ConfigFile, StateFolder
from ragd.cli.paths import named_path
from ragd.cli.session import configuration, daemon, show_json


def retry(
    ctx: typer.Context,
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="[PATHS]...", help="Which ones; all when none is named.")
    ] = None,
    config: ConfigFile = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """Take failed files up again, all of them or those named."""
    asked = [named_path(path) or path for path in paths] if paths else None
    with daemon(configuration(ctx, config, state)) as client:
        answer = client.retry(asked)
    if as_json:
        show_json(answer)
        return
    number = answer["retried"]
    typer.echo(f"{number:,} {'file is' if number == 1 else 'files are'} tried again")
