from __future__ import annotations

import numpy as np
import pytest

from ragd.learn.clusters import fitted
from ragd.learn.drift import LEAST_WINDOWS, Reference, calibrated, look
from tests.unit.learn.topics import mixed, topical


def reference(size: int = 100, windows: int = 8, seed: int = 0) -> Reference:
    return calibrated([topical(size, seed=seed * 1000 + number) for number in range(windows)], seed=seed)


@pytest.mark.parametrize("size", [50, 100, 200])
def test_windows_like_the_reference_are_no_drift(size: int) -> None:
    past = reference(size)
    alarms = [look(past, topical(size, seed=5000 + s), seed=s).is_drift for s in range(60)]
    assert sum(alarms) <= 1


@pytest.mark.parametrize(("size", "least"), [(50, 6), (100, 9), (200, 10)])
def test_a_tenth_of_a_new_topic_is_drift(size: int, least: int) -> None:
    past = reference(size)
    looks = [look(past, mixed(size, 0.1, seed=6000 + s), seed=s) for s in range(10)]
    assert all(seen.is_beyond for seen in looks)
    assert sum(seen.is_drift for seen in looks) >= least


def test_novelty_is_the_share_that_lies_beyond_reach() -> None:
    past = reference()
    assert look(past, topical(100, seed=9), seed=0).novelty <= 0.06
    assert look(past, mixed(100, 0.3, seed=9), seed=0).novelty == pytest.approx(0.3, abs=0.05)


def test_another_mixture_of_known_topics_shows_in_the_histogram() -> None:
    past = reference(200)
    one_topic = topical(200, seed=3, topics=12)
    near = one_topic @ one_topic[0] > 0.5
    window = np.concatenate([one_topic[near]] * 20)[:200]
    seen = look(past, window, seed=0)
    assert seen.histogram > past.histogram_limit
    assert seen.is_beyond


def test_the_test_is_asked_only_where_a_limit_is_exceeded() -> None:
    past = reference()
    assert look(past, topical(100, seed=77), seed=0).mmd_p is None
    assert look(past, mixed(100, 0.4, seed=77), seed=0).mmd_p is not None


def test_small_windows_add_up_to_a_proof() -> None:
    past = reference(50)
    windows = [mixed(50, 0.1, seed=400 + s) for s in range(3)]
    alone = look(past, windows[2], seed=0).mmd_p
    together = look(past, windows[2], seed=0, before=[windows[1], windows[0]]).mmd_p
    assert alone is not None
    assert together is not None
    assert together <= max(alone, 0.01)


def test_windows_that_differ_by_nature_widen_the_limits() -> None:
    even = reference()
    windows = [topical(100, seed=s) for s in range(8)]
    uneven = calibrated([*windows[:6], mixed(100, 0.3, seed=6), mixed(100, 0.1, seed=7)], seed=0)
    assert uneven.excess_limit > even.excess_limit
    assert not look(uneven, mixed(100, 0.1, seed=8), seed=0).is_beyond


def test_given_centroids_are_used_as_they_are() -> None:
    windows = [topical(100, seed=s) for s in range(4)]
    centroids = fitted(np.concatenate(windows), 5, seed=1)
    past = calibrated(windows, seed=0, centroids=centroids)
    assert past.centroids is centroids
    assert past.counts.sum() == 400


def test_equal_arguments_give_equal_looks() -> None:
    assert look(reference(), mixed(100, 0.1, seed=1), seed=3) == look(reference(), mixed(100, 0.1, seed=1), seed=3)


def test_too_few_windows_cannot_calibrate() -> None:
    with pytest.raises(ValueError, match="3 windows cannot calibrate"):
        calibrated([topical(50, seed=s) for s in range(LEAST_WINDOWS - 1)], seed=0)
