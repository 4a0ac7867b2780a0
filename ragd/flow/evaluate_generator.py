"""Measures generators on held-out prompts: how likely the wanted answers are, and how much of them is said."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ragd.domain.errors import ModelUnavailable, TooFewExamples
from ragd.domain.learning import Prompt
from ragd.domain.training import Preparation, RunOutcome, RunPlaces, RunRequest
from ragd.embed.generator import Generator, load_generator
from ragd.flow.examples import gather_prompts
from ragd.learn.likeness import NearTexts, text_id
from ragd.learn.overlap import answer_f1
from ragd.learn.scores import Scores, Served, mean
from ragd.learn.snapshot import read_snapshot

METRIC: Final = "token_probability"
"""The geometric mean of the probabilities of an answer's tokens: e to the power of minus its loss."""
OVERLAP: Final = "answer_f1"
MOST_ANSWER_TOKENS: Final = 128
MOST_ANSWERS: Final = 32
"""Prompts that both sides answer in full, which costs far more than scoring given answers."""


def generator_scores(places: RunPlaces, request: RunRequest, preparation: Preparation, outcome: RunOutcome) -> Scores:
    """The serving generator against the new one. Raises TooFewExamples, ModelUnavailable or ArtifactInvalid."""
    if not request.model_folder:
        raise ModelUnavailable("no generator serves, so there is none to compare with", hint="set learn.generator")
    threads = request.resources.threads
    heldout = _heldout(places, preparation)
    champion = load_generator(Path(request.model_folder), threads=threads)
    challenger = load_generator(places.folder / outcome.artifact, threads=threads)
    asked = [prompt for prompt in heldout if champion.fits(prompt) and challenger.fits(prompt)]
    if not asked:
        raise TooFewExamples(
            "no held-out prompt with an answer that fits both models", hint="list more of them with learn.prompts"
        )
    losses = champion.loss(asked), challenger.loss(asked)
    answered = asked[:MOST_ANSWERS]
    overlaps = _answers(champion, answered), _answers(challenger, answered)
    champion.close()
    challenger.close()
    values = [
        {METRIC: tuple(math.exp(-loss) for loss in side), OVERLAP: overlap}
        for side, (overlap, _) in zip(losses, overlaps, strict=True)
    ]
    serves = [
        Served(took_ms, model.facts.memory_bytes / 2**20, model.facts.file_bytes)
        for model, (_, took_ms) in zip((champion, challenger), overlaps, strict=True)
    ]
    return Scores(
        role=request.role,
        metric=METRIC,
        queries=tuple(text_id(prompt.prompt) for prompt in asked),
        champion=values[0],
        challenger=values[1],
        champion_serves=serves[0],
        challenger_serves=serves[1],
        guards=(OVERLAP,),
        facts={
            "champion_loss": mean(losses[0]),
            "challenger_loss": mean(losses[1]),
            "answers": len(answered),
            "left_out": len(heldout) - len(asked),
        },
    )


def _heldout(places: RunPlaces, preparation: Preparation) -> list[Prompt]:
    """Held-out prompts that are not nearly equal to any that was trained on, in an order that a hash gives."""
    trained = NearTexts()
    for prompt in read_snapshot(places.data).prompts:
        trained.add(prompt.prompt)
    found = [prompt for prompt in gather_prompts(preparation).heldout if not trained.has_near(prompt.prompt)]
    return sorted(found, key=lambda prompt: text_id(prompt.prompt))[: preparation.most_queries]


def _answers(model: Generator, prompts: Sequence[Prompt]) -> tuple[tuple[float, ...], float]:
    """The overlap of each answer with the wanted one, and the median milliseconds of an answer."""
    overlaps: list[float] = []
    took: list[float] = []
    for prompt in prompts:
        begun = time.perf_counter()
        said = model.answer(prompt.prompt, MOST_ANSWER_TOKENS)
        took.append((time.perf_counter() - begun) * 1000)
        overlaps.append(answer_f1(said, prompt.answer))
    return tuple(overlaps), round(statistics.median(took), 3)
