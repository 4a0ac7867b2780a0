from __future__ import annotations

from threading import Barrier, Event, Thread

import pytest

from ragd.index.latch import Latch

PATIENCE_S = 20


def started(*targets: Thread) -> list[Thread]:
    for thread in targets:
        thread.daemon = True
        thread.start()
    return list(targets)


def test_searches_pass_together() -> None:
    latch, meeting = Latch(), Barrier(3, timeout=PATIENCE_S)
    met = []

    def search() -> None:
        with latch.shared:
            met.append(meeting.wait())

    for thread in started(*(Thread(target=search) for _ in range(3))):
        thread.join(PATIENCE_S)
    assert sorted(met) == [0, 1, 2]


def test_a_change_waits_for_searches_and_later_searches_wait_for_it() -> None:
    latch = Latch()
    order: list[str] = []
    first_is_in, first_may_go, change_waits = Event(), Event(), Event()

    def first() -> None:
        with latch.shared:
            first_is_in.set()
            first_may_go.wait(PATIENCE_S)
            order.append("first search")

    def change() -> None:
        first_is_in.wait(PATIENCE_S)
        change_waits.set()
        with latch.exclusive:
            order.append("change")

    def second() -> None:
        change_waits.wait(PATIENCE_S)
        while not latch._waiting_writers:
            pass
        first_may_go.set()
        with latch.shared:
            order.append("second search")

    for thread in started(*(Thread(target=target) for target in (first, change, second))):
        thread.join(PATIENCE_S)
    assert order[0] == "first search"
    assert sorted(order[1:]) == ["change", "second search"]
    assert order[1] == "change"


def test_busy_searches_and_busy_changes_all_get_on() -> None:
    latch = Latch()
    inside = {"readers": 0, "writers": 0}
    wrong: list[dict[str, int]] = []
    done = {"reads": 0, "writes": 0}
    stop = Event()

    def read() -> None:
        while not stop.is_set():
            with latch.shared:
                if inside["writers"]:
                    wrong.append(dict(inside))
            done["reads"] += 1

    def write() -> None:
        for _ in range(2_000):
            with latch.exclusive:
                inside["writers"] += 1
                if inside["writers"] != 1:
                    wrong.append(dict(inside))
                inside["writers"] -= 1
            done["writes"] += 1

    readers = started(*(Thread(target=read) for _ in range(3)))
    writers = started(*(Thread(target=write) for _ in range(2)))
    for thread in writers:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    stop.set()
    for thread in readers:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    assert not wrong
    assert done["reads"] > 0


def test_an_error_inside_gives_the_latch_back() -> None:
    latch = Latch()
    with pytest.raises(ZeroDivisionError), latch.exclusive:
        _ = 1 / 0
    with pytest.raises(ZeroDivisionError), latch.shared:
        _ = 1 / 0
    with latch.exclusive:
        pass
    with latch.shared:
        pass
    assert (latch._readers, latch._waiting_readers, latch._entitled_readers, latch._waiting_writers) == (0, 0, 0, 0)
