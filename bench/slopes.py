"""What grows: robust slopes over the work done, within the lives of a process, with their noise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_BINS = 48
_ROUNDS = 400
_BLOCK = 4
_LEAST = 6


@dataclass(frozen=True, slots=True)
class Point:
    """A quantity's `value` after `work` thousands of edits, `age_s` seconds into the life `life` (a process, say)."""

    life: object
    age_s: float
    work: float
    value: float


@dataclass(frozen=True, slots=True)
class Slope:
    """Growth per thousand edits, the 95 % interval around it, and what the fit saw.

    `resolution` is what the quantity is measured in: a growth of less than that says nothing. `span` is the work that
    the fitted points cover, in thousands of edits; `noise` the standard deviation of the bins around the line, in units
    of the quantity; `points` how many samples were fitted, in `lives` lives.
    """

    per_thousand: float
    low: float
    high: float
    span: float
    noise: float
    points: int
    lives: int
    first: float
    last: float
    resolution: float = 0.0

    @property
    def growth(self) -> float:
        """What the line adds over all the fitted work."""
        return self.per_thousand * self.span

    @property
    def verdict(self) -> str:
        """`grows` beyond noise, `shrinks`, `noise` (a slope, but smaller than the scatter), or `flat` (none seen)."""
        if self.low <= 0 <= self.high:
            return "flat"
        if abs(self.growth) <= max(2 * self.noise, self.resolution):
            return "noise"
        return "grows" if self.per_thousand > 0 else "shrinks"


def slope(points: Iterable[Point], *, warmup_s: float, resolution: float = 0.0, seed: int = 0) -> Slope | None:
    """Theil and Sen's slope over the points older than `warmup_s` in their life; None when too few are left.

    Pairs of points are of one life only, so that a restart neither hides growth nor looks like it. Each life is
    averaged into bins first, which takes the teeth out of a saw. The interval comes from a bootstrap of blocks of
    neighbouring bins' residuals (Künsch 1989), for neighbours resemble each other.
    """
    lives = _lives(points, warmup_s)
    if sum(len(work) for work, _, _ in lives) < _LEAST:
        return None
    bins = [(work, value) for work, value, _ in lives]
    found = _theil_sen(bins)
    residuals = [value - found * work for work, value in bins]
    residuals = [each - np.median(each) for each in residuals]
    random = np.random.default_rng(seed)
    again = [
        _theil_sen([(w, found * w + _resampled(r, random)) for (w, _), r in zip(bins, residuals, strict=True)])
        for _ in range(_ROUNDS)
    ]
    low, high = np.quantile(again, [0.025, 0.975])
    return Slope(
        per_thousand=found,
        low=float(low),
        high=float(high),
        span=float(sum(work[-1] - work[0] for work, _ in bins)),
        noise=float(np.std(np.concatenate(residuals))),
        points=sum(count for _, _, count in lives),
        lives=len(lives),
        first=float(bins[0][1][0]),
        last=float(bins[-1][1][-1]),
        resolution=resolution,
    )


def latency(values_ms: Sequence[float], *, share: float = 0.99, seed: int = 0) -> dict[str, object]:
    """A quantile of the first and of the last third of latencies, and the 95 % interval of their ratio."""
    third = len(values_ms) // 3
    if third < 30:
        return {"count": len(values_ms), "verdict": "too few"}
    first, last = np.asarray(values_ms[:third]), np.asarray(values_ms[-third:])
    random = np.random.default_rng(seed)
    ratios = [
        float(np.quantile(random.choice(last, third), share) / np.quantile(random.choice(first, third), share))
        for _ in range(_ROUNDS)
    ]
    low, high = (float(each) for each in np.quantile(ratios, [0.025, 0.975]))
    return {
        "count": len(values_ms),
        "p50_ms": [round(float(np.quantile(each, 0.5)), 2) for each in (first, last)],
        "p99_ms": [round(float(np.quantile(each, share)), 2) for each in (first, last)],
        "ratio_interval": [round(low, 3), round(high, 3)],
        "verdict": "grows" if low > 1 else "flat",
    }


def _lives(points: Iterable[Point], warmup_s: float) -> list[tuple[Floats, Floats, int]]:
    """Each life's bins of work and value, and how many samples they hold; lives too short to tell are left out."""
    grouped: dict[object, list[Point]] = {}
    for point in points:
        if point.age_s >= warmup_s:
            grouped.setdefault(point.life, []).append(point)
    total = sum(len(group) for group in grouped.values())
    lives = []
    for group in grouped.values():
        if len(group) < _LEAST or group[-1].work <= group[0].work:
            continue
        count = max(3, min(len(group) // 2, round(_BINS * len(group) / total)))
        parts = np.array_split(np.array([(point.work, point.value) for point in group]), count)
        means = np.array([part.mean(axis=0) for part in parts])
        lives.append((means[:, 0], means[:, 1], len(group)))
    return lives


def _theil_sen(bins: Sequence[tuple[Floats, Floats]]) -> float:
    slopes = []
    for work, value in bins:
        one, other = np.triu_indices(len(work), 1)
        apart = work[other] - work[one]
        is_apart = apart > 0
        slopes.append((value[other] - value[one])[is_apart] / apart[is_apart])
    return float(np.median(np.concatenate(slopes)))


def _resampled(residuals: Floats, random: np.random.Generator) -> Floats:
    """As many residuals, drawn in blocks of neighbours."""
    block = min(_BLOCK, len(residuals))
    starts = random.integers(0, len(residuals) - block + 1, size=-(-len(residuals) // block))
    return np.concatenate([residuals[start : start + block] for start in starts])[: len(residuals)]
