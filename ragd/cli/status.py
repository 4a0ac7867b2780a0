"""`ragd status`: one screen about how the daemon is; `--json` has every detail."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer

from ragd.cli.options import AsJson, ConfigFile, StateFolder
from ragd.cli.session import configuration, daemon, daemon_or_snapshot, screen, show_json
from ragd.cli.terminal import Terminal, count, one_line, size
from ragd.cli.top_frame import span
from ragd.cli.when import ago, duration

LABEL_WIDTH = 11
Facts = Mapping[str, Any]


def status(
    ctx: typer.Context,
    live: Annotated[bool, typer.Option("--live", help="Fail where no daemon runs, as for a health check.")] = False,
    config: ConfigFile = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """Show what the daemon does, what is searchable, and what is wrong."""
    loaded = configuration(ctx, config, state)
    with daemon(loaded) if live else daemon_or_snapshot(loaded) as answering:
        answer = answering.status()
    if as_json:
        show_json(answer)
        return
    for line in lines(answer, str(loaded.config.state), screen()):
        typer.echo(line)


def lines(answer: Facts, state_folder: str, terminal: Terminal) -> list[str]:
    """The screen, a line each. What only a running daemon knows is left out where none runs."""
    state = str(answer["state"])
    paint = {"ready": terminal.green, "indexing": terminal.yellow}.get(state, terminal.red)
    up = f", up {duration(answer['uptime_s'])}" if answer["uptime_s"] else ""
    told = [f"{terminal.bold('ragd ' + str(answer['version']))}  {paint(state)}{up}"]
    told += [f"  {terminal.yellow('!')} {one_line(str(reason))}" for reason in answer["reasons"]]
    documents, chunks = answer["documents"], answer["chunks"]
    order = ("searchable", "text", "pending", "failed")
    sections: list[tuple[str, Iterable[str]]] = [
        ("documents", [", ".join(f"{count(documents[name])} {name}" for name in order)]),
        ("chunks", [f"{count(chunks['total'])}, {count(chunks['with_vectors'])} with vectors"]),
        ("at work", _progress(answer["progress"])),
        ("fresh", _fresh(answer)),
        ("index", [*_index(answer["index"]), *_proof(answer.get("proof"), time.time())]),
        ("model", [*_model(answer["model"]), *_filling(answer["model"], answer.get("generations", ()))]),
        ("workers", _workers(answer["workers"])),
        ("queues", _queues(answer["queues"])),
        ("redis", _redis(answer["redis"])),
        ("folders", (_folder(root) for root in answer["watch"])),
        ("state", [state_folder + _room(answer.get("disk") or {})]),
    ]
    for label, texts in sections:
        for number, text in enumerate(texts):
            told.append(f"{('' if number else label).ljust(LABEL_WIDTH)} {one_line(text)}")
    return told


def _progress(progress: Facts) -> list[str]:
    """What is under way; nothing where all is at rest."""
    files, chunks = progress.get("files_in_flight", 0), progress.get("chunks_in_flight", 0)
    parts = ["walking folders"] if progress.get("scanning") else []
    parts += [f"reading {count(files)} files"] if files else []
    parts += [f"embedding {count(chunks)} chunks"] if chunks else []
    return [", ".join(parts)] if parts else []


def _fresh(answer: Facts) -> list[str]:
    """How soon edits of the last minutes were found, and how long the oldest change waits."""
    told = [
        f"found by {step} after {span(facts['p50_s'])}, 95 % within {span(facts['p95_s'])}"
        for step, facts in (answer.get("freshness") or {}).items()
        if facts["count"]
    ]
    oldest = answer.get("oldest_change_s")
    told += [f"a change waits since {span(oldest)}"] if oldest else []
    return [", ".join(told)] if told else []


def _room(disk: Facts) -> str:
    return f", {size(disk['free_bytes'])} free" if "free_bytes" in disk else ""


def _index(index: Facts) -> list[str]:
    if not index:
        return []
    parts = [str(index.get("kind", ""))]
    parts += [f"{count(index['chunks'])} vectors"] if "chunks" in index else []
    parts += [f"{count(index['lists'])} lists"] if index.get("lists") else []
    parts += [size(index["size_bytes"])] if "size_bytes" in index else []
    return [", ".join(part for part in parts if part)]


def _proof(proof: Facts | None, now: float) -> list[str]:
    """When the index was last compared with the catalog."""
    if not proof:
        return []
    when = ago(float(proof["at"]), now)
    if not proof["is_equal"]:
        return [f"differs from the catalog since the proof {when}"]
    repaired = f", {count(proof['wrong'])} rows repaired" if proof["wrong"] else ""
    return [f"proven equal to the catalog {when}{repaired}"]


def _model(model: Facts) -> list[str]:
    if not model:
        return []
    parts = [str(model.get("model", "")), str(model.get("encoder", ""))]
    parts += [f"{model['dimension']} dimensions"] if "dimension" in model else []
    parts += [f"{model['max_tokens']} tokens"] if model.get("max_tokens") else []
    parts += [f"adapter {model['adapter']}"] if model.get("adapter") else []
    return [", ".join(part for part in parts if part)]


def _filling(model: Facts, generations: Sequence[Facts]) -> list[str]:
    """How far the vectors of a new encoder are, and which earlier ones are kept."""
    told = []
    for each in generations:
        if each.get("serving"):
            continue
        if each.get("lacking"):
            done, all_chunks = each["chunks"], each["chunks"] + each["lacking"]
            how = "a map stands in" if model.get("map") else "the earlier ones serve"
            told.append(f"{each['model']}: {count(done)} of {count(all_chunks)} vectors made, {how} until then")
        else:
            told.append(f"{each['model']}: {count(each['chunks'])} vectors kept for a rollback")
    return told


def _workers(workers: Sequence[Facts]) -> list[str]:
    """How many of each kind there are, how many of them are busy, and where they run when not all here."""
    kinds = Counter(str(worker.get("queue", "?")) for worker in workers)
    busy = Counter(str(worker.get("queue", "?")) for worker in workers if worker.get("is_busy"))
    hosts = {str(worker["host"]) for worker in workers if worker.get("host")}
    if not kinds:
        return []
    told = ", ".join(
        f"{number} {kind} ({f'{busy[kind]} busy' if busy[kind] else 'idle'})" for kind, number in sorted(kinds.items())
    )
    return [f"{told} on {len(hosts)} hosts" if len(hosts) > 1 else told]


def _queues(queues: Mapping[str, Any]) -> list[str]:
    waiting = [f"{count(number)} in {name}" for name, number in queues.items() if number]
    return [", ".join(waiting)] if waiting else []


def _redis(redis: Facts) -> list[str]:
    if not redis:
        return []
    parts = [str(redis.get("kind", ""))]
    parts += [f"version {redis['version']}"] if redis.get("version") else ["not reached"]
    parts += [size(redis["memory_bytes"])] if redis.get("memory_bytes") else []
    parts += [str(redis["url"])] if redis.get("kind") != "embedded" and redis.get("url") else []
    return [", ".join(part for part in parts if part)]


def _folder(root: Facts) -> str:
    """One watched folder: how it is heard, how much is in it, and what is wrong with it."""
    state = str(root.get("state", "ok"))
    parts = [str(root.get("hearing", "")) if state == "ok" else state]
    parts += [f"{count(root['files'])} files"] if "files" in root else []
    parts += [f"{count(root['waiting'])} not settled"] if root.get("waiting") else []
    parts += ["being walked"] if root.get("is_scanning") else []
    return f"{root.get('folder', '')}: {', '.join(part for part in parts if part)}"
