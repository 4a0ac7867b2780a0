"""Follows a run to its end: a progress bar on a terminal, a line now and then elsewhere, and its end in words."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import typer

from ragd.cli.terminal import clip, one_line, safe
from ragd.cli.when import duration
from ragd.domain.errors import BudgetExceeded, GateRefused, RagdError, TrainingFailed

if TYPE_CHECKING:
    from ragd.cli.client import Client

Run = Mapping[str, Any]

ENDED: Final = ("done", "failed", "stopped")
_LOOK_S: Final = 0.3
_LINE_S: Final = 5.0
_WORTH_WAITING_S: Final = 5.0
_FOR_ANOTHER: Final = "waits for "  # the run under way, which ends by itself
_STAGES: Final = {
    "waiting": "waits",
    "queued": "is prepared",
    "running": "trains",
    "evaluating": "is compared with what serves",
}


def follow(client: Client, run_id: str, *, shows: bool = True, sleep: Callable[[float], None] = time.sleep) -> Run:
    """The run once it has ended. `shows` tells on stderr how far it is.

    Raises BudgetExceeded when the run waits for its budget or for the end of quiet hours, and what the daemon says.
    """
    with ExitStack() as stack:
        show = _shower(stack) if shows else _silent
        while True:
            run = client.learn("GET", f"runs/{run_id}")
            show(run)
            if run["state"] in ENDED:
                return run
            _check_waiting(run)
            sleep(_LOOK_S)


def verdict(run: Run) -> tuple[str, RagdError | None]:
    """How the run ended in one line, and the error that says so to programs; None when its model was promoted."""
    who, reason = f"{run['trainer']} ({run['id']})", one_line(str(run.get("reason") or ""))
    if run["state"] == "failed":
        hint = str(run.get("hint") or "") or f"see `ragd runs log {run['id']}`"
        return f"{who} failed", TrainingFailed(f"{who} failed: {reason}", hint=hint)
    if run["state"] == "stopped":
        hint = f"go on with `ragd runs resume {run['id']}`"
        return f"{who} was stopped", TrainingFailed(f"{who} was stopped{f': {reason}' if reason else ''}", hint=hint)
    if run.get("verdict") == "passed" or run.get("promoted"):
        took = duration(float(run.get("cpu_s") or 0.0))
        return f"{who} won and is promoted{f': {reason}' if reason else ''} ({took} of CPU)", None
    hint = f"what serves stays; see `ragd runs show {run['id']}`, or promote it all the same with `ragd models promote`"
    return f"{who} did not win", GateRefused(f"{who} was not promoted: {reason or 'the gate refused it'}", hint=hint)


def stage(run: Run) -> str:
    """What is being done with a run, in words."""
    state = str(run["state"])
    if state == "running" and run.get("total"):
        loss = (run.get("metrics") or {}).get("loss")
        return f"trains, {run['done']:,} of {run['total']:,}" + (f", loss {loss:.4g}" if loss is not None else "")
    if state == "waiting" and run.get("reason"):
        until, why = run.get("wait_until"), one_line(str(run["reason"]))
        return why if why.startswith(_FOR_ANOTHER) else f"waits{f' until {_moment(until)}' if until else ''}: {why}"
    return _STAGES.get(state, state)


def _check_waiting(run: Run) -> None:
    until, why = run.get("wait_until"), one_line(str(run.get("reason") or ""))
    if run["state"] != "waiting" or (until and until - time.time() < _WORTH_WAITING_S):
        return
    if not until and why and not why.startswith(_FOR_ANOTHER):
        raise BudgetExceeded(
            f"run {run['id']} waits, and would for ever: {why}",
            hint=f"set that limit higher and start the daemon again, or give it up with `ragd runs stop {run['id']}`",
        )
    if not until:
        return
    raise BudgetExceeded(
        f"run {run['id']} waits until {_moment(until)}: {why or 'the budget is spent'}",
        hint=f"it starts by itself; follow it with `ragd runs log -f {run['id']}`, or give it up with `ragd runs stop`",
    )


def _moment(at: float) -> str:
    return datetime.fromtimestamp(float(at)).astimezone().strftime("%Y-%m-%d %H:%M")


def _shower(stack: ExitStack) -> Callable[[Run], None]:
    return _bar(stack) if sys.stderr.isatty() else _Lines()


def _silent(run: Run) -> None:
    """Shows nothing."""


class _Lines:
    """Writes a line when the stage changes, and every five seconds."""

    def __init__(self) -> None:
        self._stage, self._at = "", 0.0

    def __call__(self, run: Run) -> None:
        now = time.monotonic()
        if run["state"] in ENDED or (run["state"] == self._stage and now - self._at < _LINE_S):
            return
        self._stage, self._at = str(run["state"]), now
        typer.echo(f"{run['trainer']} {stage(run)}", err=True)


def _bar(stack: ExitStack) -> Callable[[Run], None]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    )
    bar = stack.enter_context(Progress(*columns, console=Console(stderr=True), transient=True))
    task = bar.add_task("", total=None)

    def show(run: Run) -> None:
        words = escape(clip(safe(f"{run['trainer']} {stage(run)}"), 60))
        is_training = run["state"] == "running" and run.get("total")
        bar.update(task, description=words, total=run["total"] if is_training else None, completed=run.get("done") or 0)

    return show
