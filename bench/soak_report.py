"""What a soak says at its end: a slope and a verdict for each quantity, and how long searches took."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from bench.gauges import Gauges
from bench.slopes import Slope, latency, slope


def latencies(asked: Sequence[tuple[float, float, float]]) -> dict[str, dict[str, object]]:
    """Of searches as who asks sees them, as the daemon measures them, and of a sleep that nobody should disturb."""
    names = ("latency", "latency_inside", "machine_hiccup")
    return {name: latency(list(values)) for name, values in zip(names, zip(*asked, strict=True), strict=True)}


def slopes(gauges: Gauges, warmup_s: float) -> dict[str, Any]:
    """`growing`, and `slopes` of every quantity over the second half of what was sampled; a line of each to stderr."""
    found: dict[str, Slope] = {}
    for name, points in sorted(gauges.points.items()):
        half = points[len(points) // 2].work
        one = slope([point for point in points if point.work >= half], warmup_s=warmup_s)
        if one is not None:
            found[name] = one
            interval = f"{one.per_thousand:+.4g} [{one.low:+.4g}, {one.high:+.4g}]"
            span = f"{one.first:.5g} to {one.last:.5g} in {1000 * one.span:.0f} edits"
            print(f"# {name}: {interval} per 1000 edits, {span}: {one.verdict}", file=sys.stderr)
    return {
        "growing": [name for name, one in found.items() if one.verdict == "grows"],
        "slopes": {name: _rounded(one) for name, one in found.items()},
    }


def _rounded(one: Slope) -> dict[str, Any]:
    figures = {"per_1000": one.per_thousand, "low": one.low, "high": one.high, "noise": one.noise}
    ends = {"first": one.first, "last": one.last}
    return {name: float(f"{value:.4g}") for name, value in (figures | ends).items()} | {"verdict": one.verdict}
