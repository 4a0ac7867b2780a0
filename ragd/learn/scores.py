"""What an evaluation measured, query by query, of the champion and of the challenger; as a value and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from ragd.disk.atomic import write_atomic
from ragd.domain.errors import TrainingFailed
from ragd.domain.learning import Role

BETTER: Final = "better"
SMALLER: Final = "smaller"
"""Aims of a trainer: more quality, or as much of it at a lower cost of serving."""


@dataclass(frozen=True, slots=True)
class Served:
    """What serving costs: the median of a query (ms), memory of the model (MiB) and bytes of its files; 0: unknown."""

    query_ms: float = 0.0
    memory_mb: float = 0.0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of the queries: the chosen metric of champion and challenger, a number a query."""

    champion: tuple[float, ...]
    challenger: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Scores:
    """The evaluation of one run.

    `metric` is what must get better; every metric is better when it is larger. `champion` and `challenger` hold for
    each metric a number a query, in the order of `queries`, which are hashes of texts. `guards` are metrics that must
    not get worse. `facts` say how it was measured, in plain values. `aim` is `better` or `smaller`.
    """

    role: Role
    metric: str
    queries: tuple[str, ...]
    champion: Mapping[str, tuple[float, ...]]
    challenger: Mapping[str, tuple[float, ...]]
    slices: Mapping[str, Slice] = field(default_factory=dict)
    champion_serves: Served = Served()
    challenger_serves: Served = Served()
    guards: tuple[str, ...] = ()
    aim: str = BETTER
    facts: Mapping[str, Any] = field(default_factory=dict)

    def means(self) -> dict[str, dict[str, float]]:
        """For each metric the mean of champion and challenger and the gain: what a registry keeps."""
        return {
            name: {
                "champion": mean(self.champion[name]),
                "challenger": mean(self.challenger[name]),
                "gain": mean(self.challenger[name]) - mean(self.champion[name]),
            }
            for name in self.champion
        }

    def summary(self) -> dict[str, Any]:
        """The scores in a few plain values, without those of single queries."""
        return {
            "metric": self.metric,
            "queries": len(self.queries),
            "means": self.means(),
            "champion_serves": asdict(self.champion_serves),
            "challenger_serves": asdict(self.challenger_serves),
            "aim": self.aim,
            "facts": dict(self.facts),
        }


def mean(values: Sequence[float]) -> float:
    """The mean; 0 of nothing."""
    return sum(values) / len(values) if values else 0.0


def write_scores(path: Path, scores: Scores) -> None:
    """Durably writes scores as JSON, the last thing an evaluation does."""
    write_atomic(path, json.dumps(asdict(scores), ensure_ascii=False, allow_nan=False).encode() + b"\n")


def read_scores(path: Path) -> Scores:
    """What `write_scores` wrote. Raises TrainingFailed when it is missing or not in order."""
    try:
        raw = json.loads(path.read_bytes())
        given = {
            **raw,
            "role": Role(raw["role"]),
            "queries": tuple(raw["queries"]),
            "champion": {name: tuple(values) for name, values in raw["champion"].items()},
            "challenger": {name: tuple(values) for name, values in raw["challenger"].items()},
            "slices": {
                name: Slice(tuple(part["champion"]), tuple(part["challenger"])) for name, part in raw["slices"].items()
            },
            "champion_serves": Served(**raw["champion_serves"]),
            "challenger_serves": Served(**raw["challenger_serves"]),
            "guards": tuple(raw["guards"]),
        }
        return Scores(**given)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise TrainingFailed(
            f"{path} cannot be read: {error}", hint="evaluate again: `ragd runs resume RUN`"
        ) from error
