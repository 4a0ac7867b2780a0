"""Every trainer that plugins offer, with what was observed for it and whether it fires now."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from ragd.catalog.decisions import observed_from
from ragd.catalog.learning import Learning
from ragd.config.live import LiveConfig
from ragd.config.schema import TrainerSettings
from ragd.domain.deciding import Cost, Decision, Observed, Reason
from ragd.domain.errors import NotFound
from ragd.domain.learning import Needs
from ragd.domain.plugins import PluginFacts, TrainerFacts
from ragd.learn import budget
from ragd.learn.trigger import WINDOWS_ASKED, Past, after, decide

BY_THEMSELVES = frozenset({"coarse_quantizer", "query_adapter"})
"""The shipped trainers that cost seconds; the others wait until the configuration names them."""
_HOW = frozenset({"options", "timeout_s", "memory_mb"})  # keys of a trainer's table that do not say when
_REPLAYED = 200


class PluginList(Protocol):
    """The plugins as they stand."""

    @property
    def facts(self) -> tuple[PluginFacts, ...]: ...


@dataclass(frozen=True, slots=True)
class Corpus:
    """What is indexed now: live chunks and those without a vector, every change there ever was, the fit of the index.

    `centroid_cosine` is None for an index that is not fitted.
    """

    live_chunks: int
    waiting_chunks: int
    changes: int
    centroid_cosine: float | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """One trainer now: who offers it, what was observed, what was decided, and what a run is thought to take."""

    facts: TrainerFacts
    plugin: PluginFacts
    settings: TrainerSettings
    observed: Observed
    decision: Decision
    estimate: Cost
    past: Past


class Candidates:
    """Looks at every trainer when asked; remembers what its earlier decisions left behind.

    `corpus` counts, `available` tells how many examples there would be now, `policy` what a plugin's rule says (None
    while it has not answered).
    """

    def __init__(
        self,
        config: LiveConfig,
        plugins: PluginList,
        rows: Learning,
        *,
        corpus: Callable[[], Corpus],
        available: Callable[[Needs], int],
        policy: Callable[[str, Observed], Reason | None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config, self._plugins, self._rows = config, plugins, rows
        self._corpus, self._available, self._policy = corpus, available, policy
        self._clock = clock
        self._started_at = clock()
        self._pasts: dict[str, Past] = {}

    def all(self) -> tuple[Candidate, ...]:
        """Every trainer of a plugin in use, by name."""
        corpus = self._corpus()
        windows = {kind: self._rows.decisions.windows(kind, WINDOWS_ASKED) for kind in ("documents", "queries")}
        found = [
            self._candidate(facts, plugin, corpus, windows)
            for plugin in self._plugins.facts
            if not plugin.problem
            for facts in plugin.trainers
        ]
        return tuple(sorted(found, key=lambda candidate: candidate.facts.name))

    def one(self, trainer: str) -> Candidate:
        """The trainer of this name. Raises NotFound with why it is not there."""
        found = next((each for each in self.all() if each.facts.name == trainer), None)
        if found is None:
            blocked = next((p for p in self._plugins.facts if p.problem and trainer in _names(p)), None)
            why = f": the plugin {blocked.name} is not used: {blocked.problem}" if blocked is not None else ""
            raise NotFound(f"there is no trainer {trainer}{why}", hint="`ragd plugins list` shows what is offered")
        return found

    def settle(self, candidate: Candidate, *, is_acted_on: bool = False) -> None:
        """Takes a decision as made: what it leaves behind counts for the next one.

        It counts as fired when a run began for it or because of it, as when kept decisions are folded after a start.
        """
        decision = replace(candidate.decision, fires=is_acted_on)
        past = self._pasts.get(candidate.facts.name, candidate.past)
        self._pasts[candidate.facts.name] = after(
            candidate.facts, candidate.settings, decision, candidate.observed, past
        )

    def settings(self, facts: TrainerFacts, plugin: PluginFacts) -> TrainerSettings:
        """The trainer's table. Without one a shipped trainer that costs more than seconds does not fire by itself, nor
        with one that only says how it runs."""
        named = self._config.now.trainers.get(facts.name)
        given = named.model_fields_set if named is not None else _HOW
        if named is not None and named.enabled is not None:
            return named
        is_wanted = plugin.source != "bundled" or facts.name in BY_THEMSELVES or not given or bool(given - _HOW)
        return (named or TrainerSettings()).model_copy(update={"enabled": is_wanted})

    def _candidate(
        self, facts: TrainerFacts, plugin: PluginFacts, corpus: Corpus, windows: Mapping[str, Any]
    ) -> Candidate:
        settings = self.settings(facts, plugin)
        observed = self._observed(facts, corpus, windows)
        past = self._past(facts, settings)
        policy = self._policy(settings.policy, observed) if settings.policy else None
        decision = decide(facts, settings, observed, past, policy=policy, is_file=plugin.source != "bundled")
        costs = [budget.PastCost(*row) for row in self._rows.spend.past_costs(facts.name)]
        learn = self._config.now.learn
        examples = max(observed.examples, facts.needs.least)  # with fewer it does not run
        estimate = budget.estimate(costs, facts.cost_s, examples, device=learn.device, threads=learn.threads)
        return Candidate(facts, plugin, settings, observed, decision, estimate, past)

    def _observed(self, facts: TrainerFacts, corpus: Corpus, windows: Mapping[str, Any]) -> Observed:
        last = self._rows.runs.last(facts.name)
        prepared = self._rows.runs.last_prepared(facts.name)
        last_run_at = float(last["requested_at"]) if last is not None else None
        examples = self._available(facts.needs)
        good, bad = self._rows.journal.judgements(last_run_at or 0.0)
        return Observed(
            at=self._clock(),
            live_chunks=corpus.live_chunks,
            changed_chunks=corpus.changes - (int(prepared["changes"]) if prepared is not None else 0),
            examples=examples,
            new_examples=max(0, examples - int(prepared["settings"].get("available", 0)) if prepared else examples),
            document_windows=windows["documents"],
            query_windows=windows["queries"],
            answers=good + bad,
            bad_share=bad / (good + bad) if good + bad else None,
            centroid_cosine=corpus.centroid_cosine,
            last_run_at=last_run_at,
            started_at=self._started_at,
        )

    def _past(self, facts: TrainerFacts, settings: TrainerSettings) -> Past:
        """What the kept decisions left behind, folded once for each trainer after a start."""
        known = self._pasts.get(facts.name)
        if known is None:
            known = Past()
            for kept in reversed(self._rows.decisions.history(facts.name, limit=_REPLAYED)):
                reasons = tuple(Reason(**reason) for reason in kept["reasons"])
                decision = Decision(facts.name, kept["at"], kept["run_id"] is not None, reasons)
                known = after(facts, settings, decision, observed_from(kept["observed"]), known)
            self._pasts[facts.name] = known
        return known


def told(candidate: Candidate) -> dict[str, Any]:
    """A candidate in plain values, for people."""
    facts, decision = candidate.facts, candidate.decision
    return {
        "trainer": facts.name,
        "role": str(facts.role),
        "plugin": facts.plugin,
        "source": candidate.plugin.source,
        "needs": {"data": str(facts.needs.data), "least": facts.needs.least},
        "examples": candidate.observed.examples,
        "fires": decision.fires,
        "reasons": [asdict(reason) for reason in decision.reasons],
        "wait_until": decision.wait_until,
        "last_run_at": candidate.observed.last_run_at,
        "estimate": asdict(candidate.estimate),
    }


def _names(plugin: PluginFacts) -> set[str]:
    return {plugin.name, *(trainer.name for trainer in plugin.trainers)}
