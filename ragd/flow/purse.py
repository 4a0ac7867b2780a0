"""What may be spent now, and on whom first: budget and quiet hours from the catalog, and the ladders of trainers."""

from __future__ import annotations

from collections.abc import Sequence

from ragd.catalog.learning import Learning
from ragd.catalog.runs import OPEN
from ragd.config.live import LiveConfig
from ragd.domain.deciding import Cost
from ragd.flow.candidates import Candidate
from ragd.learn import budget
from ragd.learn.ladder import Contender, Ladder, PastRun, climb

_CLIMBED = 200  # runs that a ladder looks back at
_SLICE = Cost(10.0)  # what a fill hands out at a time takes about this much


class Purse:
    """Answers from the catalog's accounts; the deciding itself is pure and lies in `learn`."""

    def __init__(self, config: LiveConfig, rows: Learning) -> None:
        self._config, self._rows = config, rows

    def may_fill(self, now: float) -> bool:
        """Whether the next slice of a new generation may be embedded now."""
        spent = [budget.Charge(*row) for row in self._rows.spend.charges(now - budget.MONTH_S)]
        answer = budget.may_fill(_SLICE, spent, self._rows.runs.reserved(), self._config.now.budget, now)
        return isinstance(answer, budget.Fits)

    def held(self, estimate: Cost, now: float) -> budget.Waits | None:
        """What keeps a run of this cost from starting now."""
        settings = self._config.now.budget
        quiet = budget.quiet_until(settings, now)
        if quiet is not None:
            return budget.Waits("quiet hours", "budget.quiet_hours", quiet)
        spent = [budget.Charge(*row) for row in self._rows.spend.charges(now - budget.MONTH_S)]
        answer = budget.reserve(estimate, spent, self._rows.runs.reserved(), settings, now)
        return answer if isinstance(answer, budget.Waits) else None

    def ladders(self, candidates: Sequence[Candidate], changes: int, now: float) -> tuple[Ladder, ...]:
        """How each ladder stands now; `changes` counts every change of the corpus there was.

        What came of a file that a person named tells nothing of the data that a trigger would train on.
        """
        settings = self._config.now.budget
        contenders = [
            Contender(
                each.facts,
                each.decision,
                each.observed,
                each.estimate,
                self.held(each.estimate, now) or budget.Fits(),
                budget.price(each.estimate, settings) or each.estimate.cpu_s + each.estimate.gpu_s,
            )
            for each in candidates
        ]
        runs = [
            PastRun(
                trainer=run["trainer"],
                state=run["state"],
                verdict=run["verdict"],
                requested_at=run["requested_at"],
                examples=int(run["settings"].get("available", run["examples"])),
                changes=run["changes"],
                data_sha256=run["data_sha256"],
            )
            for run in self._rows.runs.newest(limit=_CLIMBED)
            if run["state"] in OPEN or run["settings"].get("on") is None
        ]
        return climb(contenders, runs, changes)
