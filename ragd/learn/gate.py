"""Whether a challenger may replace what serves: a pure judgement of measured scores, with its reasons."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from ragd.config.schema import Gate
from ragd.domain.deciding import Reason, Verdict
from ragd.learn.scores import SMALLER, Scores, Served, mean
from ragd.learn.significance import PERMUTATIONS, randomisation_p

__all__ = ["GateReport", "alpha_of", "attempts_on_like", "judge", "randomisation_p"]

LEAST_SAVING: Final = 0.1
"""A challenger that is to be smaller must save this share of time, memory or bytes."""
LIKE: Final = 0.5
"""Share of held-out queries in common from which two evaluations count as of like data."""
_MOST_PERMUTATIONS = 400_000  # seconds of work, for the hundredth attempt
_SLACK_MS = 1.0  # differences that no one notices, and that a busy machine makes by itself
_SLACK_MB = 16.0


@dataclass(frozen=True, slots=True)
class GateReport:
    """The verdict with one reason a rule, all of which must hold, and the figures it rests on.

    `p_value` is that of the paired randomisation test, `alpha` the level that this attempt was given.
    """

    verdict: Verdict
    reasons: tuple[Reason, ...]
    metric: str
    queries: int
    champion: float
    challenger: float
    p_value: float
    alpha: float
    attempt: int

    @property
    def gain(self) -> float:
        """The mean gain of the metric."""
        return self.challenger - self.champion

    @property
    def sentence(self) -> str:
        """The verdict in one sentence, with the first reason against it."""
        change = f"{self.metric} {self.champion:.3f} → {self.challenger:.3f} on {self.queries} held-out queries"
        if self.verdict is Verdict.PASSED:
            return f"passed: {change}, p = {self.p_value:.2g}"
        return f"refused: {change}; {next(reason.text for reason in self.reasons if not reason.holds)}"

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "verdict": self.verdict.value, "gain": self.gain, "sentence": self.sentence}


def judge(scores: Scores, settings: Gate, attempts_before: int = 0) -> GateReport:
    """Judges a challenger that was measured; `attempts_before` counts earlier ones of its role on like held-out data.

    A challenger for better quality must gain at least `settings.min_effect` on at least `settings.min_queries`
    queries, significantly at this attempt's share of alpha. One that is to be smaller must, just as surely, lose less
    than `settings.slice_margin`, and save a tenth of time, memory or bytes. For both no slice and no guarded metric
    may lose more than the margin, and time and memory must stay within their limits.
    """
    champion, challenger = scores.champion[scores.metric], scores.challenger[scores.metric]
    is_smaller = scores.aim == SMALLER
    # Non-inferiority is the same test after the margin was granted.
    shifted = [value - settings.slice_margin for value in champion] if is_smaller else champion
    alpha = alpha_of(attempts_before + 1, settings.alpha)
    p_value = _p_value(shifted, challenger, alpha, seed=attempts_before)
    reasons = [
        _enough(len(scores.queries), settings.min_queries),
        *(_as_good(scores, settings) if is_smaller else _better(scores, settings)),
        _significant(p_value, alpha, attempts_before, is_smaller, settings.slice_margin),
        *_guards(scores, settings),
        *_slices(scores, settings),
        *_limits(scores, settings),
    ]
    verdict = Verdict.PASSED if all(reason.holds for reason in reasons) else Verdict.REFUSED
    return GateReport(
        verdict,
        tuple(reasons),
        scores.metric,
        len(scores.queries),
        mean(champion),
        mean(challenger),
        p_value,
        alpha,
        attempts_before + 1,
    )


def _p_value(before: Sequence[float], after: Sequence[float], alpha: float, *, seed: int) -> float:
    """The p-value, by more exchanges where the usual number cannot get below a late attempt's level."""
    p_value = randomisation_p(before, after, seed=seed)
    is_least = p_value * (PERMUTATIONS + 1) < 1.5
    if p_value <= alpha or not is_least:
        return p_value
    return randomisation_p(before, after, seed=seed, permutations=min(math.ceil(2 / alpha), _MOST_PERMUTATIONS))


def alpha_of(attempt: int, alpha: float) -> float:
    """What the attempt with this number (from 1) may spend of alpha: 6 / (pi² i²) of it.

    All attempts there will ever be spend alpha together, so that trying often enough does not get anything through.
    """
    return alpha * 6 / (math.pi**2 * attempt**2)


