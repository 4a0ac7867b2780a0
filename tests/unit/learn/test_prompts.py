"""Prompts are read, cleaned and divided so that nothing held out is trained on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ragd.domain.errors import PairsInvalid
from ragd.domain.learning import Prompt
from ragd.learn.likeness import NearTexts
from ragd.learn.prompts import divide_prompts, read_prompts


def prompts(count: int) -> list[tuple[str, Prompt]]:
    animals = ("otter", "heron", "badger", "lynx", "plaice", "wren", "gecko", "moth")
    return [
        (f"p:{n}", Prompt(f"What does the {animals[n % 8]} of valley {n * 7919} eat in winter?", f"answer {n}"))
        for n in range(count)
    ]


def test_a_file_of_prompts_is_read_with_places(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"prompt": "one?", "answer": "1"}\n{"question": "two?", "answer": "2"}\n', "utf-8")
    assert read_prompts(path) == (("p.jsonl:1", Prompt("one?", "1")), ("p.jsonl:2", Prompt("two?", "2")))


def test_a_line_without_an_answer_is_named(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"prompt": "one?"}) + "\n", "utf-8")
    with pytest.raises(PairsInvalid, match="line 1: `answer` is missing"):
        read_prompts(path)


def test_division_is_the_same_every_time_whatever_the_order() -> None:
    given = prompts(200)
    one, other = divide_prompts(given, 0.3), divide_prompts(given[::-1], 0.3)
    assert {prompt.prompt for prompt in one.heldout} == {prompt.prompt for prompt in other.heldout}
    assert 30 <= len(one.heldout) <= 90


def test_nothing_near_a_held_out_prompt_is_trained_on() -> None:
    given = prompts(300)
    given += [(f"again:{place}", Prompt(f"{p.prompt} Please.", p.answer)) for place, p in given]
    divided = divide_prompts(given, 0.3)
    near = NearTexts()
    for prompt in divided.heldout:
        near.add(prompt.prompt)
    assert divided.training
    assert not [prompt for prompt in divided.training if near.has_near(prompt.prompt)]
    assert divided.report.dropped["near_held_out"].count > 0


def test_what_says_the_same_twice_or_nothing_is_dropped_and_told() -> None:
    given = [("a:1", Prompt("Why is it so?", "because")), ("a:2", Prompt("why is it so", "Because!"))]
    given += [("a:3", Prompt("why is it so", "by chance")), ("a:4", Prompt("?", "because"))]
    report = divide_prompts(given, 0.3).report
    assert {reason: (found.count, found.examples) for reason, found in report.dropped.items()} == {
        "duplicate": (1, ("a:2",)),
        "contradictory": (1, ("a:3",)),
        "too_short": (1, ("a:4",)),
    }
    assert (report.given, report.kept) == (4, 1)
