"""Plans on their way: searchable is never said too early, and a lost plan is written off."""

from __future__ import annotations

from ragd.daemon.plans import Plans


def test_a_plan_waits_from_before_it_is_queued_until_it_was_carried_out() -> None:
    plans = Plans()
    seen = [plans.are_waiting]
    for step in (plans.sent, plans.done):
        step()
        seen.append(plans.are_waiting)
    assert seen == [False, True, False]


def test_a_plan_that_redis_lost_is_written_off_by_the_tick_behind_it() -> None:
    plans = Plans()
    plans.sent()
    plans.tick_sent(plans.count)
    plans.sent()
    plans.tick_done()
    assert plans.are_waiting  # the second plan was sent after the tick
    plans.done()
    assert plans.count == 2
    assert plans.are_waiting is False


def test_a_plan_done_twice_counts_once() -> None:
    plans = Plans()
    plans.sent()
    plans.done()
    plans.done()
    plans.sent()
    assert plans.are_waiting


def test_those_on_their_way_are_counted() -> None:
    plans = Plans()
    plans.sent()
    plans.sent()
    plans.done()
    assert plans.waiting == 1
