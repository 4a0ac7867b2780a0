"""`ragd receipts`: the way of recent changes, step by step, in milliseconds."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from ragd.cli.documents import DocumentPath
from ragd.cli.options import AsJson, ConfigFile, Limit, StateFolder
from ragd.cli.paths import below_root
from ragd.cli.session import configuration, daemon_or_snapshot, roots, screen, show_json
from ragd.cli.terminal import count, one_line, table
from ragd.cli.when import ago

STEPS = ("stable", "extracted", "text_searchable", "searchable")
HEADERS = ("RECEIPT", "SEEN", "ACTION", "SETTLED", "READ", "WORDS", "MEANING", "ENCODED", "OUTCOME", "PATH")


def receipts(
    ctx: typer.Context,
    path: DocumentPath = None,
    limit: Limit = 20,
    pending: Annotated[
        bool | None, typer.Option("--pending/--done", help="Only changes that still wait, or that are done.")
    ] = None,
    config: ConfigFile = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """List recent changes with the time each step took.

    Times are milliseconds since the change was first seen, when it had settled, was read, was found by words,
    and by meaning; ENCODED counts the characters that were new to the encoder.
    """
    loaded = configuration(ctx, config, state)
    with daemon_or_snapshot(loaded) as answering:
        wanted = below_root(path, roots(answering, loaded)) if path else None
        answer = answering.receipts(path=wanted, limit=limit or 20, pending=pending)
    if as_json:
        show_json(answer)
        return
    if not answer["receipts"]:
        typer.echo("no receipts", err=True)
        return
    now = time.time()
    rows = [_row(receipt, now) for receipt in answer["receipts"]]
    for line in table(HEADERS, rows, screen(), right="rllrrrrrll"):
        typer.echo(line)


def _row(receipt: Mapping[str, Any], now: float) -> tuple[str, ...]:
    seen = receipt["seen_at"]
    times = [receipt[f"{step}_at"] for step in STEPS]
    return (
        str(receipt["id"]),
        ago(seen, now) if seen else "-",
        receipt["action"],
        *(f"{(at - seen) * 1000:,.0f}" if at and seen else "-" for at in times),
        count(receipt["encoded_chars"]),
        receipt["outcome"] or "waits",
        one_line(receipt["path"]),
    )
