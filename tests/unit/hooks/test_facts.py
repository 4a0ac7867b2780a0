"""Facts about a plugin survive being JSON, and what are none is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ragd.domain.learning import Data, Needs, Role
from ragd.domain.plugins import PluginFacts, TrainerFacts
from ragd.hooks import facts, trust

WHOLE = PluginFacts(
    "mine",
    "file",
    "/plugins/mine.py",
    "ab" * 32,
    hooks=("ragd_event", "ragd_trainers"),
    trainers=(TrainerFacts("one", Role.ENCODER, Needs(Data.TEXTS, 7), 2.5, "mine"),),
    readers=("r",),
    policies=("p",),
    commands=("c",),
)


def test_facts_survive_being_json() -> None:
    assert facts.from_json(json.loads(json.dumps(facts.to_json(WHOLE)))) == WHOLE


@pytest.mark.parametrize(
    "change",
    [
        {"name": 1},
        {"hooks": [1]},
        {"problem": "x" * 5000},
        {"trainers": [{"name": "one"}]},
        {"trainers": [{**facts.to_json(WHOLE)["trainers"][0], "role": "dreamer"}]},
        {"trainers": 3},
    ],
)
def test_what_are_no_facts_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        facts.from_json({**facts.to_json(WHOLE), **change})


def test_what_is_offered_is_told_in_words() -> None:
    assert facts.offered(WHOLE) == ("trainer one", "reader r", "policy p", "command c", "events")
    assert facts.offered(PluginFacts("none", "bundled")) == ()


@pytest.mark.parametrize(
    ("problem", "state"),
    [
        ("", "used"),
        (trust.NOT_TRUSTED, "not trusted"),
        (trust.CHANGED, "not trusted"),
        (facts.DISABLED, "disabled"),
        (facts.LOOKING, "looking"),
        ("OSError: no", "blocked"),
    ],
)
def test_how_a_plugin_stands_is_a_word(problem: str, state: str) -> None:
    assert facts.state_of(PluginFacts("mine", "file", problem=problem)) == state
