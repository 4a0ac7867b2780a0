"""`ragd spend`: what was spent on what, what is left of the budget, and what was saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from ragd.cli.options import AsJson, ConfigFile, StateFolder
from ragd.cli.session import configuration, daemon, screen, show_json
from ragd.cli.terminal import Terminal, one_line, table
from ragd.cli.when import duration

_SPANS = (("day", "LAST DAY"), ("month", "30 DAYS"), ("ever", "IN ALL"))


def spend(
    ctx: typer.Context,
    days: Annotated[bool, typer.Option("--days", help="List the seconds of each day as well.")] = False,
    config: ConfigFile = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """Show what training and filling cost, what is left of the budget, and what was saved.

    Seconds are of CPU and GPU; money appears where `budget.cpu_rate` or `budget.gpu_rate` is set. A day is the last
    24 hours, a month the last 30 days.
    """
    with daemon(configuration(ctx, config, state)) as client:
        account = client.learn("GET", "spend")
    if as_json:
        show_json(account)
        return
    terminal = screen()
    for block in (_spent(account, terminal), _budget(account, terminal), _saved(account, terminal)):
        for line in block:
            typer.echo(line)
    for line in _days(account, terminal) if days else ():
        typer.echo(line)


def _spent(account: Mapping[str, Any], terminal: Terminal) -> list[str]:
    if not account["lines"]:
        return ["nothing was spent on training or filling yet"]
    rows = [_line(account, line["what"], line) for line in account["lines"]]
    rows.append(_line(account, "all", {"trainer": "", "runs": "", **account["totals"]["all"]}))
    lines = table(("FOR", "RUNS", *(title for _, title in _SPANS), "TRAINER"), rows, terminal, right="lrrrrl")
    runs = account["totals"]["runs"]
    lines.append(
        terminal.dim(
            f"runs: {_amount(account, runs['charged'])} charged,"
            f" {_amount(account, runs['runs'])} by the runs' own figures"
        )
    )
    if runs["forgotten_runs"]["cpu_s"] or runs["forgotten_runs"]["gpu_s"]:
        told = f"{_amount(account, runs['forgotten_runs'])} more by runs that are no longer kept"
        lines.append(terminal.dim(told))
    return lines


def _line(account: Mapping[str, Any], what: str, line: Mapping[str, Any]) -> tuple[str, ...]:
    amounts = (_amount(account, line[span]) for span, _ in _SPANS)
    return (what, str(line["runs"] or ""), *amounts, one_line(line["trainer"] or "-"))


def _budget(account: Mapping[str, Any], terminal: Terminal) -> list[str]:
    now = account["at"]
    rows = [
        (
            limit["key"].removeprefix("budget."),
            f"{limit['used']:,.2f}" if _is_money(limit) else f"{limit['used']:,.0f}",
            f"{limit['limit']:,.2f}" if _is_money(limit) else f"{limit['limit']:,.0f}",
            f"{limit['left']:,.2f}" if _is_money(limit) else f"{limit['left']:,.0f}",
            f"in {duration(limit['frees_at'] - now)}" if limit["frees_at"] else "-",
            limit["unit"],
        )
        for limit in account["budget"]
    ]
    if not rows:
        return ["", "no limit is set: see the [budget] section of the configuration"]
    return ["", *table(("BUDGET", "USED", "OF", "LEFT", "FREES", "UNIT"), rows, terminal, right="lrrrll")]


def _is_money(limit: Mapping[str, Any]) -> bool:
    return str(limit["key"]).startswith("budget.money")


def _saved(account: Mapping[str, Any], terminal: Terminal) -> list[str]:
    lines = [""]
    for item in account["saved"]:
        money = f" ({_money(account, item['money'])})" if account["has_prices"] and item["money"] else ""
        seconds = "unknown" if item["cpu_s"] is None else _seconds(item["cpu_s"]) + money
        lines.append(f"saved: {seconds}  {terminal.bold(item['what'])}")
        lines.append(terminal.dim(f"  {one_line(item['how'])}"))
    return lines


def _days(account: Mapping[str, Any], terminal: Terminal) -> list[str]:
    kinds = ("prepare", "train", "evaluate", "backfill", "observe")
    rows = [(day["day"], *(_seconds(day[kind]) for kind in kinds)) for day in account["days"]]
    return ["", *table(("DAY (UTC)", *(kind.upper() for kind in kinds)), rows, terminal, right="lrrrr")]


def _amount(account: Mapping[str, Any], figures: Mapping[str, float]) -> str:
    """Seconds of CPU, of GPU where there are some, and money where there are prices."""
    told = _seconds(figures["cpu_s"])
    if figures["gpu_s"]:
        told += f" + {_seconds(figures['gpu_s'])} GPU"
    if account["has_prices"]:
        told += f" = {_money(account, figures['money'])}"
    return told


def _money(account: Mapping[str, Any], money: float) -> str:
    return f"{money:,.2f} {account['currency']}".rstrip()


def _seconds(seconds: float) -> str:
    if seconds >= 7200:
        return f"{seconds / 3600:,.1f} h"
    return f"{seconds:,.0f} s" if seconds >= 100 else f"{seconds:,.1f} s"
