"""Which trainer goes now: the cheapest that may help; a dearer one only where the gate refused the cheaper. Pure.

There are three ladders, by what a run can improve: the index fit; search, from query adapters to encoders; and
the generator. Inside a ladder rungs stand by what a run is thought to cost. A trigger that fires anywhere on a ladder
starts it at its cheapest rung that is able to run (enabled, enough examples, warm and cooled down), whoever fired.

An *episode* is what happened on like data: the same data hash, or less than a tenth of the examples and, for trainers
that learn from chunks, of the chunks changed since. Within an episode a rung that passed the gate ends the climb, one
that was refused gives way to the next, and one that was refused or failed three times in a row is skipped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ragd.domain.deciding import Cost, Decision, Observed, RunState, Verdict
from ragd.domain.learning import Data, Role
from ragd.domain.plugins import TrainerFacts
from ragd.learn.budget import Fits, Waits
from ragd.learn.trigger import GATES, LIKE_SHARE

TIMES = 3
LADDERS: Mapping[Role, str] = {
    Role.INDEX: "index fit",
    Role.QUERY_ADAPTER: "search",
    Role.ENCODER: "search",
    Role.GENERATOR: "generator",
}
OPEN = frozenset({RunState.WAITING, RunState.QUEUED, RunState.RUNNING, RunState.EVALUATING})
_OF_CHUNKS = frozenset({Data.VECTORS, Data.TEXTS})


class Stand(StrEnum):
    """How a rung stands."""

    GOES = "goes"  # it runs now
    RUNNING = "running"  # a run of it is open
    WAITS = "waits"  # for the budget, quiet hours or its cooldown
    NEXT = "next"  # after a cheaper one, if the gate refuses that
    REFUSED = "refused"  # by the gate, on like data
    RESTS = "rests"  # it or a cheaper one passed on like data
    SKIPPED = "skipped"  # refused or failed three times on like data
    SHORT = "short"  # too few examples, or not warmed up
    IDLE = "idle"  # no trigger fires
    OFF = "off"  # it does not fire by itself


@dataclass(frozen=True, slots=True)
class Contender:
    """A trainer that could run: its decision, what a run is thought to take and whether that fits the budget now.

    `data_sha256` is the hash of the data it would get, where that is known. `prefers` is the cost the rungs are
    ordered by: seconds, or money where there are rates.
    """

    facts: TrainerFacts
    decision: Decision
    observed: Observed
    estimate: Cost
    fit: Fits | Waits
    prefers: float
    data_sha256: str = ""


@dataclass(frozen=True, slots=True)
class PastRun:
    """An earlier run, or one that is open: its state and verdict, and what its data was."""

    trainer: str
    state: str
    verdict: str
    requested_at: float
    examples: int = 0
    changes: int = 0
    data_sha256: str = ""

    @property
    def has_failed(self) -> bool:
        """True when it brought nothing: refused by the gate, or failed. A run that was stopped tells nothing."""
        return self.verdict == Verdict.REFUSED or self.state == RunState.FAILED


@dataclass(frozen=True, slots=True)
class Rung:
    """One trainer on its ladder: how it stands, why in one sentence, and until when it waits where that is known."""

    trainer: str
    stand: Stand
    why: str
    estimate: Cost
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Ladder:
    """One ladder, cheapest rung first; `chosen` goes now, because the trigger of `because` fired ("" for none)."""

    name: str
    rungs: tuple[Rung, ...]
    chosen: str = ""
    because: str = ""


def climb(contenders: Sequence[Contender], runs: Sequence[PastRun], changes: int) -> tuple[Ladder, ...]:
    """How each ladder stands now; at most one rung of each goes. Ladders in the order index fit, search, generator.

    `runs` are those of all trainers, in any order; `changes` is the catalog's change sequence, as in
    `PastRun.changes`.
    """
    newest_first = sorted(runs, key=lambda run: run.requested_at, reverse=True)
    found = []
    for name in dict.fromkeys(LADDERS.values()):
        members = [each for each in contenders if LADDERS[each.facts.role] == name]
        if members:
            members.sort(key=lambda each: (each.prefers, each.facts.name))
            found.append(_Climb(name, members, newest_first, changes).ladder())
    return tuple(found)


def is_like(run: PastRun, now: Contender, changes: int) -> bool:
    """Whether a run's data was like what the trainer would get now."""
    if run.data_sha256 and run.data_sha256 == now.data_sha256:
        return True
    had, has = run.examples, now.observed.examples
    if abs(has - had) >= LIKE_SHARE * max(had, has, 1):
        return False
    chunks = max(now.observed.live_chunks, 1)
    return now.facts.needs.data not in _OF_CHUNKS or changes - run.changes < LIKE_SHARE * chunks


def episode(now: Contender, newest_first: Sequence[PastRun], changes: int) -> tuple[PastRun, ...]:
    """The trainer's ended runs on like data, newest first, up to the first one on other data."""
    found: list[PastRun] = []
    for run in newest_first:
        if run.trainer != now.facts.name or run.state in OPEN:
            continue
        if not is_like(run, now, changes):
            break
        found.append(run)
    return tuple(found)


