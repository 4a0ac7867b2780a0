"""`ragd train`: one run by hand, followed to its end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ragd.cli.edge import INTERRUPTED
from ragd.cli.follow import follow, verdict
from ragd.cli.names import trainer_names
from ragd.cli.options import AsJson, ConfigFile, StateFolder
from ragd.cli.session import configuration, daemon, screen, show_json
from ragd.domain.errors import BadRequest, NotFound


def train(
    ctx: typer.Context,
    trainer: Annotated[
        str,
        typer.Argument(metavar="TRAINER", help="Which trainer: see ragd plugins list.", autocompletion=trainer_names),
    ],
    on: Annotated[
        Path | None,
        typer.Option("--on", metavar="FILE", help="A file of pairs or prompts, instead of what is configured."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Promote the result whatever the gate says.")] = False,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Print the run's id and return.")] = False,
    config: ConfigFile = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """Train now, and put the result live if it beats what serves.

    The run waits for its budget like any other. Ctrl-C leaves it running. Ends with 0 when the result was
    promoted, 16 when the gate refused it, 15 when the run failed or was stopped, 17 when it waits for the budget.
    """
    if force and detach:
        raise BadRequest(
            "--force waits for the result, and --detach does not",
            hint="leave one out; `ragd models promote MODEL --force` does it later",
        )
    if on is not None and not on.exists():
        raise NotFound(f"{on} does not exist", hint="name a JSONL file or a folder in BEIR's layout")
    file = str(on.absolute()) if on else None
    with daemon(configuration(ctx, config, state)) as client:
        run_id = str(client.learn("POST", "train", trainer=trainer, on=file)["run"])
        if detach:
            show_json({"run": run_id}) if as_json else typer.echo(run_id)
            return
        try:
            run = follow(client, run_id, shows=not as_json)
        except KeyboardInterrupt:
            typer.echo(f"\nrun {run_id} goes on: follow it with `ragd runs log -f {run_id}`,", err=True)
            typer.echo(f"stop it with `ragd runs stop {run_id}`", err=True)
            raise typer.Exit(INTERRUPTED) from None
        if force and run.get("verdict") == "refused" and run.get("model_id") is not None:
            promoted = client.learn("POST", "models/promote", model=str(run["model_id"]), force=True)
            run = {**run, "promoted": True, "reason": f"as {promoted['model']}, though the gate refused it"}
    words, error = verdict(run)
    if as_json:
        show_json(run)
        raise typer.Exit(error.exit_code if error else 0)
    if error is not None:
        raise error
    typer.echo(screen().green(words))
