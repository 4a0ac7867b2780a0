"""The options that several commands share, and what a shell completes for them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ragd.domain.errors import ConfigInvalid


def collection_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """The configured collections that begin like this; none when the configuration is not in order."""
    from ragd.config.load import load

    try:
        config = load(ctx.params.get("config"), os.environ, {}).config
    except ConfigInvalid:
        return []
    return [collection.name for collection in config.collections if collection.name.startswith(incomplete)]


ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="The configuration file.", show_default=False)
]
StateFolder = Annotated[
    Path | None, typer.Option("--state", metavar="FOLDER", help="The state folder.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Collections = Annotated[
    list[str] | None,
    typer.Option(
        "--collection",
        "-c",
        metavar="NAME",
        help="Only this collection; may be repeated.",
        autocompletion=collection_names,
    ),
]
LogLevel = Annotated[
    str | None, typer.Option("--log-level", metavar="LEVEL", help="Log from here on: debug, info, warning or error.")
]
LogFormat = Annotated[
    str | None, typer.Option("--log-format", metavar="FORMAT", help="A line's form: auto, logfmt, json or journald.")
]
Limit = Annotated[int | None, typer.Option("--limit", "-n", metavar="N", min=1, max=1000, help="At most this many.")]
