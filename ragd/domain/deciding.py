"""The words of deciding: what was observed, why a trainer fires or not, what it costs, how a run stands."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Window:
    """One look at what came in lately, against a reference: kind `documents` or `queries`, and what was measured.

    `novelty` is the share of items farther from the reference than its own calibrated quantile, `histogram` the
    chi-square statistic of list counts, `mmd_p` the p-value of the permutation test where it was asked. `cost_s`
    is what the look cost.
    """

    kind: str
    at: float
    size: int
    novelty: float
    histogram: float
    mmd_p: float | None
    is_drift: bool
    cost_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Observed:
    """What is known when a trigger is asked, as of `at` (Unix seconds); everything since the trainer's last run.

    `examples` is how many the trainer would get now. Windows are newest first. `bad_share` is None without
    feedback, `centroid_cosine` (fit 1.0) None for an index that is not fitted. `last_run_at` and `last_change_at`
    are None when there was none.
    """

    at: float
    live_chunks: int
    changed_chunks: int
    examples: int
    new_examples: int = 0
    document_windows: tuple[Window, ...] = ()
    query_windows: tuple[Window, ...] = ()
    answers: int = 0
    bad_share: float | None = None
    centroid_cosine: float | None = None
    last_run_at: float | None = None
    started_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Reason:
    """One condition and how it stands: its name, whether it holds, and one sentence with the figures."""

    condition: str
    holds: bool
    text: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a trainer fires now, and why or why not. `wait_until` (Unix seconds) is when it may, where known."""

    trainer: str
    at: float
    fires: bool
    reasons: tuple[Reason, ...]
    wait_until: float | None = None


@runtime_checkable
class TriggerPolicy(Protocol):
    """A plugin's own rule for when training pays; a pure function of what was observed."""

    @property
    def name(self) -> str: ...

    def decide(self, observed: Observed) -> Reason:
        """One reason: whether it fires, and why. It has a second; a policy that raises or hangs does not fire."""
        ...


@dataclass(frozen=True, slots=True)
class Cost:
    """What work took: seconds of CPU and GPU."""

    cpu_s: float = 0.0
    gpu_s: float = 0.0


class RunState(StrEnum):
    """Where a run stands. `waiting` is for budget or quiet hours, `queued` for a worker."""

    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    EVALUATING = "evaluating"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


class Verdict(StrEnum):
    """What the gate said of a challenger."""

    PASSED = "passed"
    REFUSED = "refused"
