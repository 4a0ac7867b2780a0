from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragd.config.learning import Budget
from ragd.domain.deciding import Cost
from ragd.domain.errors import ConfigInvalid
from ragd.learn.budget import (
    DAY_S,
    MONTH_S,
    Charge,
    Fits,
    PastCost,
    Waits,
    estimate,
    may_fill,
    price,
    quiet_until,
    reserve,
    usage,
)

NOW = 10_000_000.0
FREE = Cost()


def limits(**keys: object) -> Budget:
    return Budget.model_validate({"train_cpu_s_day": 0, "train_cpu_s_month": 0, **keys})


def spent(ago_s: float, cpu_s: float = 0.0, gpu_s: float = 0.0, what: str = "train") -> Charge:
    return Charge(NOW - ago_s, what, Cost(cpu_s, gpu_s))


def waits(answer: Fits | Waits) -> Waits:
    assert isinstance(answer, Waits)
    return answer


def test_without_limits_everything_fits() -> None:
    assert reserve(Cost(1e9, 1e9), [spent(5, 1e9)], Cost(1e9), limits(), NOW) == Fits(1.0)


def test_a_run_fits_up_to_the_limit_and_says_what_is_left() -> None:
    settings = limits(train_cpu_s_day=100)
    assert reserve(Cost(40), [spent(60, 50)], FREE, settings, NOW) == Fits(10 / 100)
    assert reserve(Cost(50), [spent(60, 50)], FREE, settings, NOW) == Fits(0.0)
    assert isinstance(reserve(Cost(51), [spent(60, 50)], FREE, settings, NOW), Waits)


def test_it_waits_until_enough_of_what_was_spent_is_a_day_old() -> None:
    settings = limits(train_cpu_s_day=100)
    charges = [spent(80_000, 30), spent(50_000, 30), spent(10, 30)]
    answer = waits(reserve(Cost(60), charges, FREE, settings, NOW))
    assert answer.until == NOW - 50_000 + DAY_S
    assert answer.key == "budget.train_cpu_s_day"
    assert answer.why == (
        "a run needs about 60 s of CPU, but 90 s of CPU of 100 s of CPU a day are spent (budget.train_cpu_s_day)"
    )
    assert isinstance(reserve(Cost(60), charges, FREE, settings, answer.until), Fits)


def test_what_is_reserved_counts_and_has_no_known_end() -> None:
    settings = limits(train_cpu_s_day=100)
    answer = waits(reserve(Cost(50), [], Cost(60), settings, NOW))
    assert answer.until is None
    assert not answer.is_never
    assert "60 s of CPU reserved for runs under way" in answer.why


def test_a_run_larger_than_the_limit_never_fits_and_names_the_key() -> None:
    answer = waits(reserve(Cost(500), [], FREE, limits(train_cpu_s_day=400, train_cpu_s_month=4000), NOW))
    assert answer.is_never
    assert answer.until is None
    assert answer.why == "a run needs about 500 s of CPU, budget.train_cpu_s_day allows 400 s of CPU a day"


def test_the_limit_that_holds_it_longest_is_told() -> None:
    settings = limits(train_cpu_s_day=100, train_cpu_s_month=200)
    answer = waits(reserve(Cost(50), [spent(10, 90), spent(20 * DAY_S, 90)], FREE, settings, NOW))
    assert (answer.key, answer.until) == ("budget.train_cpu_s_month", NOW - 20 * DAY_S + MONTH_S)


def test_gpu_and_cpu_have_their_own_limits() -> None:
    settings = limits(train_gpu_s_day=10)
    assert isinstance(reserve(Cost(cpu_s=1e6), [], FREE, settings, NOW), Fits)
    assert waits(reserve(Cost(1, 11), [], FREE, settings, NOW)).key == "budget.train_gpu_s_day"


def test_training_and_filling_have_their_own_seconds_but_share_the_money() -> None:
    settings = limits(train_cpu_s_day=100, backfill_cpu_s_day=100, cpu_rate=3600, money_day=150)
    train, fill = [spent(5, 90)], [spent(5, 90, what="backfill")]
    assert isinstance(reserve(Cost(50), fill, FREE, settings, NOW), Fits)
    assert isinstance(may_fill(Cost(50), train, FREE, settings, NOW), Fits)
    assert waits(may_fill(Cost(20), fill, FREE, settings, NOW)).key == "budget.backfill_cpu_s_day"
    both = waits(may_fill(Cost(90), train, FREE, settings, NOW))
    assert both.key == "budget.money_day"
    assert both.until == NOW - 5 + DAY_S


def test_filling_leaves_the_money_that_a_run_under_way_holds() -> None:
    settings = limits(backfill_cpu_s_day=100, cpu_rate=3600, money_day=150)
    held = waits(may_fill(Cost(60), [], Cost(100), settings, NOW))
    assert held.key == "budget.money_day"
    assert "reserved for runs under way" in held.why
    # Of the seconds of filling a run takes none.
    assert isinstance(may_fill(Cost(50), [], Cost(100), settings, NOW), Fits)


@pytest.mark.parametrize("what", ["prepare", "train", "evaluate"])
def test_preparing_and_evaluating_are_part_of_training(what: str) -> None:
    settings = limits(train_cpu_s_day=100)
    assert isinstance(reserve(Cost(20), [spent(5, 90, what=what)], FREE, settings, NOW), Waits)
    assert isinstance(reserve(Cost(20), [spent(5, 90, what="observe")], FREE, settings, NOW), Fits)


def test_work_of_no_cost_fits_even_where_a_limit_is_overdrawn() -> None:
    assert isinstance(reserve(Cost(gpu_s=1), [spent(5, 900)], FREE, limits(train_cpu_s_day=100), NOW), Fits)