class _Climb:
    """One ladder's way up, rung by rung."""

    def __init__(self, name: str, members: Sequence[Contender], newest_first: Sequence[PastRun], changes: int) -> None:
        self._name, self._members = name, members
        self._episodes = {each.facts.name: episode(each, newest_first, changes) for each in members}
        names = {each.facts.name for each in members}
        self._open = {run.trainer: run for run in newest_first if run.state in OPEN and run.trainer in names}

    def ladder(self) -> Ladder:
        firing = [each for each in self._members if each.decision.fires and not self._is_over(each)]
        because = firing[0].facts.name if firing else ""
        chosen = self._chosen(firing) if firing and not self._open else None
        goes = chosen is not None and isinstance(chosen.fit, Fits) and _gate_open(chosen, "cooldown")
        rungs = tuple(self._rung(each, chosen, firing) for each in self._members)
        return Ladder(self._name, rungs, chosen.facts.name if chosen and goes else "", because)

    def _chosen(self, firing: Sequence[Contender]) -> Contender | None:
        """The cheapest able rung up to the dearest that fired; one that was refused already only where none is left."""
        top = max(self._members.index(each) for each in firing)
        able = [each for each in self._members[: top + 1] if self._is_able(each)]
        fresh = [each for each in able if not self._was_refused(each)]
        return next(iter(fresh), None) or next((each for each in able if each in firing), None)

    def _is_able(self, each: Contender) -> bool:
        """Whether it could run, at once or when it has cooled down."""
        gates = (name for name in GATES if name != "cooldown")
        return all(_gate_open(each, name) for name in gates) and not self._is_skipped(each) and not self._is_over(each)

    def _is_over(self, each: Contender) -> bool:
        """Whether a cheaper rung passed on like data since this one last ran."""
        return bool(self._passed_below(each))

    def _passed_below(self, each: Contender) -> str:
        own = self._episodes[each.facts.name]
        since = own[0].requested_at if own else float("-inf")
        for cheaper in self._members[: self._members.index(each)]:
            passed = (run for run in self._episodes[cheaper.facts.name] if run.verdict == Verdict.PASSED)
            if any(run.requested_at > since for run in passed):
                return cheaper.facts.name
        return ""

    def _was_refused(self, each: Contender) -> bool:
        own = self._episodes[each.facts.name]
        return bool(own) and own[0].verdict == Verdict.REFUSED

    def _failures(self, each: Contender) -> int:
        """How many of the latest runs on like data brought nothing, in a row; stopped ones do not count."""
        count = 0
        for run in self._episodes[each.facts.name]:
            if run.has_failed:
                count += 1
            elif run.state != RunState.STOPPED:
                break
        return count

    def _is_skipped(self, each: Contender) -> bool:
        return self._failures(each) >= TIMES

    def _rung(self, each: Contender, chosen: Contender | None, firing: Sequence[Contender]) -> Rung:
        stand, why, until = self._stand(each, chosen, firing)
        return Rung(each.facts.name, stand, why, each.estimate, until)

    def _stand(
        self, each: Contender, chosen: Contender | None, firing: Sequence[Contender]
    ) -> tuple[Stand, str, float | None]:
        name = each.facts.name
        if name in self._open:
            return Stand.RUNNING, f"a run of it is {self._open[name].state}", None
        closed = next(
            (reason for reason in each.decision.reasons if reason.condition in GATES and not reason.holds), None
        )
        if closed is not None and closed.condition != "cooldown":
            return Stand.OFF if closed.condition == "enabled" else Stand.SHORT, closed.text, None
        if self._is_skipped(each):
            return Stand.SKIPPED, f"brought nothing {self._failures(each)} times in a row on like data", None
        if passed := self._passed_below(each):
            return Stand.RESTS, f"{passed} costs less and passed the gate on like data", None
        if each is chosen:
            return self._of_chosen(each, firing)
        if self._was_refused(each):
            return Stand.REFUSED, "the gate refused its last run on like data", None
        if each.decision.fires and (self._open or chosen is not None):
            first = next(iter(self._open), "") or (chosen.facts.name if chosen else "")
            return Stand.NEXT, f"after {first}, if the gate refuses that", None
        return Stand.IDLE, "no condition of it holds", each.decision.wait_until

    def _of_chosen(self, each: Contender, firing: Sequence[Contender]) -> tuple[Stand, str, float | None]:
        if not _gate_open(each, "cooldown"):
            why = next(reason.text for reason in each.decision.reasons if reason.condition == "cooldown")
            return Stand.WAITS, why, each.decision.wait_until
        if isinstance(each.fit, Waits):
            return Stand.WAITS, each.fit.why, each.fit.until
        if each in firing:
            return Stand.GOES, "its trigger fired, and nothing cheaper is able to go", None
        return Stand.GOES, f"the trigger of {firing[0].facts.name} fired, and this costs less", None


def _gate_open(each: Contender, name: str) -> bool:
    return all(reason.holds for reason in each.decision.reasons if reason.condition == name)
