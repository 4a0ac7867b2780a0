"""`ragd status`: one screen about how the daemon is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import typer

from ragd.cli.options import AsJson, ConfigFile, StateFolder
from ragd.cli.session import configuration, daemon_or_snapshot, screen, show_json
from ragd.cli.terminal import Terminal, clip, count, one_line, size
from ragd.cli.when import ago, duration

LABEL_WIDTH = 11


def status(ctx: typer.Context, config: ConfigFile = None, state: StateFolder = None, as_json: AsJson = False) -> None:
    """Show what the daemon does, what is searchable, and what is wrong."""
    loaded = configuration(ctx, config, state)
    with daemon_or_snapshot(loaded) as answering:
        answer = answering.status()
    if as_json:
        show_json(answer)
        return
    for line in lines(answer, screen(), time.time()):
        typer.echo(line)
    typer.echo(_labelled("state", str(loaded.config.state)))


def lines(answer: Mapping[str, Any], terminal: Terminal, now: float) -> list[str]:
    """The screen, a line each; facts that a section gains later are shown without a change here."""
    state = str(answer["state"])
    paint = {"ready": terminal.green, "indexing": terminal.yellow}.get(state, terminal.red)
    up = f", up {duration(answer['uptime_s'])}" if answer.get("uptime_s") else ""
    told = [f"{terminal.bold('ragd ' + str(answer['version']))}  {paint(state)}{up}"]
    told += [f"  {terminal.yellow('!')} {one_line(str(reason))}" for reason in answer["reasons"]]
    documents = answer["documents"]
    order = ("searchable", "text", "pending", "failed")
    told.append(_labelled("documents", " · ".join(f"{count(documents[name])} {name}" for name in order)))
    chunks = answer["chunks"]
    told.append(_labelled("chunks", f"{count(chunks['total'])}, {count(chunks['with_vectors'])} with vectors"))
    for name in ("progress", "index", "model", "redis", "queues"):
        if answer.get(name):
            told.append(_labelled(name, facts(answer[name], now)))
    for name in ("workers", "watch"):
        told += [_labelled(name if i == 0 else "", facts(item, now)) for i, item in enumerate(answer[name])]
    return [clip(line, terminal.width) if not terminal.is_colour else line for line in told]


def facts(section: Mapping[str, Any], now: float) -> str:
    """A section in one line: `key value`, the unit taken from the key's ending; what is empty is left out."""
    parts = []
    for key, value in section.items():
        if value in (None, "", [], {}):
            continue
        if isinstance(value, Mapping):
            inner = facts(value, now)
            parts.append(f"{key} ({inner})" if inner else key)
        else:
            parts.append(_fact(key, value, now))
    return " · ".join(parts)


def _fact(key: str, value: object, now: float) -> str:
    if isinstance(value, bool):
        return f"{key} {'yes' if value else 'no'}"
    if isinstance(value, list):
        return f"{key} {', '.join(one_line(str(item)) for item in value)}"
    if not isinstance(value, int | float):
        return f"{key} {one_line(str(value))}"
    for ending, written in (("_bytes", size), ("_s", duration), ("_at", lambda at: ago(at, now))):
        if key.endswith(ending):
            return f"{key.removesuffix(ending)} {written(value)}"
    if key.endswith("_ms"):
        return f"{key.removesuffix('_ms')} {value:,.0f} ms"
    return f"{key} {value:,}" if isinstance(value, int) else f"{key} {value:,.4g}"


def _labelled(label: str, text: str) -> str:
    return f"{label.ljust(LABEL_WIDTH)} {text}"
