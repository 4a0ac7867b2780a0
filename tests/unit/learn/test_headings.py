"""Headings temper what labelled pairs teach, and never teach alone."""

from __future__ import annotations

from ragd.learn.headings import WEIGHT, heading_pairs

WORDS = ("amber", "bishop", "cedar", "dune", "ember", "fjord", "grove", "harbor", "inlet", "jade", "kelp", "lagoon")
CHAPTERS = (*WORDS, "meadow", "nectar", "orchid", "pebble")
HEADINGS = {n: f"Guide > {CHAPTERS[n // 2]} {CHAPTERS[n // 2][::-1]}" for n in range(32)}


def test_there_is_one_for_four_labelled_pairs_with_a_small_weight() -> None:
    pairs = heading_pairs(HEADINGS, 20, (), seed=1)
    assert len(pairs) == 5
    assert {(pair.source, pair.weight) for pair in pairs} == {("heading", WEIGHT)}
    assert all(HEADINGS[chunk] == pair.query for pair in pairs for chunk in pair.positives)
    assert pairs == heading_pairs(HEADINGS, 20, (), seed=1)


def test_there_are_none_without_labelled_pairs() -> None:
    assert heading_pairs(HEADINGS, 0, (), seed=1) == []


def test_what_is_held_out_and_what_says_too_little_is_left_out() -> None:
    usual = {1000 + n: "Notes" for n in range(50)}
    pairs = heading_pairs(HEADINGS | usual, 400, tuple(HEADINGS.values())[:16], seed=1)
    assert {pair.query for pair in pairs} == set(tuple(HEADINGS.values())[16:])
