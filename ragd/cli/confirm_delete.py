"""`ragd confirm-delete`: let go of deletions that are held because too much was missing at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from ragd.cli.options import AsJson, ConfigFile, StateFolder
from ragd.cli.session import configuration, daemon, show_json
from ragd.cli.terminal import safe
from ragd.domain.errors import BadRequest, NotFound


def confirm_delete(
    ctx: typer.Context,
    folder: Annotated[
        str | None, typer.Argument(metavar="FOLDER", help="Only of this watched folder; of every one without it.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigFile = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """Agree that documents which went missing all at once are deleted.

    When a folder is empty, is another one, or lacks more than 30 % of its documents at once, nothing is deleted until
    you say so here. Putting the files back, or mounting the folder again, lifts the hold by itself. With --json and
    without --yes it only lists what is held.
    """
    with daemon(configuration(ctx, config, state)) as client:
        wanted = os.path.abspath(os.path.expanduser(folder)) if folder else None
        named = [one for one in client.status()["watch"] if wanted in (None, one["folder"])]
        if wanted and not named:
            raise NotFound(f"{wanted} is not a watched folder", hint="`ragd status` lists the folders")
        held = [one for one in named if one.get("held")]
        if not as_json:
            for line in _lines(held):
                typer.echo(line)
        missing = sum(one["held"]["missing"] for one in held)
        if not (yes or as_json or not held):
            _ask(missing)
        confirmed = client.confirm_delete(wanted, most=missing)["confirmed"] if held and (yes or not as_json) else []
    if as_json:
        show_json({"held": [{"folder": one["folder"], **one["held"]} for one in held], "confirmed": confirmed})
        return
    for one in confirmed:
        typer.echo(f"agreed: {one['missing']:,} documents of {safe(one['folder'])} leave the index")


def _lines(held: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not held:
        yield "nothing is held"
    for one in held:
        hold = one["held"]
        yield f"{safe(one['folder'])}: {hold['missing']:,} of {hold['known']:,} documents are missing"
        yield from (f"  {safe(path)}" for path in hold["examples"])
        rest = hold["missing"] - len(hold["examples"])
        if rest > 0:
            yield f"  and {rest:,} more"


def _ask(missing: int) -> None:
    """Raises BadRequest when nobody is there to be asked, or says no."""
    if not sys.stdin.isatty():
        raise BadRequest(
            f"{missing:,} documents are held, and nobody can be asked; nothing was deleted",
            hint="run it on a terminal, or with --yes",
        )
    if not typer.confirm(f"Remove these {missing:,} documents from the index?"):
        raise BadRequest("nothing was deleted", hint="put the files back, and the hold is lifted by itself")