def attempts_on_like(queries: Sequence[str], earlier: Iterable[Sequence[str]]) -> int:
    """How many earlier evaluations, each given by its held-out queries, asked at least half of these."""
    own = set(queries)
    return sum(1 for other in earlier if own and len(own.intersection(other)) >= LIKE * len(own))


def _enough(queries: int, least: int) -> Reason:
    return Reason("min_queries", queries >= least, f"{queries} held-out queries, at least {least} are needed")


def _better(scores: Scores, settings: Gate) -> list[Reason]:
    gain = mean(scores.challenger[scores.metric]) - mean(scores.champion[scores.metric])
    text = f"{scores.metric} gains {gain:+.4f}, at least {settings.min_effect:g} counts"
    return [Reason("min_effect", gain >= settings.min_effect and gain > 0, text)]


def _as_good(scores: Scores, settings: Gate) -> list[Reason]:
    before, after = scores.champion_serves, scores.challenger_serves
    savings = {
        "time": _saving(before.query_ms, after.query_ms),
        "memory": _saving(before.memory_mb, after.memory_mb),
        "bytes": _saving(before.size_bytes, after.size_bytes),
    }
    best = max(savings, key=lambda name: savings[name])
    told = ", ".join(f"{value:.0%} of {name}" for name, value in savings.items())
    text = f"it saves {told}; at least {LEAST_SAVING:.0%} of one is wanted"
    gain = mean(scores.challenger[scores.metric]) - mean(scores.champion[scores.metric])
    loss = Reason(
        "margin",
        gain >= -settings.slice_margin,
        f"{scores.metric} changes by {gain:+.4f}, it may lose {settings.slice_margin:g}",
    )
    return [loss, Reason("saving", savings[best] >= LEAST_SAVING, text)]


def _saving(before: float, after: float) -> float:
    return 1 - after / before if before > 0 and after > 0 else 0.0


def _significant(p_value: float, alpha: float, before: int, is_smaller: bool, margin: float) -> Reason:
    claim = f"a loss under {margin:g}" if is_smaller else "the gain"
    text = f"p = {p_value:.2g} for {claim}, {alpha:.2g} is allowed at attempt {before + 1} on like data"
    return Reason("significance", p_value <= alpha, text)


def _guards(scores: Scores, settings: Gate) -> list[Reason]:
    found: list[Reason] = []
    for name in scores.guards:
        gain = mean(scores.challenger[name]) - mean(scores.champion[name])
        text = f"{name} changes by {gain:+.4f}, it may lose {settings.slice_margin:g}"
        found.append(Reason(name, gain >= -settings.slice_margin, text))
    return found


def _slices(scores: Scores, settings: Gate) -> list[Reason]:
    """One reason for each slice with enough queries to say anything."""
    found: list[Reason] = []
    for name, part in scores.slices.items():
        count = len(part.champion)
        if count < settings.min_queries:
            continue
        gain = mean(part.challenger) - mean(part.champion)
        text = f"slice {name} changes by {gain:+.4f} on {count} queries, it may lose {settings.slice_margin:g}"
        found.append(Reason(f"slice {name}", gain >= -settings.slice_margin, text))
    return found


def _limits(scores: Scores, settings: Gate) -> list[Reason]:
    before, after = scores.champion_serves, scores.challenger_serves
    times = before.query_ms, after.query_ms, settings.latency_ratio, _SLACK_MS, "ms"
    memory = *_memory(before, after), settings.memory_ratio, _SLACK_MB, "MiB"
    return [_limit("latency", "a query takes", *times), _limit("memory", "the model takes", *memory)]


def _memory(before: Served, after: Served) -> tuple[float, float]:
    """Measured memory; the bytes of the files where a side was not measured."""
    if before.memory_mb > 0 and after.memory_mb > 0:
        return before.memory_mb, after.memory_mb
    return before.size_bytes / 2**20, after.size_bytes / 2**20


def _limit(name: str, what: str, before: float, after: float, ratio: float, slack: float, unit: str) -> Reason:
    text = f"{what} {after:.1f} {unit}, {before:.1f} so far; at most {ratio:g} times as much is taken"
    return Reason(name, after <= before * ratio or after - before <= slack, text)
