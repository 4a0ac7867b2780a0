"""What another policy would have done: the kept history of decisions, decided again under other tables. Pure.

What was observed counts from the trainer's last real run. Here it is counted from its last simulated run: the kept
figures give how much came in between any two moments. What cannot be known is left as it was: what a run that never
happened would have done to the answers, the index fit or the drift reference. Each trainer is replayed by itself,
without the ladder; all of them share the budget. The history has an entry for each change of an answer and at least
one an hour, so firing times are as fine as that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo

from ragd.config.learning import Budget, TrainerSettings
from ragd.domain.deciding import Cost, Decision, Observed, Reason
from ragd.domain.plugins import TrainerFacts
from ragd.learn.budget import Charge, Fits, PastCost, estimate, quiet_until, reserve
from ragd.learn.trigger import Past, after, decide


@dataclass(frozen=True, slots=True)
class Kept:
    """One kept decision of a trainer: what was observed, and what its plugin's policy said, if it was asked."""

    observed: Observed
    policy: Reason | None = None


@dataclass(frozen=True, slots=True)
class RealRun:
    """A run that happened: when it was asked for, what it took, and what the gate said ("" where it was not asked)."""

    trainer: str
    at: float
    cost: Cost
    verdict: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """What was kept: decisions by trainer, oldest first, every run, and what runs took, newest first."""

    kept: Mapping[str, Sequence[Kept]]
    runs: Sequence[RealRun] = ()
    costs: Mapping[str, Sequence[PastCost]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Terms:
    """What every trainer of a policy shares: the budget, the zone of quiet hours, and where runs compute."""

    budget: Budget
    tz: tzinfo | None = None
    device: str = "cpu"
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Firing:
    """A moment at which a trainer would have run: why, on how many examples, and what that would have cost."""

    at: float
    examples: int
    cost: Cost
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Replay:
    """One trainer under the policy, beside what really happened in the same time.

    `looked` is how many kept decisions were decided again, `kept_by` whose they were, `held` how often it fired but
    the budget or quiet hours held it back. `since` and `until` bound the history.
    """

    trainer: str
    kept_by: str
    looked: int
    since: float
    until: float
    firings: tuple[Firing, ...]
    held: int
    real: tuple[RealRun, ...]

    @property
    def cost(self) -> Cost:
        """What all its firings would have cost."""
        return total(firing.cost for firing in self.firings)

    @property
    def real_cost(self) -> Cost:
        """What its real runs took."""
        return total(run.cost for run in self.real)


@dataclass(slots=True)
class _State:
    """A trainer on its way through the history."""

    facts: TrainerFacts
    settings: TrainerSettings
    past: Past = field(default_factory=Past)
    ran_at: float | None = None
    chunks: int = 0  # what came since the last simulated run
    examples: int = 0
    before: Observed | None = None
    firings: list[Firing] = field(default_factory=list)
    held: int = 0


def simulate(
    history: History, facts: Mapping[str, TrainerFacts], policy: Mapping[str, TrainerSettings], terms: Terms
) -> tuple[Replay, ...]:
    """Decides the kept history again under the tables of `policy`; a replay for each of its trainers, by name.

    A trainer without history of its own is shown that of the trainer with the longest one. A table that does not say
    whether the trainer fires by itself lets it. Raises KeyError for a trainer without facts.
    """
    kept_by = {name: name if history.kept.get(name) else _longest(history) for name in policy}
    states = {name: _State(facts[name], _enabled(settings)) for name, settings in sorted(policy.items())}
    moments = [
        (kept.observed.at, name, kept) for name, owner in kept_by.items() for kept in history.kept.get(owner, ())
    ]
    spent: list[Charge] = []
    for _, name, kept in sorted(moments, key=lambda moment: (moment[0], moment[1])):
        _step(states[name], kept, history.costs.get(name, ()), terms, spent)
    return tuple(_replay(name, kept_by[name], state, history) for name, state in states.items())


def total(costs: Iterable[Cost]) -> Cost:
    """The sum of costs."""
    cpu_s, gpu_s = 0.0, 0.0
    for cost in costs:
        cpu_s, gpu_s = cpu_s + cost.cpu_s, gpu_s + cost.gpu_s
    return Cost(cpu_s, gpu_s)


def _step(state: _State, kept: Kept, costs: Sequence[PastCost], terms: Terms, spent: list[Charge]) -> None:
    observed = _as_if(state, kept.observed)
    decision = decide(state.facts, state.settings, observed, state.past, policy=kept.policy)
    if decision.fires:
        cost = estimate(costs, state.facts.cost_s, observed.examples, device=terms.device, threads=terms.threads)
        fits = isinstance(reserve(cost, spent, Cost(), terms.budget, observed.at), Fits)
        if not fits or quiet_until(terms.budget, observed.at, terms.tz) is not None:
            state.held += 1
            return
        spent.append(Charge(observed.at, "train", cost))
        state.firings.append(Firing(observed.at, observed.examples, cost, _holding(decision)))
        state.ran_at, state.chunks, state.examples = observed.at, 0, 0
    state.past = after(state.facts, state.settings, decision, observed, state.past)


def _as_if(state: _State, real: Observed) -> Observed:
    """What would have been observed had the simulated runs been the real ones; the first entry begins as it was."""
    before, state.before = state.before, real
    if before is None:
        state.chunks, state.examples, state.ran_at = real.changed_chunks, real.new_examples, real.last_run_at
    else:
        state.chunks += _increase(before.changed_chunks, real.changed_chunks)
        state.examples += _increase(before.new_examples, real.new_examples)
    return replace(real, changed_chunks=state.chunks, new_examples=state.examples, last_run_at=state.ran_at)


def _increase(before: int, now: int) -> int:
    """What came in between two counts; a count that fell began anew at a real run."""
    return now - before if now >= before else now


def _replay(name: str, kept_by: str, state: _State, history: History) -> Replay:
    kept = history.kept.get(kept_by, ())
    since = kept[0].observed.at if kept else 0.0
    until = kept[-1].observed.at if kept else 0.0
    real = tuple(run for run in history.runs if run.trainer == name and since <= run.at <= until)
    return Replay(name, kept_by if kept else "", len(kept), since, until, tuple(state.firings), state.held, real)


def _enabled(settings: TrainerSettings) -> TrainerSettings:
    return settings if settings.enabled is not None else settings.model_copy(update={"enabled": True})


def _longest(history: History) -> str:
    return max(history.kept, key=lambda name: len(history.kept[name]), default="")


def _holding(decision: Decision) -> tuple[Reason, ...]:
    return tuple(reason for reason in decision.reasons if reason.holds)
