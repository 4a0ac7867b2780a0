"""`ragd failed`: the files that could not be indexed, why, and what to do."""

from __future__ import annotations

from typing import Any

import typer

from ragd.cli.documents import Cursor, DocumentPath, OneCollection
from ragd.cli.options import AsJson, ConfigFile, Limit, StateFolder
from ragd.cli.paths import below_root
from ragd.cli.session import configuration, daemon_or_snapshot, roots, screen, show_json
from ragd.cli.terminal import one_line


def failed(
    ctx: typer.Context,
    path: DocumentPath = None,
    collection: OneCollection = None,
    limit: Limit = 100,
    cursor: Cursor = None,
    config: ConfigFile = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """List the files that could not be indexed, with the reason and what to do."""
    loaded = configuration(ctx, config, state)
    with daemon_or_snapshot(loaded) as answering:
        wanted = below_root(path, roots(answering, loaded)) if path else None
        answer: dict[str, Any] = answering.documents(
            state="failed", collection=collection, path=wanted, limit=limit or 100, cursor=cursor
        )
    if as_json:
        show_json(answer)
        return
    if not answer["documents"]:
        typer.echo("nothing failed", err=True)
    terminal = screen()
    for document in answer["documents"]:
        where = f"{one_line(document['root'])}/{one_line(document['path'])}"
        typer.echo(f"{terminal.bold(where)}: {one_line(document['reason'])}")
        if document["hint"]:
            typer.echo(f"  {terminal.dim('hint:')} {one_line(document['hint'])}")
    if answer["next"]:
        typer.echo(f"more with --cursor {answer['next']}", err=True)
