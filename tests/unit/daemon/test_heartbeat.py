"""Whether the main thread gets on, as whoever feeds the watchdog sees it."""

from __future__ import annotations

import pytest

from ragd.daemon.heartbeat import Heartbeat


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def beats(heartbeat: Heartbeat) -> bool:
    return heartbeat.is_beating


def test_silence_counts_as_a_hang_after_the_limit(clock: Clock) -> None:
    heartbeat = Heartbeat(10, clock)
    clock.now += 10
    assert beats(heartbeat)
    clock.now += 1
    assert not beats(heartbeat)
    assert heartbeat.silent_s == 11
    heartbeat.beat()
    assert beats(heartbeat)


def test_work_that_was_announced_as_long_is_waited_for_and_no_longer(clock: Clock) -> None:
    heartbeat = Heartbeat(10, clock)
    heartbeat.beat(300)
    clock.now += 309
    assert beats(heartbeat)
    clock.now += 2
    assert not beats(heartbeat)
    heartbeat.beat()
    clock.now += 11
    assert not beats(heartbeat)  # the announcement held for one piece of work


def test_an_excuse_lasts_as_long_as_the_limit(clock: Clock) -> None:
    heartbeat = Heartbeat(10, clock)
    for _ in range(30):
        clock.now += 2
        heartbeat.excuse()
    assert beats(heartbeat)
    clock.now += 11
    assert not beats(heartbeat)


def test_a_job_is_heard_of_when_it_begins_and_when_it_ends_also_badly(clock: Clock) -> None:
    heartbeat = Heartbeat(10, clock)

    def works(seconds: float) -> float:
        assert heartbeat.silent_s == 0
        clock.now += seconds
        if seconds > 50:
            raise ValueError(seconds)
        return seconds

    clock.now += 100
    handlers = heartbeat.through({"plan": works})
    assert handlers["plan"](40) == 40
    assert beats(heartbeat)
    with pytest.raises(ValueError, match="60"):
        handlers["plan"](60)
    assert beats(heartbeat)
