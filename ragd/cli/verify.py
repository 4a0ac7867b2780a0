"""`ragd verify`: is the index equal to the catalog, and with `--deep` the catalog to the files?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from ragd.cli.options import AsJson, ConfigFile, StateFolder
from ragd.cli.session import configuration, daemon, daemon_or_snapshot, screen, show_json
from ragd.cli.terminal import Terminal, safe, size
from ragd.cli.when import duration
from ragd.domain.errors import Differs

SHOWN = 10


def verify(
    ctx: typer.Context,
    full: Annotated[
        bool, typer.Option("--full", help="Compare every row, not only the digests of both sides.")
    ] = False,
    deep: Annotated[bool, typer.Option("--deep", help="Read every file again as well, and compare its bytes.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Make the index equal to the catalog, and take differing files up again.")
    ] = False,
    config: ConfigFile = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """Prove that the index equals the catalog, in milliseconds, by the digests that both sides keep.

    The daemon does so by itself at every start and every hour, and repairs what differs from the stored vectors.
    Ends with exit code 11 when something differs and was not made equal.
    """
    loaded = configuration(ctx, config, state)
    if repair:
        with daemon(loaded) as client:
            answer = client.verify(repair=True, full=full or deep)
    else:
        with daemon_or_snapshot(loaded) as answering:
            answer = answering.verify(full=full or deep)
    files: dict[str, Any] | None = None
    if deep:
        from ragd.cli.deep import read_again

        files = read_again(loaded.config.state)
        if repair and files["differing"]:
            with daemon(loaded) as client:
                files["taken_up"] = client.reread([each["id"] for each in files["differing"]])["reread"]
    if as_json:
        show_json(answer if files is None else {**answer, "files": files})
    else:
        terminal = screen()
        for line in [*_lines(answer, terminal), *(_file_lines(files, terminal) if files is not None else ())]:
            typer.echo(line)
    is_equal = answer["clean"] or answer["repaired"]
    if not is_equal or (files is not None and len(files["differing"]) > files["taken_up"]):
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
            shown = ", ".join(str(chunk) for chunk in ids[:SHOWN]) + (", …" if len(ids) > SHOWN else "")
            lines.append(f"  {len(ids):,} {meaning}: {shown}")
    if answer["miscounted"]:
        lines.append("  the rows are equal, and a digest that was kept of them was not")
    lines += [f"  {fault}" for fault in answer["faults"]]
    if not answer["repaired"]:
        lines.append("  make them equal with `ragd verify --repair`")
    return lines


def _file_lines(files: Mapping[str, Any], terminal: Terminal) -> list[str]:
    differing = files["differing"]
    read = f"{files['read']:,} files read again, {size(files['size_bytes'])} ({duration(files['seconds'])})"
    on_the_way = f"; {files['moved_on']:,} changed meanwhile and are on their way" if files["moved_on"] else ""
    if not differing:
        return [f"{terminal.green('equal')}: {read}{on_the_way}"]
    verdict = terminal.yellow("taken up again") if files["taken_up"] else terminal.red("different")
    lines = [f"{verdict}: {read}{on_the_way}"]
    for each in differing[:SHOWN]:
        why = each["reason"] or "its bytes are others, though its times did not change"
        lines.append(f"  {safe(each['path'])}: {safe(why)}")
    if len(differing) > SHOWN:
        lines.append(f"  … and {len(differing) - SHOWN:,} more (--json has them all)")
    if not files["taken_up"]:
        lines.append("  take them up again with `ragd verify --deep --repair`")
    return lines
