"""A few changes are urgent, a flood is not, and calm brings urgency back."""

from __future__ import annotations

from ragd.watch.urgency import Bucket, Urgency


def test_a_burst_is_taken_and_what_follows_at_once_is_not() -> None:
    bucket = Bucket(burst=3, per_s=1.0)
    assert [bucket.takes(100.0) for _ in range(5)] == [True, True, True, False, False]


def test_calm_fills_it_again_a_little_at_a_time_and_never_beyond_the_burst() -> None:
    bucket = Bucket(burst=2, per_s=1.0)
    assert [bucket.takes(at) for at in (100.0, 100.0, 100.0, 101.0, 101.0)] == [True, True, False, True, False]
    assert [bucket.takes(500.0) for _ in range(3)] == [True, True, False]


def test_a_clock_that_is_set_back_starts_over() -> None:
    bucket = Bucket(burst=1, per_s=0.1)
    assert [bucket.takes(at) for at in (100.0, 100.0, 50.0)] == [True, False, True]


def test_an_edit_amid_a_large_copy_is_still_urgent() -> None:
    urgency = Urgency()
    copied = [urgency.takes(100.0, is_new=True) for _ in range(1000)]
    assert sum(copied) == 64
    assert urgency.takes(100.0, is_new=False)
