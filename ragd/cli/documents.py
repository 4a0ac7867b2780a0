"""`ragd documents`: every file that ragd knows, and where it stands."""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from ragd.cli.options import AsJson, ConfigFile, Limit, StateFolder, collection_names
from ragd.cli.paths import below_root
from ragd.cli.session import configuration, daemon_or_snapshot, roots, screen, show_json
from ragd.cli.terminal import count, one_line, size, table
from ragd.cli.when import ago


class Standing(StrEnum):
    """Where a document stands; the values of `domain.documents.DocumentState`."""

    PENDING = "pending"
    TEXT = "text"
    SEARCHABLE = "searchable"
    FAILED = "failed"


DocumentPath = Annotated[
    str | None, typer.Argument(metavar="PATH", help="Only this file, or files below this folder.", show_default=False)
]
OneCollection = Annotated[
    str | None,
    typer.Option("--collection", "-c", metavar="NAME", help="Only this collection.", autocompletion=collection_names),
]
Cursor = Annotated[
    str | None, typer.Option("--cursor", metavar="CURSOR", help="Go on where a page ended.", show_default=False)
]


def documents(
    ctx: typer.Context,
    path: DocumentPath = None,
    only: Annotated[Standing | None, typer.Option("--only", help="Only documents that stand there.")] = None,
    collection: OneCollection = None,
    limit: Limit = 100,
    cursor: Cursor = None,
    config: ConfigFile = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """List documents with their state, chunks, size and age.

    A document is pending, found by words (text), by words and meaning (searchable), or failed.
    """
    loaded = configuration(ctx, config, state)
    with daemon_or_snapshot(loaded) as answering:
        wanted = below_root(path, roots(answering, loaded)) if path else None
        answer = answering.documents(
            state=str(only) if only else None,
            collection=collection,
            path=wanted,
            limit=limit or 100,
            cursor=cursor,
        )
    if as_json:
        show_json(answer)
        return
    if not answer["documents"]:
        typer.echo("no documents", err=True)
        return
    now = time.time()
    rows = [_row(document, now) for document in answer["documents"]]
    headers = ("STATE", "CHUNKS", "SIZE", "MODIFIED", "COLLECTION", "PATH")
    for line in table(headers, rows, screen(), right="lrrr"):
        typer.echo(line)
    if answer["next"]:
        typer.echo(f"more with --cursor {answer['next']}", err=True)


def _row(document: Mapping[str, Any], now: float) -> tuple[str, ...]:
    chunks, embedded = document["chunks"], document["chunks_embedded"]
    return (
        document["state"],
        count(chunks) if chunks == embedded else f"{count(embedded)}/{count(chunks)}",
        size(document["size_bytes"]),
        ago(document["modified_at"], now),
        one_line(document["collection"]),
        one_line(document["path"]),
    )
