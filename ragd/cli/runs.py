"""`ragd runs`: what was trained, how it went, its log; stop one, take one up again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragd.cli.follow import ENDED, stage
from ragd.cli.names import run_ids
from ragd.cli.options import AsJson, ConfigFile, Limit, StateFolder
from ragd.cli.session import configuration, daemon, screen, show_json
from ragd.cli.terminal import Terminal, count, one_line, safe, table
from ragd.cli.when import ago, duration

if TYPE_CHECKING:
    from ragd.cli.client import Client

HEADERS = ("RUN", "TRAINER", "STATE", "ASKED", "CPU", "GAIN", "WHAT CAME OF IT")
_LOOK_S = 0.5
_COLOURS = {"done": Terminal.green, "failed": Terminal.red, "stopped": Terminal.yellow}


def build() -> typer.Typer:
    """The commands below `ragd runs`."""
    app = typer.Typer(help="See, stop and resume training runs.", no_args_is_help=True, rich_markup_mode=None)
    app.command("list")(list_runs)
    for command in (show, log, stop, resume):
        app.command()(command)
    return app


RunId = Annotated[
    str,
    typer.Argument(metavar="RUN", help="Its id, or the beginning of it.", autocompletion=run_ids, show_default=False),
]


def list_runs(
    ctx: typer.Context,
    limit: Limit = 20,
    trainer: Annotated[str | None, typer.Option("--trainer", metavar="NAME", help="Only runs of this trainer.")] = None,
    config: ConfigFile = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """List runs, newest first."""
    with daemon(configuration(ctx, config, state)) as client:
        answer = client.learn("GET", "runs", limit=limit or 20, trainer=trainer)
    if as_json:
        show_json(answer)
        return
    if not answer["runs"]:
        typer.echo("no runs yet: start one with `ragd train TRAINER`", err=True)
        return
    now = time.time()
    for line in table(HEADERS, [_row(run, now) for run in answer["runs"]], screen(), right="llllrrl"):
        typer.echo(line)


def show(
    ctx: typer.Context, run: RunId, config: ConfigFile = None, state: StateFolder = None, as_json: AsJson = False
) -> None:
    """Show one run: why it began, on what, what it cost, and what came of it."""
    with daemon(configuration(ctx, config, state)) as client:
        answer = client.learn("GET", f"runs/{run}")
    if as_json:
        show_json(answer)
        return
    terminal = screen()
    for name, text in _facts(answer, time.time()):
        typer.echo(f"{terminal.dim(name.ljust(12))} {text}")
    for reason in answer.get("reasons") or ():
        mark = terminal.green("+") if reason.get("holds") else terminal.dim("-")
        typer.echo(f"  {mark} {one_line(str(reason.get('text') or reason.get('condition')))}")
    report = answer.get("report")
    if report:
        typer.echo(f"\n{safe(str(report))}")


def log(
    ctx: typer.Context,
    run: RunId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
    config: ConfigFile = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """Print what a run printed; Ctrl-C ends the following, not the run."""
    with daemon(configuration(ctx, config, state)) as client:
        try:
            parts = _log_parts(client, run, follow=follow)
            if as_json:
                show_json({"run": run, "text": "".join(parts)})
                return
            for text in parts:
                typer.echo("\n".join(safe(line) for line in text.split("\n")), nl=False)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None


def stop(
    ctx: typer.Context, run: RunId, config: ConfigFile = None, state: StateFolder = None, as_json: AsJson = False
) -> None:
    """Ask a run to stop; it saves a checkpoint where it can."""
    with daemon(configuration(ctx, config, state)) as client:
        answer = client.learn("POST", f"runs/{run}/stop")
    if as_json:
        show_json(answer)
        return
    is_over = answer["state"] in ENDED
    typer.echo(f"{answer['id']} is {answer['state']}" if is_over else f"{answer['id']} is asked to stop")


def resume(
    ctx: typer.Context, run: RunId, config: ConfigFile = None, state: StateFolder = None, as_json: AsJson = False
) -> None:
    """Take up a stopped or failed run, from its checkpoint where there is one."""
    with daemon(configuration(ctx, config, state)) as client:
        answer = client.learn("POST", f"runs/{run}/resume")
    if as_json:
        show_json(answer)
        return
    typer.echo(f"{answer['id']} goes on: follow it with `ragd runs log -f {answer['id']}`")


def _log_parts(client: Client, run: str, *, follow: bool) -> Iterator[str]:
    offset = 0
    while True:
        part = client.learn("GET", f"runs/{run}/log", offset=offset)
        if part["text"]:
            yield str(part["text"])
        is_at_end = part["next"] == offset
        offset = int(part["next"])
        if is_at_end and (part["ended"] or not follow):
            return
        if is_at_end:
            time.sleep(_LOOK_S)


def _row(run: dict[str, Any], now: float) -> tuple[str, ...]:
    return (
        str(run["id"]),
        one_line(str(run["trainer"])),
        str(run["state"]),
        ago(float(run["requested_at"]), now) if run.get("requested_at") else "-",
        duration(float(run.get("cpu_s") or 0.0)) if run.get("cpu_s") else "-",
        f"{run['gain']:+.3f}" if isinstance(run.get("gain"), int | float) else "-",
        _ending(run),
    )


def _ending(run: dict[str, Any]) -> str:
    if run["state"] not in ENDED:
        return stage(run)
    words = {"passed": "won", "refused": "did not win"}.get(str(run.get("verdict") or ""), "")
    reason = one_line(str(run.get("reason") or ""))
    return ": ".join(part for part in (words, reason) if part) or "-"


def _facts(run: dict[str, Any], now: float) -> Iterator[tuple[str, str]]:
    terminal = screen()
    paint = _COLOURS.get(str(run["state"]), Terminal.bold)
    yield "run", str(run["id"])
    yield "trainer", f"{one_line(str(run['trainer']))} ({run['role']})"
    yield "state", paint(terminal, str(run["state"])) + (f", {stage(run)}" if run["state"] not in ENDED else "")
    yield (
        "asked",
        f"{ago(float(run['requested_at']), now)}, by {run.get('cause') or '?'}" if run.get("requested_at") else "-",
    )
    if run.get("examples"):
        yield "examples", count(run["examples"])
    attempts = run.get("attempts") or 0
    yield (
        "cost",
        (
            f"{duration(float(run.get('cpu_s') or 0))} of CPU, {duration(float(run.get('gpu_s') or 0))} of GPU, "
            f"{run.get('peak_memory_mb') or 0:,.0f} MiB at most" + (f", {attempts} attempts" if attempts > 1 else "")
        ),
    )
    yield "seed", str(run.get("seed"))
    for name, value in (run.get("metrics") or {}).items():
        yield one_line(str(name)), f"{value:.4g}" if isinstance(value, int | float) else one_line(str(value))
    if run["state"] in ENDED:
        yield "came of it", _ending(run)
    if run.get("hint"):
        yield "hint", one_line(str(run["hint"]))
