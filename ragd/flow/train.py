"""The process of one run, `python -m ragd.flow.train RUNFOLDER`: starts the trainer apart, watches it, judges its end.

It runs no code of a plugin, so that whatever the trainer does to its own process, the outcome is written, the
artefact is looked at from outside, and the cost is known. Wherever a launcher starts it, it does the same.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from ragd.domain.errors import RagdError
from ragd.domain.training import RunOutcome, RunPlaces, RunRequest
from ragd.flow.attempt import Attempt, stand_back, with_costs
from ragd.learn.records import (
    Attempts,
    Follower,
    read_attempts,
    read_outcome,
    read_request,
    write_attempts,
    write_outcome,
)

MOST_BARREN: Final = 5


def main(arguments: Sequence[str]) -> int:
    """Runs until the outcome is written; returns 0 when the run trained, 3 when it stopped, 1 when it failed."""
    places = RunPlaces(Path(arguments[0]).absolute())
    stand_back()
    outcome = read_outcome(places)
    if outcome is None:
        outcome = attempt(places)
        write_outcome(places, outcome)
    return {"trained": 0, "stopped": 3}.get(outcome.state, 1)


def attempt(places: RunPlaces) -> RunOutcome:
    """Starts the trainer, from its checkpoints where there are any; how it ended is returned, never raised.

    A trainer that was killed from outside is started again, until it got nowhere five times. Only the death of this
    very process leaves a run without an outcome; started again it counts that attempt too.
    """
    outcome: RunOutcome | None = None
    try:
        request = read_request(places)
        while outcome is None:
            begun = _begun(places, read_attempts(places))
            if begun.barren >= MOST_BARREN:
                return _given_up(request, begun)
            write_attempts(places, begun)
            outcome = Attempt(places, request, begun).outcome()
        return outcome
    except RagdError as error:
        failed = RunOutcome("failed", error=error.code, reason=str(error), hint=error.hint)
        return with_costs(failed, read_attempts(places))


def _given_up(request: RunRequest, begun: Attempts) -> RunOutcome:
    reason = f"plugin {request.plugin.name}: its process was killed {begun.barren} times without getting on"
    hint = f"perhaps the machine has no memory left: see its log, and `ragd runs log {request.id}`"
    return with_costs(RunOutcome("failed", error="training_failed", reason=reason, hint=hint), begun)


def _begun(places: RunPlaces, before: Attempts) -> Attempts:
    """The attempts with this one; without progress since the last start it counts as barren."""
    steps = Follower(places.progress).news()
    mark = max((step.done for step in steps), default=0)
    barren = 0 if before.count == 0 or mark > before.mark else before.barren + 1
    # A killed attempt could not note what its last second took; its steps tell.
    lost_s = max(0.0, steps[-1].at - before.noted_at) if steps and before.noted_at else 0.0
    return replace(
        before,
        count=before.count + 1,
        barren=barren,
        mark=max(mark, before.mark),
        train_s=before.train_s + lost_s,
        cpu_s=before.cpu_s + lost_s,
        noted_at=time.time(),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
