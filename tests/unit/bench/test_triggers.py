from __future__ import annotations

import numpy as np

from bench.embedded import Corpus
from bench.triggers import Tally, Topic, arrival, mixed, rate, repeat
from ragd.learn.observe import Lens
from tests.unit.learn.topics import topical


def corpus(rows: int, *, far: bool = False) -> Corpus:
    """Documents of three chunks each."""
    vectors = topical(rows, seed=1, far=far).astype(np.float16)
    return Corpus("far" if far else "base", ("",) * rows, tuple(i // 3 for i in range(rows)), vectors)


def test_documents_come_in_shuffled_but_whole() -> None:
    base = corpus(300)
    windows = arrival(base, np.random.default_rng(0), 30)
    rows = np.concatenate(windows)
    places = [int(np.flatnonzero((base.vectors == row).all(axis=1))[0]) for row in rows]
    assert sorted(places) == list(range(300))
    assert places != list(range(300))
    assert all(places[i + 1] == places[i] + 1 and places[i + 2] == places[i] + 2 for i in range(0, 300, 3))


def test_a_share_of_a_window_is_replaced_at_random_places_or_in_one_run() -> None:
    window, far = corpus(100).vectors, corpus(50, far=True)
    for is_together in (False, True):
        changed = mixed(window, Topic(far, 0.1, is_together), np.random.default_rng(0))
        places = np.flatnonzero((changed != window).any(axis=1))
        assert len(places) == 10
        assert bool(places[-1] - places[0] == 9) == is_together


def test_a_repeat_counts_clean_mixed_and_renewed_windows() -> None:
    tally = Tally()
    repeat(corpus(1000), Topic(corpus(300, far=True), 0.2, False), Lens(50, 6, 12), 5, tally)
    assert (len(tally.clean), len(tally.clean_threes), len(tally.renewed)) == (8, 6, 3)
    assert (tally.noticed, tally.fired) == ([True], [True])
    assert rate(tally.clean) == 0
    assert tally.rows == 1000
    assert tally.cost_s > 0
