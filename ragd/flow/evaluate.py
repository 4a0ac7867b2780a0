"""Measures what a run made against what serves: `python -m ragd.flow.evaluate RUNFOLDER`, trusted code, after training.

Held-out questions are read only now. Both sides go through the serving path, are asked the same, and are measured the
same; what came out lies in scores.json, query by query, for the gate to judge.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from ragd.domain.errors import TrainingFailed
from ragd.domain.learning import Role
from ragd.domain.training import Preparation, RunOutcome, RunPlaces, RunRequest
from ragd.flow.evaluate_fit import fit_scores
from ragd.flow.evaluate_generator import generator_scores
from ragd.flow.evaluate_search import adapter_scores, encoder_scores
from ragd.flow.stage import run_stage
from ragd.learn.artifact import check_hashes
from ragd.learn.records import read_outcome, read_request
from ragd.learn.scores import BETTER, SMALLER, Scores, write_scores
from ragd.learn.snapshot import read_preparation

Measure = Callable[[RunPlaces, RunRequest, Preparation, RunOutcome], Scores]

MEASURES: Final[Mapping[Role, Measure]] = {
    Role.INDEX: fit_scores,
    Role.QUERY_ADAPTER: adapter_scores,
    Role.ENCODER: encoder_scores,
    Role.GENERATOR: generator_scores,
}


def evaluate(places: RunPlaces) -> Mapping[str, Any]:
    """Writes the scores of a run whose training has ended, and for an encoder the map from its space into the old one.

    Returns a summary in plain values. Raises TrainingFailed when there is nothing to measure, ArtifactInvalid when the
    artefact is not what was made, TooFewExamples without held-out questions, and what opening a model raises.
    """
    begun = time.monotonic()
    request, preparation, outcome = read_request(places), read_preparation(places), read_outcome(places)
    if outcome is None or outcome.state != "trained":
        raise TrainingFailed(
            f"run {request.id} has no result to measure", hint=f"go on with it: `ragd runs resume {request.id}`"
        )
    check_hashes(places.folder / outcome.artifact, outcome.files)
    scores = MEASURES[request.role](places, request, preparation, outcome)
    aim = SMALLER if outcome.facts.get("aim") == SMALLER else BETTER
    facts = {**scores.facts, "seconds": round(time.monotonic() - begun, 3)}
    scores = replace(scores, aim=aim, facts=facts)
    write_scores(places.scores, scores)
    return scores.summary()


def main(arguments: Sequence[str]) -> int:
    """The process: see `run_stage`."""
    return run_stage(evaluate, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
