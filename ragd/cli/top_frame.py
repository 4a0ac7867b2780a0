"""One frame of `ragd top`: a status as lines that fit the terminal, however narrow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ragd.cli.terminal import Terminal, clip, columns, count, one_line, size
from ragd.cli.when import duration

Facts = Mapping[str, Any]
LABEL_WIDTH: Final = 11
_BETWEEN: Final = " · "
_NARROW: Final = 48


def frame(status: Facts, terminal: Terminal, clock_text: str) -> list[str]:
    """The lines, none wider than the terminal; a fact that the daemon does not tell is left out."""
    told = [_head(status, terminal, clock_text)]
    told += [_reason(str(reason), terminal) for reason in status["reasons"]]
    sections: tuple[tuple[str, Callable[[Facts], Sequence[str]]], ...] = (
        ("documents", _documents),
        ("freshness", _freshness),
        ("queues", _queues),
        ("workers", _workers),
        ("encoding", _encoding),
        ("searches", _searches),
        ("spent", _spent),
        ("proof", _proof),
        ("redis", _redis),
        ("daemon", _daemon),
    )
    for label, parts in sections:
        told += _section(label, parts(status), terminal)
    for number, generation in enumerate(status.get("generations", ())):
        told += _section("" if number else "index", _generation(generation), terminal)
    return told


def waiting(problem: str, terminal: Terminal, clock_text: str) -> list[str]:
    """The frame while nobody answers."""
    head = f"{terminal.bold('ragd')}  {terminal.red('not answering')}  {terminal.dim(clock_text)}"
    return [head, *_wrapped([one_line(problem)], terminal.width), "waiting for it; Ctrl-C ends"]


def _head(status: Facts, terminal: Terminal, clock_text: str) -> str:
    state = str(status["state"])
    paint = {"ready": terminal.green, "indexing": terminal.yellow, "degraded": terminal.yellow}.get(state, terminal.red)
    up = f", up {duration(status['uptime_s'])}" if status.get("uptime_s") else ""
    name = clip(f"ragd {one_line(str(status['version']))}", 20)
    room = terminal.width - columns(f"{name}  {state}{up}")
    clock = clock_text.rjust(room) if room > len(clock_text) + 1 else ""
    return f"{terminal.bold(name)}  {paint(state)}{up}{terminal.dim(clock)}"


def _reason(reason: str, terminal: Terminal) -> str:
    return f"{terminal.yellow('!')} {clip(one_line(reason), terminal.width - 2)}"


def _section(label: str, parts: Sequence[str], terminal: Terminal) -> list[str]:
    """A label and its parts on as many lines as they need; on a narrow terminal the label stands above them."""
    texts = [one_line(part) for part in parts if part]
    if not texts:
        return []
    if terminal.width < _NARROW:
        above = [terminal.bold(label)] if label else []
        return above + [f"  {line}" for line in _wrapped(texts, terminal.width - 2)]
    lines = _wrapped(texts, terminal.width - LABEL_WIDTH - 1)
    return [f"{terminal.bold(('' if at else label).ljust(LABEL_WIDTH))} {line}" for at, line in enumerate(lines)]


def _wrapped(parts: Sequence[str], width: int) -> list[str]:
    lines: list[str] = []
    for part in parts:
        joined = f"{lines[-1]}{_BETWEEN}{part}" if lines else part
        if lines and columns(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(clip(part, width))
    return lines


def _documents(status: Facts) -> list[str]:
    documents, chunks = status["documents"], status["chunks"]
    lacking = chunks["total"] - chunks["with_vectors"]
    states = [f"{count(documents[name])} {name}" for name in ("searchable", "text", "pending", "failed")]
    return [*states, f"{count(chunks['total'])} chunks" + (f", {count(lacking)} lack a vector" if lacking else "")]


def _freshness(status: Facts) -> list[str]:
    told = []
    for step, facts in (status.get("freshness") or {}).items():
        if facts["count"]:
            told.append(f"{step} p50 {span(facts['p50_s'])} p95 {span(facts['p95_s'])} of {count(facts['count'])}")
    oldest = status.get("oldest_change_s")
    return [*(told or ["no change in the last minutes"]), *([f"oldest waits {span(oldest)}"] if oldest else [])]


def _queues(status: Facts) -> list[str]:
    ages = status.get("queue_ages_s") or {}
    return [
        f"{name} {count(jobs)}" + (f" (oldest {span(ages[name])})" if jobs and ages.get(name) else "")
        for name, jobs in (status.get("queues") or {}).items()
    ]


def _workers(status: Facts) -> list[str]:
    wanted, workers = status.get("workers_wanted") or {}, status.get("workers") or ()
    kinds = dict.fromkeys([*wanted, *(str(worker["queue"]) for worker in workers)])
    told = []
    for kind in kinds:
        alive = [worker for worker in workers if worker["queue"] == kind]
        busy = sum(bool(worker.get("is_busy")) for worker in alive)
        missing = wanted.get(kind, 0) - len(alive)
        told.append(f"{kind} {busy} of {len(alive)} busy" + (f", {missing} MISSING" if missing > 0 else ""))
    return told


def _encoding(status: Facts) -> list[str]:
    rate = (status.get("rates") or {}).get("encoded_chunks_per_s")
    if rate is None:
        return []
    lacking = status["chunks"]["total"] - status["chunks"]["with_vectors"]
    left = f"{duration(lacking / rate)} left" if lacking and rate > 0 else ""
    return [f"{rate:.1f} chunks/s", left]


def _searches(status: Facts) -> list[str]:
    rates = status.get("rates") or {}
    if rates.get("searches_per_s") is None:
        return []
    if rates["search_p99_s"] is None:
        return ["none in the last minutes"]
    rate = f"{rates['searches_per_s']:.2f}/s"
    return [rate, f"p50 {span(rates['search_p50_s'])}", f"p99 {span(rates['search_p99_s'])}"]


def _spent(status: Facts) -> list[str]:
    day = (status.get("spend") or {}).get("day")
    if day is None:
        return []
    told = []
    for what, cost in day.items():
        gpu = f" + {duration(cost['gpu_s'])} GPU" if cost["gpu_s"] else ""
        told.append(f"{what} {duration(cost['cpu_s'])} CPU{gpu}")
    return [*told, "in 24 h"] if told else ["nothing in 24 h"]


def _proof(status: Facts) -> list[str]:
    proof = status.get("proof")
    if not proof or "told_at" not in status:
        return []
    age = duration(max(0.0, status["told_at"] - proof["at"]))
    wrong = f"{count(proof['wrong'])} rows were wrong" if proof.get("wrong") else ""
    return [f"{'equal to the catalog' if proof['is_equal'] else 'NOT EQUAL to the catalog'}, {age} ago", wrong]


def _redis(status: Facts) -> list[str]:
    redis = status.get("redis") or {}
    if not redis.get("version"):
        return [f"{redis['kind']}: not reached"] if redis.get("kind") else []
    ping = f"ping {redis['ping_ms']:.1f} ms" if "ping_ms" in redis else ""
    return [f"{redis.get('kind', '')} {redis['version']}", size(redis.get("memory_bytes", 0)), ping]


def _daemon(status: Facts) -> list[str]:
    process, disk = status.get("process") or {}, status.get("disk") or {}
    told = [f"{size(process['memory_bytes'])} memory"] if "memory_bytes" in process else []
    told += [f"{process['threads']:.0f} threads"] if "threads" in process else []
    told += [f"{process['open_fds']:.0f} files open"] if "open_fds" in process else []
    told += [f"{size(disk['free_bytes'])} of {size(disk['size_bytes'])} disk free"] if "free_bytes" in disk else []
    return told


def _generation(generation: Facts) -> list[str]:
    age, recall = generation.get("snapshot_age_s"), generation.get("ann_recall")
    return [
        f"{generation['kind']} of {generation['model']}" + ("" if generation["serving"] else " (does not serve)"),
        f"{count(generation['chunks'])} vectors of {generation['dimension']}",
        f"{count(generation['lacking'])} lacking" if generation["lacking"] else "",
        size(generation["size_bytes"]),
        f"ann_recall {recall:.3f}" if recall is not None else "",
        f"snapshot {duration(age)} ago" if age is not None else "",
    ]


def span(seconds: float) -> str:
    """A short span of time with the figure that matters."""
    return f"{seconds:.1f} s" if 1 <= seconds < 60 else duration(seconds)
