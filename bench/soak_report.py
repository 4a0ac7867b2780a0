"""What a soak says at its end: a slope and a verdict for each quantity, and how long searches took."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from bench.gauges import Gauges
from bench.slopes import Slope, latency, slope

# The last 2,000 query vectors, five minutes of timings, the pages that each reader of the catalog keeps.
_WARM_S = {"daemon_memory_mib": 400.0}


def latencies(asked: Sequence[tuple[float, float, float]]) -> dict[str, dict[str, object]]:
    """Of searches as who asks sees them, as the daemon measures them, and of a sleep that nobody should disturb."""
    names = ("latency", "latency_inside", "machine_hiccup")
    return {name: latency(list(values)) for name, values in zip(names, zip(*asked, strict=True), strict=True)}


def slopes(gauges: Gauges, warmup_s: float) -> dict[str, Any]:
    """`growing`, and `slopes` of every quantity over the second half of what was sampled; a line of each to stderr."""
    found: dict[str, Slope] = {}
    for name, points in sorted(gauges.points.items()):
        half = points[len(points) // 2].work
        late = [point for point in points if point.work >= half]
        warm_s = max(warmup_s, _WARM_S.get(name, 0.0))
        one = slope(late, warmup_s=warm_s, resolution=_resolution(name))
        if one is not None:
            found[name] = one
            interval = f"{one.per_thousand:+.4g} [{one.low:+.4g}, {one.high:+.4g}]"
            span = f"{one.first:.5g} to {one.last:.5g} in {1000 * one.span:.0f} edits"
            print(f"# {name}: {interval} per 1000 edits, {span}: {one.verdict}", file=sys.stderr)
    return {
        "growing": [name for name, one in found.items() if one.verdict == "grows"],
        "slopes": {name: _rounded(one) for name, one in found.items()},
    }


def _resolution(name: str) -> float:
    """What the quantity comes in: Python takes memory from the system a MiB at a time, files grow by some pages."""
    if name.endswith("_memory_mib"):
        return 1.0
    return 0.25 if name.endswith("_mib") else 1.0


def _rounded(one: Slope) -> dict[str, Any]:
    figures = {"per_1000": one.per_thousand, "low": one.low, "high": one.high, "noise": one.noise}
    ends = {"first": one.first, "last": one.last}
    return {name: float(f"{value:.4g}") for name, value in (figures | ends).items()} | {"verdict": one.verdict}
