"""`ragd triggers`: which trainers fire and why, where the ladder stands, and what another policy would have done."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ragd.cli.names import trainer_names
from ragd.cli.options import AsJson, ConfigFile, StateFolder
from ragd.cli.session import configuration, daemon, screen, show_json
from ragd.cli.terminal import Terminal, count, one_line, table
from ragd.cli.when import ago, duration

Facts = Mapping[str, Any]
TrainerName = Annotated[
    str, typer.Argument(metavar="TRAINER", help="Its name: see `ragd triggers list`.", autocompletion=trainer_names)
]
_GATES = ("enabled", "examples", "warmup", "cooldown")


def build() -> typer.Typer:
    """The commands below `ragd triggers`."""
    app = typer.Typer(
        help="See when trainers fire, why or why not, and try another policy on the past.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    app.command("list")(list_triggers)
    for command in (explain, simulate, fire):
        app.command()(command)
    return app


def list_triggers(
    ctx: typer.Context, config: ConfigFile = None, state: StateFolder = None, as_json: AsJson = False
) -> None:
    """List every trainer: whether it fires now, what is missing, and what a run would cost."""
    with daemon(configuration(ctx, config, state)) as client:
        answer = client.learn("GET", "triggers")
    if as_json:
        show_json(answer)
        return
    if not answer["triggers"]:
        typer.echo("no plugin offers a trainer: see `ragd plugins list`", err=True)
        return
    now = time.time()
    rows = [_row(each, now) for each in answer["triggers"]]
    for line in table(("TRAINER", "ROLE", "FIRES", "LAST RUN", "A RUN", "WHY"), rows, screen(), right="llllrl"):
        typer.echo(line)


def explain(
    ctx: typer.Context,
    trainer: Annotated[
        str | None,
        typer.Argument(metavar="[TRAINER]", help="Only this one.", autocompletion=trainer_names, show_default=False),
    ] = None,
    config: ConfigFile = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """Explain a trainer, or every one: each condition with its figures, the ladder, and the latest decisions."""
    with daemon(configuration(ctx, config, state)) as client:
        if trainer is not None:
            names = [trainer]
        else:
            names = [str(each["trainer"]) for each in client.learn("GET", "triggers")["triggers"]]
        answers = [client.learn("GET", f"triggers/{name}") for name in names]
    if as_json:
        show_json(answers[0] if trainer is not None else {"triggers": answers})
        return
    for number, answer in enumerate(answers):
        for line in explained(answer, screen(), time.time(), has_history=trainer is not None):
            typer.echo(line)
        if number < len(answers) - 1:
            typer.echo("")


def simulate(
    ctx: typer.Context,
    policy: Annotated[
        Path, typer.Option("--policy", metavar="FILE", help="A TOML file with [trainers.NAME] tables, as in ragd.toml.")
    ],
    days: Annotated[
        float | None, typer.Option("--days", min=0, help="Only the last days; without it all that is kept.")
    ] = None,
    config: ConfigFile = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """Replay the kept decisions under another policy: when it would have fired, and what that would have cost.

    Needs no daemon. The file's [budget], where it has one, counts instead of the configured one.
    """
    from ragd.cli.simulation import replayed, told

    loaded = configuration(ctx, config, state)
    now = time.time()
    replays, budget = replayed(loaded.config, policy, since=0.0 if days is None else now - days * 86400)
    if as_json:
        show_json(told(replays, budget))
        return
    for line in simulated(told(replays, budget), screen()):
        typer.echo(line)


def fire(
    ctx: typer.Context,
    trainer: TrainerName,
    config: ConfigFile = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """Fire a trigger by hand: a run begins as if its conditions held; it waits for the budget like any other."""
    with daemon(configuration(ctx, config, state)) as client:
        answer = client.learn("POST", "train", trainer=trainer, by="fire")
    if as_json:
        show_json(answer)
        return
    run = one_line(str(answer["run"]))
    typer.echo(f"run {run} begins: follow it with `ragd runs log -f {run}`")


def explained(answer: Facts, terminal: Terminal, now: float, *, has_history: bool) -> list[str]:
    """The whole explanation of one trainer, a line each."""
    head = terminal.green("fires now") if answer["fires"] else terminal.dim("does not fire")
    if answer.get("wait_until") and not answer["fires"]:
        head += f", may in {duration(max(0.0, answer['wait_until'] - now))}"
    lines = [f"{terminal.bold(one_line(str(answer['trainer'])))}: {head}"]
    for reason in answer["reasons"]:
        lines.append(
            f"  {_mark(reason, terminal)} {one_line(str(reason['condition']))}: {one_line(str(reason['text']))}"
        )
    if answer.get("ladder"):
        lines += ["", *_ladder(answer, terminal, now)]
    if has_history and answer.get("history"):
        lines += ["", *_history(answer["history"], terminal, now)]
    return lines


def simulated(answer: Facts, terminal: Terminal) -> list[str]:
    """The outcome of a replay: a line for each trainer, then each moment at which it would have fired."""
    rows = [
        (
            one_line(each["trainer"]),
            count(each["looked"]),
            str(len(each["firings"])),
            str(each["held"] or "-"),
            _cost(each["cost"], answer),
            str(each["real_runs"]),
            _cost(each["real_cost"], answer),
        )
        for each in answer["trainers"]
    ]
    total = answer["total"]
    rows.append(
        (
            "all",
            "",
            str(total["runs"]),
            "",
            _cost(total["cost"], answer),
            str(total["real_runs"]),
            _cost(total["real_cost"], answer),
        )
    )
    headers = ("TRAINER", "DECISIONS", "RUNS", "HELD", "COST", "REAL RUNS", "REAL COST")
    lines = table(headers, rows, terminal, right="lrrrrrr")
    for each in answer["trainers"]:
        lines += _firings(each, answer, terminal)
    lines += ["", terminal.dim("counted without the ladder; what a run would have changed is not known")]
    return lines


def _firings(each: Facts, answer: Facts, terminal: Terminal) -> Iterator[str]:
    yield ""
    name = terminal.bold(one_line(each["trainer"]))
    if not each["looked"]:
        yield f"{name}: nothing is kept that could be replayed"
        return
    borrowed = f", shown what {one_line(each['kept_by'])} observed" if each["kept_by"] != each["trainer"] else ""
    yield f"{name}: {_moment(each['since'])} to {_moment(each['until'])}{borrowed}"
    for firing in each["firings"]:
        why = "; ".join(one_line(r["text"]) for r in firing["reasons"] if r["condition"] not in _GATES)
        yield f"  {_moment(firing['at'])}  {_cost(firing['cost'], answer)}  {why}"
    if not each["firings"]:
        yield "  would not have run"


def _row(each: Facts, now: float) -> tuple[str, ...]:
    until = each.get("wait_until")
    fires = "yes" if each["fires"] else f"in {duration(max(0.0, until - now))}" if until else "no"
    last = each.get("last_run_at")
    return (
        one_line(str(each["trainer"])),
        str(each["role"]),
        fires,
        ago(float(last), now) if last else "never",
        _seconds(each["estimate"]) if each.get("estimate") else "-",
        one_line(_why(each)),
    )


def _why(each: Facts) -> str:
    """What holds when it fires; otherwise the first gate that is shut, or what the conditions say."""
    reasons: Sequence[Facts] = each["reasons"]
    shut = [r for r in reasons if r["condition"] in _GATES and not r["holds"]]
    conditions = [r for r in reasons if r["condition"] not in _GATES]
    if shut and not each["fires"]:
        return str(shut[0]["text"])
    shown = [r for r in conditions if r["holds"]] or conditions
    return "; ".join(str(r["text"]) for r in shown)


def _ladder(answer: Facts, terminal: Terminal, now: float) -> Iterator[str]:
    because = f", started by {one_line(str(answer['because']))}" if answer.get("because") else ""
    yield terminal.dim(f"ladder of {one_line(str(answer.get('ladder_name', 'trainers')))}, cheapest first{because}")
    rungs = answer["ladder"]
    width = max(len(str(rung["trainer"])) for rung in rungs)
    for number, rung in enumerate(rungs, start=1):
        name = one_line(str(rung["trainer"])).ljust(width)
        until = f", in {duration(max(0.0, rung['until'] - now))}" if rung.get("until") else ""
        stand = f"{rung['stand']}{until}"
        cost = terminal.dim(f"({_seconds(rung['estimate'])} a run)")
        yield f"  {number}. {terminal.bold(name)}  {stand}: {one_line(str(rung['why']))} {cost}"


def _history(history: Sequence[Facts], terminal: Terminal, now: float) -> Iterator[str]:
    yield terminal.dim("decided before")
    for kept in history:
        held = ", ".join(r["condition"] for r in kept["reasons"] if r["holds"] and r["condition"] not in _GATES)
        run = f", run {kept['run_id']}" if kept.get("run_id") else ""
        fired = terminal.green("fired") if kept["fires"] else "did not fire"
        yield f"  {ago(float(kept['at']), now)}: {fired}{run}" + (f" ({held} held)" if held else "")


def _mark(reason: Facts, terminal: Terminal) -> str:
    return terminal.green("+") if reason["holds"] else terminal.dim("-")


def _seconds(cost: Facts) -> str:
    if not cost["cpu_s"] and not cost["gpu_s"]:
        return "0 s"
    told = duration(float(cost["cpu_s"])) + " CPU"
    return told + (f", {duration(float(cost['gpu_s']))} GPU" if cost["gpu_s"] else "")


def _cost(cost: Facts, answer: Facts) -> str:
    money = f", {cost['money']:,.2f} {answer['currency']}".rstrip() if answer["has_prices"] else ""
    return _seconds(cost) + money


def _moment(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))
