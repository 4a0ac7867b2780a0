"""The randomisation test keeps its level on data without a difference, and finds one that is there."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ragd.learn.significance import randomisation_p


def test_few_pairs_are_tested_exactly() -> None:
    random = np.random.default_rng(3)
    before, after = random.random(8), random.random(8)
    gains = after - before
    signs = itertools.product((-1, 1), repeat=8)
    exact = np.mean([np.dot(s, gains) >= gains.sum() - 1e-12 for s in signs])
    assert randomisation_p(before.tolist(), after.tolist()) == pytest.approx(exact)


def test_chance_agrees_with_the_exact_test() -> None:
    random = np.random.default_rng(4)
    before = random.random(14)
    after = before + random.normal(0.05, 0.15, 14)
    exact = randomisation_p(before.tolist(), after.tolist())
    # One more pair whose difference is next to nothing is tested by chance, and changes next to nothing.
    padded = randomisation_p([*before, 0.5], [*after, 0.5 + 1e-9])
    assert padded == pytest.approx(exact, abs=0.02)


def test_no_difference_has_no_significance_and_the_wrong_direction_less() -> None:
    assert randomisation_p([0.5] * 40, [0.5] * 40) == 1.0
    assert randomisation_p([0.5] * 40, [0.4] * 40) == 1.0
    assert randomisation_p([], []) == 1.0
    assert randomisation_p([0.4] * 40, [0.5] * 40) == pytest.approx(1 / 20_001)


def test_false_alarms_on_data_without_a_difference_are_as_rare_as_promised() -> None:
    """Scores like those of real evaluations: mostly equal, bounded, skewed; both sides drawn alike."""
    random = np.random.default_rng(11)
    trials, alpha = 600, 0.05
    alarms = 0
    for trial in range(trials):
        levels = np.array([0.0, 0.0, 0.0, 0.32, 0.39, 0.5, 0.63, 1.0])
        before = random.choice(levels, 60)
        changed = random.random(60) < 0.4
        after = np.where(changed, random.permutation(before), before)
        pair = (before, after) if random.random() < 0.5 else (after, before)
        alarms += randomisation_p(*(side.tolist() for side in pair), seed=trial, permutations=999) <= alpha
    # Three standard errors of a binomial share.
    assert alarms / trials <= alpha + 3 * np.sqrt(alpha * (1 - alpha) / trials)


def test_a_difference_that_is_there_is_found() -> None:
    random = np.random.default_rng(12)
    before = random.random(300)
    found = sum(
        randomisation_p(before.tolist(), (before + random.normal(0.03, 0.2, 300)).tolist(), seed=n, permutations=999)
        < 0.05
        for n in range(20)
    )
    assert found >= 12


def test_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="broadcast"):
        randomisation_p([1.0, 2.0], [1.0, 2.0, 3.0])
