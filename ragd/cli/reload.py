"""`ragd reload`: the daemon reads its configuration again."""

from __future__ import annotations

import typer

from ragd.cli.options import AsJson, ConfigFile, StateFolder
from ragd.cli.session import configuration, daemon, show_json


def reload(ctx: typer.Context, config: ConfigFile = None, state: StateFolder = None, as_json: AsJson = False) -> None:
    """Have the daemon read its configuration again, and go by what can change while it runs.

    A wrong configuration is refused, and the one before goes on. SIGHUP asks for the same.
    """
    with daemon(configuration(ctx, config, state)) as client:
        answer = client.reload()
    if as_json:
        show_json(answer)
        return
    typer.echo(f"changed: {', '.join(answer['changed']) or 'nothing'}")
    if answer["needs_restart"]:
        typer.echo(f"needs a restart: {', '.join(answer['needs_restart'])}")
