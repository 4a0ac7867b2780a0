"""`ragd verify`: is the index equal to the catalog?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from ragd.cli.options import AsJson, ConfigFile, StateFolder
from ragd.cli.session import configuration, daemon, daemon_or_snapshot, screen, show_json
from ragd.cli.terminal import Terminal
from ragd.cli.when import duration
from ragd.domain.errors import Differs


def verify(
    ctx: typer.Context,
    repair: Annotated[bool, typer.Option("--repair", help="Make the index equal to the catalog.")] = False,
    config: ConfigFile = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """Compare the index with the catalog, chunk by chunk.

    Ends with exit code 11 when they differ and were not made equal.
    """
    loaded = configuration(ctx, config, state)
    if repair:
        with daemon(loaded) as client:
            answer = client.verify(repair=True)
    else:
        with daemon_or_snapshot(loaded) as answering:
            answer = answering.verify()
    if as_json:
        show_json(answer)
    else:
        for line in _lines(answer, screen()):
            typer.echo(line)
    if not answer["clean"] and not answer["repaired"]:
        raise typer.Exit(Differs.exit_code)


def _lines(answer: Mapping[str, Any], terminal: Terminal) -> list[str]:
    sides = f"{answer['catalog_chunks']:,} chunks in the catalog, {answer['index_chunks']:,} in the index"
    took = duration(answer["seconds"])
    if answer["clean"]:
        return [f"{terminal.green('equal')}: {sides} ({took})"]
    verdict = terminal.yellow("repaired") if answer["repaired"] else terminal.red("different")
    lines = [f"{verdict}: {sides} ({took})"]
    for name, meaning in (
        ("missing", "not in the index"),
        ("ghosts", "in the index only"),
        ("differing", "with another vector"),
    ):
        ids = answer[name]
        if ids:
            shown = ", ".join(str(chunk) for chunk in ids[:10]) + (", …" if len(ids) > 10 else "")
            lines.append(f"  {len(ids):,} {meaning}: {shown}")
    if not answer["repaired"]:
        lines.append("  make them equal with `ragd verify --repair`")
    return lines
