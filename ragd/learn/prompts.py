"""Prompts with answers from JSONL files, cleaned and divided by a hash: what is held out is never trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragd.domain.learning import Prompt
from ragd.learn.clean import CleanReport, Tally
from ragd.learn.likeness import NearTexts, normalised
from ragd.learn.lines import json_object, read_lines, text_field
from ragd.learn.splits import Side, side_of

_LEAST_CHARS = 2


@dataclass(frozen=True, slots=True)
class DividedPrompts:
    """Prompts to train on and those only the evaluation asks, with what was dropped and why."""

    training: tuple[Prompt, ...]
    heldout: tuple[Prompt, ...]
    report: CleanReport


def read_prompts(path: Path) -> tuple[tuple[str, Prompt], ...]:
    """(place, prompt) of one file of JSON objects with `prompt` and `answer`, a line each; .gz too.

    `question` may stand for `prompt`. Raises PairsInvalid naming file, line and reason.
    """

    def read(line: str, number: int) -> tuple[str, Prompt]:
        raw: dict[str, Any] = json_object(line)
        return f"{path.name}:{number}", Prompt(text_field(raw, "prompt", "question"), text_field(raw, "answer"))

    return tuple(read_lines(path, read))


def divide_prompts(given: Sequence[tuple[str, Prompt]], heldout_share: float) -> DividedPrompts:
    """Cleans and divides prompts; those of the training side that are nearly equal to a held-out one are dropped."""
    tally = Tally(len(given))
    seen: dict[str, Prompt] = {}
    kept: list[tuple[str, Prompt]] = []
    for place, prompt in given:
        form = normalised(prompt.prompt)
        if len(form) < _LEAST_CHARS or not prompt.answer.strip():
            tally.drop("too_short", place)
        elif form in seen:
            tally.drop(
                "duplicate" if normalised(seen[form].answer) == normalised(prompt.answer) else "contradictory", place
            )
        else:
            seen[form] = prompt
            kept.append((place, prompt))
    is_out = [side_of(normalised(prompt.prompt), heldout_share) is Side.HELD_OUT for _, prompt in kept]
    near = NearTexts()
    for (_, prompt), out in zip(kept, is_out, strict=True):
        if out:
            near.add(prompt.prompt)
    training: list[Prompt] = []
    for (place, prompt), out in zip(kept, is_out, strict=True):
        if not out and near.has_near(prompt.prompt):
            tally.drop("near_held_out", place)
        elif not out:
            training.append(prompt)
    heldout = tuple(prompt for (_, prompt), out in zip(kept, is_out, strict=True) if out)
    return DividedPrompts(tuple(training), heldout, tally.report(kept=len(training) + len(heldout)))
