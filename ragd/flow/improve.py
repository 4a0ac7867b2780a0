"""The way of a model, readable top to bottom: observe, decide, climb, pay, train, judge, promote.

Everything here runs in the daemon's main thread and is quick; what takes time happens in children and workers.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ragd.catalog.decisions import Decisions
from ragd.catalog.learning import Learning
from ragd.catalog.runs import Runs
from ragd.catalog.spend import Spend
from ragd.config.events import get_log
from ragd.config.live import LiveConfig
from ragd.config.schema import TrainerSettings
from ragd.domain.clock import is_due
from ragd.domain.deciding import Cost, RunState
from ragd.domain.errors import BadRequest, Busy, RagdError
from ragd.domain.learning import Role
from ragd.domain.plugins import Event, EventKind
from ragd.flow.candidates import Candidate, Candidates, Corpus, told
from ragd.flow.judging import Judged
from ragd.flow.observation import Observation
from ragd.flow.promote import Promotions
from ragd.flow.purse import Purse
from ragd.flow.requests import Requests
from ragd.flow.training import ChoreEnd, Training
from ragd.flow.winners import Winners
from ragd.learn.snapshot import is_prepared

_LOG = get_log("ragd.learn")
_DECIDE_S = 5.0
_FEW_CHUNKS, _FEW_SHARE = 64, 0.02  # no trigger begins a run while more chunks than these wait for their vectors
_UNDER_WAY = (RunState.QUEUED, RunState.RUNNING, RunState.EVALUATING)


@dataclass(frozen=True, slots=True)
class Tables:
    """The catalog as the way of a model writes it, and its reading side."""

    runs: Runs
    spend: Spend
    decisions: Decisions
    rows: Learning


class Improve:
    """Decides when training pays and sees it through. `step` is called every tick; the rest is what a person asks.

    `chores` tells which children ended, `tell` passes an event on to plugins, `corpus` counts.
    """

    def __init__(
        self,
        config: LiveConfig,
        tables: Tables,
        candidates: Candidates,
        requests: Requests,
        training: Training,
        promotions: Promotions,
        observation: Observation,
        *,
        chores: Callable[[], list[ChoreEnd]],
        tell: Callable[[Event], None],
        corpus: Callable[[], Corpus],
        prune: Callable[[int], tuple[list[str], int]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config, self._tables = config, tables
        self._candidates, self._requests = candidates, requests
        self._training, self._promotions, self._observation = training, promotions, observation
        self._chores, self._tell, self._corpus, self._clock = chores, tell, corpus, clock
        self.prune = prune
        self._purse = Purse(config, tables.rows)
        self._decided_at = 0.0
        self._indexed = corpus().changes
        self._winners = Winners(promotions.prepare, lambda model_id: self.promote(model_id, forced=False), clock)

    def start(self) -> None:
        """Runs that a restart cut off wait for a worker again, and what had passed goes live after all."""
        self._tables.runs.requeue()
        for model_id in self._tables.rows.runs.unpromoted():
            self._winners.add(model_id)

    def step(self) -> None:
        """One turn: what ended goes on; now and then what came in is looked at, and decided upon."""
        for end in self._chores():
            self._training.chore_ended(end)
        self._winners.step()
        now = self._clock()
        if not is_due(now, self._decided_at, _DECIDE_S):
            return
        self._decided_at = now
        self._take_windows()
        self._tell_indexed()
        self._training.step()
        if self._config.now.learn.enabled:
            self._take_up(now)
            self._decide()

    # What a person asks.

    def standings(self) -> list[dict[str, Any]]:
        """Every trainer with its decision, for people."""
        return [told(candidate) for candidate in self._candidates.all()]

    def explained(self, trainer: str) -> dict[str, Any]:
        """One trainer's decision with the ladder. Raises NotFound."""
        candidate = self._candidates.one(trainer)
        ladders = self._purse.ladders(self._candidates.all(), self._corpus().changes, self._clock())
        ladder = next(each for each in ladders if any(rung.trainer == trainer for rung in each.rungs))
        rungs = [{**asdict(rung), "stand": str(rung.stand)} for rung in ladder.rungs]
        return {**told(candidate), "ladder": rungs, "ladder_name": ladder.name, "because": ladder.because}

    def request(self, trainer: str, *, on: str | None, cause: str) -> str:
        """A run by hand; it waits for the budget and for the run under way like any other. Returns its id.

        Raises NotFound, BadRequest where training is switched off, Busy while a run of this trainer has not ended.
        """
        candidate = self._candidates.one(trainer)
        self._check_enabled()
        waiting = [run["id"] for run in self._tables.rows.runs.open() if run["trainer"] == trainer]
        if waiting:
            raise Busy(f"a run of {trainer} has not ended: {waiting[0]}", hint=f"`ragd runs show {waiting[0]}`")
        run_id = self._begin(candidate, cause, on)
        self._take_up(self._clock())
        return run_id

    def stop(self, run_id: str) -> None:
        """Asks a run to stop."""
        self._training.stop(run_id)

    def resume(self, run_id: str) -> None:
        """Takes a run up again, within the limits that are configured now.

        Raises BadRequest for one that cannot be resumed, Busy while another run is under way or the budget has no room
        for another time what this one reserved.
        """
        self._check_enabled()
        run = self._tables.rows.runs.named(run_id)
        busy = _under_way(self._tables.rows.runs.open())
        if busy not in ("", run_id):
            raise Busy(f"another run is under way: {busy}", hint="resume this one when that has ended, or stop that")
        held = self._purse.held(Cost(run["reserved_cpu_s"], run["reserved_gpu_s"]), self._clock())
        is_over = run["state"] in (RunState.FAILED, RunState.STOPPED)
        if held is not None and is_over and is_prepared(self._training.places(run_id)):  # without data it waits
            raise Busy(f"the run cannot go on now: {held.why}", hint=f"resume it later, or change {held.key}")
        settings = self._config.now.trainers.get(run["trainer"], TrainerSettings())
        self._training.resume(run_id, self._requests.resources(settings))
        self._take_up(self._clock())

    def prepare(self, model_id: int) -> None:
        """Opens what a promotion needs; takes seconds for an encoder. Any thread."""
        self._promotions.prepare(model_id)

    def promote(self, model_id: int, *, forced: bool) -> None:
        """Puts a model live."""
        champion = self._promotions.promote(model_id, forced=forced)
        self._observation.renew()
        self._say(EventKind.PROMOTED, role=str(champion.role), model=model_id, stage=champion.stage, forced=forced)

    def rollback(self, role: Role) -> None:
        """Puts back what served before."""
        champion = self._promotions.roll_back(role)
        self._say(EventKind.ROLLED_BACK, role=str(role), model=champion.model_id, stage=champion.stage)

    # What its own parts tell.

    def judged(self, judged: Judged) -> None:
        """A run was measured."""
        report = judged.report
        self._observation.renew()
        facts = {"run": judged.run_id, "model": judged.model_id, "verdict": report.verdict.value}
        self._say(EventKind.TRAINED, **facts, gain=report.gain, p_value=report.p_value)

    def won(self, judged: Judged) -> None:
        """A challenger passed: it is opened in a thread of its own, and goes live in the next step."""
        self._winners.add(judged.model_id)

    def ended(self, run_id: str, state: RunState) -> None:
        """A run ended without a result."""
        self._say(EventKind.TRAINED, run=run_id, verdict=str(state))

    def _take_windows(self) -> None:
        windows, cost_s = self._observation.collect()
        for window in windows:
            self._tables.decisions.add_window(window)
        self._tables.spend.charge("observe", Cost(cost_s))

    def _tell_indexed(self) -> None:
        changes = self._corpus().changes
        if changes != self._indexed:
            self._say(EventKind.INDEXED, chunks_changed=changes - self._indexed)
            self._indexed = changes

    def _decide(self) -> None:
        candidates = self._candidates.all()
        for candidate in candidates:
            self._tables.decisions.record(candidate.decision, candidate.observed)
            self._candidates.settle(candidate)
        corpus = self._corpus()
        is_filling = corpus.waiting_chunks > max(_FEW_CHUNKS, _FEW_SHARE * corpus.live_chunks)
        if is_filling or _under_way(self._tables.rows.runs.open()):
            return
        ladders = self._purse.ladders(candidates, corpus.changes, self._clock())
        ladder = next((each for each in ladders if each.chosen), None)
        if ladder is None:
            return
        by_name = {candidate.facts.name: candidate for candidate in candidates}
        because, chosen = by_name[ladder.because], by_name[ladder.chosen]
        run_id = self._begin(chosen, "trigger", None, because=because)
        if because is not chosen:  # what fired is latched, also after a restart
            self._candidates.settle(because, is_acted_on=True)
            self._tables.decisions.record(because.decision, because.observed, run_id)
        self._take_up(self._clock())

    def _begin(self, candidate: Candidate, cause: str, on: str | None, because: Candidate | None = None) -> str:
        decision, observed = (because or candidate).decision, candidate.observed
        given = {"options": dict(candidate.settings.options), "available": observed.examples, "on": on}
        run_id = self._tables.runs.begin(
            candidate.facts.name,
            candidate.facts.role,
            cause=cause,
            seed=secrets.randbelow(2**31),
            reasons=decision.reasons,
            settings=given,
            changes=self._corpus().changes,
        )
        self._candidates.settle(candidate, is_acted_on=True)
        self._tables.decisions.record(candidate.decision, observed, run_id)
        _LOG.info("run_wanted", run=run_id, cause=cause)
        self._say(EventKind.TRIGGERED, run=run_id, trainer=candidate.facts.name, cause=cause)
        return run_id

    def _take_up(self, now: float) -> None:
        """The oldest waiting run that the budget has room for begins when no other is under way."""
        runs = self._tables.rows.runs.open()
        busy = _under_way(runs)
        for waiting in [run for run in runs if run["state"] == RunState.WAITING]:
            if busy:
                self._tables.runs.waits(waiting["id"], f"waits for {busy} to end", None)
            elif self._begins(waiting, now):
                busy = str(waiting["id"])

    def _begins(self, waiting: Mapping[str, Any], now: float) -> bool:
        """Whether a waiting run is under way now; one that cannot begin fails, one that may not goes on waiting."""
        run_id = str(waiting["id"])
        try:
            candidate = self._candidates.one(waiting["trainer"])
            held = self._purse.held(candidate.estimate, now)
            if held is not None:
                self._tables.runs.waits(run_id, held.why, held.until)
                return False
            self._tables.runs.reserve(run_id, candidate.estimate)
            self._tables.runs.saw(run_id, changes=self._corpus().changes, available=candidate.observed.examples)
            request = self._requests.request(run_id, candidate.facts, candidate.settings, int(waiting["seed"]))
            self._training.begin(request, self._requests.preparation(candidate.facts, waiting["settings"].get("on")))
        except RagdError as error:
            self._training.fail(run_id, str(error), error.hint)
        return self._tables.rows.runs.named(run_id)["state"] in _UNDER_WAY

    def _check_enabled(self) -> None:
        if not self._config.now.learn.enabled:
            raise BadRequest("training is switched off", hint="set learn.enabled = true and start the daemon again")

    def _say(self, kind: EventKind, **facts: Any) -> None:
        self._tell(Event(kind, self._clock(), facts))


def _under_way(runs: Iterable[Mapping[str, Any]]) -> str:
    """The id of the run that is prepared, trained or measured now; "" when there is none."""
    return next((str(run["id"]) for run in runs if run["state"] in _UNDER_WAY), "")
