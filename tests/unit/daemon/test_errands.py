"""Work that other threads ask the main thread to do."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from ragd.daemon.errands import Errands
from ragd.domain.errors import BrokerUnavailable, NotFound, TimedOut


def test_the_thread_that_runs_errands_makes_the_call_and_the_asker_gets_the_result() -> None:
    woken = threading.Event()
    errands = Errands(woken.set)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(errands.ask, threading.get_ident)
        assert woken.wait(5)
        assert errands.run() == 1
        assert asked.result(5) == threading.get_ident()


def test_who_runs_errands_is_told_how_long_each_may_take() -> None:
    told: list[float] = []
    errands = Errands(lambda: None, told.append)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(errands.ask, lambda: list(told), timeout_s=300)
        while not errands.run():
            pass
        assert asked.result(5) == [300]


def test_an_error_reaches_the_asker_and_not_the_main_thread() -> None:
    woken = threading.Event()
    errands = Errands(woken.set)

    def fails() -> None:
        raise NotFound("nothing here")

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(errands.ask, fails)
        assert woken.wait(5)
        assert errands.run() == 1
        with pytest.raises(NotFound, match="nothing here"):
            asked.result(5)


def test_an_errand_nobody_runs_in_time_is_not_made_later() -> None:
    made: list[int] = []
    errands = Errands(lambda: None)
    with pytest.raises(TimedOut, match="too busy"):
        errands.ask(lambda: made.append(1), timeout_s=0.01)
    assert errands.run() == 0
    assert made == []


def test_an_errand_whose_asker_was_told_that_redis_is_away_is_not_made_later() -> None:
    made: list[int] = []

    def away() -> None:
        raise BrokerUnavailable("Redis is away")

    errands = Errands(away)
    call = partial(made.append, 1)
    kept = weakref.ref(call)
    with pytest.raises(BrokerUnavailable):
        errands.ask(call)
    assert errands.run() == 0
    assert made == []
    del call
    gc.collect()
    assert kept() is None  # however often somebody asks