def test_a_price_is_by_the_hour() -> None:
    assert price(Cost(1800, 3600), limits(cpu_rate=2, gpu_rate=5)) == 6.0
    assert price(Cost(1800, 3600), limits()) == 0


def test_usage_names_every_limit_once() -> None:
    settings = limits(train_cpu_s_day=100, backfill_cpu_s_month=50, money_month=7, cpu_rate=3600, currency="EUR")
    told = {use.key: (use.used, use.limit, use.unit) for use in usage([spent(5, 3)], settings, NOW)}
    assert told == {
        "budget.train_cpu_s_day": (3, 100, "s of CPU"),
        "budget.money_month": (3, 7, "EUR"),
        "budget.backfill_cpu_s_month": (0, 50, "s of CPU"),
    }


def test_the_first_guess_is_the_trainers_own() -> None:
    assert estimate([], 20, 500, device="cpu", threads=2) == Cost(20.0, 0.0)
    assert estimate([], 20, 500, device="cuda", threads=1) == Cost(10.0, 10.0)


def test_an_estimate_learns_from_the_last_five_runs() -> None:
    past = [PastCost(100, Cost(cpu)) for cpu in (10, 12, 11, 50, 11, 1000, 1000, 1000)]
    assert estimate(past, 1, 100, device="cpu", threads=1).cpu_s == 11
    assert estimate(past, 1, 200, device="cpu", threads=1).cpu_s == 22
    assert estimate(past, 1, 50, device="cpu", threads=1).cpu_s == 11


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("hours", "now", "until"),
    [
        ("", "2026-03-10T12:00", None),
        ("08:00-18:00", "2026-03-10T07:59:59", None),
        ("08:00-18:00", "2026-03-10T08:00", "2026-03-10T18:00"),
        ("08:00-18:00", "2026-03-10T18:00", None),
        ("22:00-06:00", "2026-03-10T23:30", "2026-03-11T06:00"),
        ("22:00-06:00", "2026-03-10T05:59", "2026-03-10T06:00"),
        ("22:00-06:00", "2026-03-10T12:00", None),
    ],
)
def test_quiet_hours_end_at_their_end_also_across_midnight(hours: str, now: str, until: str | None) -> None:
    expected = None if until is None else at(until)
    assert quiet_until(limits(quiet_hours=hours), at(now), UTC) == expected


def test_quiet_hours_are_local_and_know_summer_time() -> None:
    zone = "Europe/Berlin"
    # The clocks go forward at 02:00 in this night, which so has seven hours between 22:00 and 06:00.
    now, until = at("2026-03-28T22:00", zone), at("2026-03-29T06:00", zone)
    assert quiet_until(limits(quiet_hours="22:00-06:00"), now, ZoneInfo(zone)) == until
    assert until - now == 7 * 3600
    assert quiet_until(limits(quiet_hours="22:00-06:00"), at("2026-03-28T21:30"), ZoneInfo(zone)) == until


def test_quiet_hours_that_end_in_the_hour_that_comes_twice_never_ended_already() -> None:
    zone, settings = ZoneInfo("Europe/Berlin"), limits(quiet_hours="22:00-02:30")
    first, second = (datetime(2026, 10, 25, 2, 30, fold=fold, tzinfo=zone).timestamp() for fold in (0, 1))
    assert second - first == 3600
    assert quiet_until(settings, first - 60, zone) == first
    assert quiet_until(settings, first + 60, zone) is None
    assert quiet_until(settings, second - 60, zone) == second
    assert quiet_until(settings, second, zone) is None


@pytest.mark.parametrize("hours", ["25:00-26:00", "08:00-08:00", "08:61-09:00"])
def test_hours_that_are_none_are_named(hours: str) -> None:
    settings = limits().model_copy(update={"quiet_hours": hours})  # as if no rule had looked at them
    with pytest.raises(ConfigInvalid, match=r"budget\.quiet_hours"):
        quiet_until(settings, NOW, UTC)


costs = st.builds(Cost, st.floats(0, 120), st.floats(0, 60))
budgets = st.builds(
    limits,
    train_cpu_s_day=st.sampled_from([0, 100, 300]),
    train_cpu_s_month=st.sampled_from([0, 500]),
    train_gpu_s_day=st.sampled_from([0, 50]),
    cpu_rate=st.just(3600),
    money_day=st.sampled_from([0, 200]),
)


@settings(max_examples=100, deadline=None)
@given(budgets, st.lists(st.tuples(st.floats(0, DAY_S), costs), max_size=15))
def test_what_is_reserved_and_spent_never_exceeds_a_limit(budget: Budget, asked: list[tuple[float, Cost]]) -> None:
    now, charges = NOW, list[Charge]()
    for after_s, cost in asked:
        now += after_s
        if isinstance(reserve(cost, charges, FREE, budget, now), Fits):
            charges.append(Charge(now, "train", cost))
        for use in usage(charges, budget, now):
            assert use.used <= use.limit + 1e-6


@settings(max_examples=100, deadline=None)
@given(budgets, st.lists(st.tuples(st.floats(0, MONTH_S), costs), max_size=12), costs)
def test_a_wait_that_is_told_is_long_enough(budget: Budget, past: list[tuple[float, Cost]], wanted: Cost) -> None:
    charges = [Charge(NOW - ago_s, "train", cost) for ago_s, cost in past]
    answer = reserve(wanted, charges, FREE, budget, NOW)
    if isinstance(answer, Waits) and answer.until is not None:
        assert answer.until >= NOW
        assert isinstance(reserve(wanted, charges, FREE, budget, answer.until + 1e-3), Fits)
    if isinstance(answer, Waits) and answer.is_never:
        assert isinstance(reserve(wanted, [], FREE, budget, NOW), Waits)
