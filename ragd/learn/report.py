"""The gate's report as a page for people: what was compared, on what, with which figures, and what was decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ragd.domain.deciding import Verdict
from ragd.learn.gate import GateReport
from ragd.learn.scores import Scores, mean

LINEAGE = ("trainer", "run", "parent", "trigger", "data", "seed", "cost")


def page(report: GateReport, scores: Scores, lineage: Mapping[str, str] | None = None) -> str:
    """Markdown: the verdict in one sentence, every rule with its figures, metrics, slices, cost of serving, lineage.

    `lineage` may name `trainer`, `run`, `parent`, `trigger`, `data` (the snapshot's hash), `seed` and `cost`; what is
    not named is shown as a dash.
    """
    known = lineage or {}
    title = known.get("trainer") or str(scores.role)
    parts = [
        f"# {title}: {report.verdict.value}",
        f"{report.sentence[0].upper()}{report.sentence[1:]}.",
        _compared(report, scores),
        "## Rules",
        _table(
            ("rule", "holds", "figures"),
            ((reason.condition, "yes" if reason.holds else "**no**", reason.text) for reason in report.reasons),
        ),
        "## Quality",
        _table(
            ("metric", "champion", "challenger", "gain", "better / worse / equal"),
            (
                (
                    name,
                    f"{mean(scores.champion[name]):.4f}",
                    f"{mean(after):.4f}",
                    *_change(scores.champion[name], after),
                )
                for name, after in scores.challenger.items()
            ),
        ),
    ]
    if scores.slices:
        parts += ["## Slices", _slices(scores)]
    parts += ["## Serving", _serving(scores), "## How it was measured", _facts(scores.facts)]
    parts += ["## Lineage", _table(("what", "value"), ((name, known.get(name) or "-") for name in LINEAGE))]
    return "\n\n".join(parts) + "\n"


def _compared(report: GateReport, scores: Scores) -> str:
    aim = "to serve as well at a lower cost" if scores.aim == "smaller" else "to be better"
    outcome = "It replaces the champion." if report.verdict is Verdict.PASSED else "The champion goes on serving."
    return (
        f"Champion and challenger for the role `{scores.role}` were asked the same {report.queries} held-out queries;"
        f" the challenger was {aim}, by {scores.metric}. Paired randomisation test: p = {report.p_value:.3g};"
        f" {report.alpha:.3g} was allowed at attempt {report.attempt} on like data. {outcome}"
    )


def _slices(scores: Scores) -> str:
    rows = (
        (
            name,
            str(len(part.champion)),
            f"{mean(part.champion):.4f}",
            f"{mean(part.challenger):.4f}",
            f"{mean(part.challenger) - mean(part.champion):+.4f}",
        )
        for name, part in scores.slices.items()
    )
    return _table((f"slice ({scores.metric})", "queries", "champion", "challenger", "gain"), rows)


def _serving(scores: Scores) -> str:
    before, after = scores.champion_serves, scores.challenger_serves
    rows = (
        ("median of a query, ms", _measured(before.query_ms), _measured(after.query_ms)),
        ("memory, MiB", _measured(before.memory_mb), _measured(after.memory_mb)),
        ("files, MB", _measured(before.size_bytes / 1e6), _measured(after.size_bytes / 1e6)),
    )
    return _table(("what", "champion", "challenger"), rows)


def _measured(value: float) -> str:
    return f"{value:.2f}" if value > 0 else "not measured"


def _facts(facts: Mapping[str, Any]) -> str:
    rows = ((name.replace("_", " "), _plain(value)) for name, value in facts.items())
    return _table(("what", "value"), rows)


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_plain(inner) for inner in value)
    return str(value)


def _change(before: Iterable[float], after: Iterable[float]) -> tuple[str, str]:
    gains = [new - old for old, new in zip(before, after, strict=True)]
    better, worse = sum(gain > 1e-9 for gain in gains), sum(gain < -1e-9 for gain in gains)
    return f"{mean(gains):+.4f}", f"{better} / {worse} / {len(gains) - better - worse}"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [tuple(head), *(tuple(row) for row in rows)]
    text = [f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines]
    return "\n".join([text[0], f"|{' --- |' * len(lines[0])}", *text[1:]])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
