from __future__ import annotations

from dataclasses import replace
from datetime import UTC

import pytest

from ragd.config.learning import Budget, TrainerSettings
from ragd.domain.deciding import Cost, Observed, Reason
from ragd.domain.learning import Data, Needs, Role
from ragd.domain.plugins import TrainerFacts
from ragd.learn.budget import PastCost
from ragd.learn.simulate import History, Kept, RealRun, Replay, Terms, simulate

HOUR = 3600.0
FACTS = {
    "adapter": TrainerFacts("adapter", Role.QUERY_ADAPTER, Needs(Data.PAIRS, 50), 10.0, "p"),
    "lora": TrainerFacts("lora", Role.ENCODER, Needs(Data.PAIRS, 50), 1000.0, "p"),
}
TERMS = Terms(Budget(train_cpu_s_day=0, train_cpu_s_month=0), tz=UTC)


def kept(hour: float, changed: int, *, last_run: float | None = None, new: int = 0, **more: object) -> Kept:
    observed = Observed(
        hour * HOUR,
        live_chunks=1000,
        changed_chunks=changed,
        examples=100,
        new_examples=new,
        last_run_at=None if last_run is None else last_run * HOUR,
    )
    return Kept(replace(observed, **more))  # type: ignore[arg-type]


def history(*entries: Kept, trainer: str = "adapter", **more: object) -> History:
    return replace(History({trainer: entries}), **more)  # type: ignore[arg-type]


def replayed(past: History, terms: Terms = TERMS, trainer: str = "adapter", **table: object) -> Replay:
    policy = {trainer: TrainerSettings.model_validate({"cooldown_s": 0, **table})}
    (found,) = simulate(past, FACTS, policy, terms)
    return found


def hours(replay: Replay) -> list[float]:
    return [firing.at / HOUR for firing in replay.firings]


def test_the_policy_that_was_in_force_fires_when_it_fired() -> None:
    # A real run at each hundred changes: the count begins anew after it.
    past = history(kept(1, 40), kept(2, 100), kept(3, 10, last_run=2), kept(4, 100, last_run=2), kept(5, 5, last_run=4))
    assert hours(replayed(past, changed_chunks=100)) == [2, 4]


def test_what_came_in_is_counted_from_the_simulated_run() -> None:
    past = history(kept(1, 40), kept(2, 90), kept(3, 10, last_run=2), kept(4, 60, last_run=2), kept(5, 70, last_run=2))
    # In all 40, 90, 100, 150, 160 chunks came, whatever the real runs were.
    assert hours(replayed(past, changed_chunks=50)) == [2, 4]
    assert hours(replayed(past, changed_chunks=150)) == [4]
    assert hours(replayed(past, changed_chunks=161)) == []


def test_new_examples_are_counted_likewise() -> None:
    past = history(kept(1, 0, new=10), kept(2, 0, new=30), kept(3, 0, new=5, last_run=2.5))
    assert hours(replayed(past, new_examples=35)) == [3]


def test_the_cooldown_counts_from_the_simulated_run() -> None:
    past = history(*(kept(hour, 100 * hour) for hour in range(1, 9)))
    assert hours(replayed(past, changed_chunks=1)) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert hours(replayed(past, changed_chunks=1, cooldown_s=3 * HOUR)) == [1, 4, 7]


def test_a_run_before_the_history_still_cools_down() -> None:
    past = history(kept(10, 500, last_run=9), kept(12, 500, last_run=9))
    assert hours(replayed(past, changed_chunks=1, cooldown_s=2 * HOUR)) == [12]


def test_a_level_fires_once_until_it_goes_back() -> None:
    shares = enumerate((0.6, 0.6, 0.1, 0.6, 0.6), start=1)
    past = history(*(kept(hour, 0, answers=50, bad_share=share) for hour, share in shares))
    assert hours(replayed(past, bad_share=0.5)) == [1, 4]


def test_a_firing_tells_its_reasons_and_its_cost() -> None:
    replay = replayed(history(kept(1, 100)), changed_chunks=100)
    (firing,) = replay.firings
    assert firing.cost == Cost(1.0)
    assert firing.examples == 100
    assert "100 chunks changed since the last run, fires at 100" in {reason.text for reason in firing.reasons}
    learned = history(kept(1, 100), costs={"adapter": [PastCost(50, Cost(3.0))]})
    assert replayed(learned, changed_chunks=100).cost == Cost(6.0)


def test_all_trainers_share_the_budget() -> None:
    past = History({"adapter": (kept(1, 100), kept(10, 200)), "lora": (kept(2, 100), kept(40, 200))})
    terms = replace(TERMS, budget=Budget(train_cpu_s_day=103, train_cpu_s_month=0))
    tables = {name: TrainerSettings(changed_chunks=50, cooldown_s=0) for name in FACTS}
    adapter, lora = simulate(past, FACTS, tables, terms)
    assert (hours(adapter), adapter.held) == ([1, 10], 0)
    assert (hours(lora), lora.held) == ([2, 40], 0)
    tight = replace(TERMS, budget=Budget(train_cpu_s_day=100.5, train_cpu_s_month=0))
    adapter, lora = simulate(past, FACTS, tables, tight)
    assert (hours(lora), lora.held) == ([40], 1)


def test_quiet_hours_hold_back() -> None:
    terms = replace(TERMS, budget=Budget(quiet_hours="01:00-03:00"))
    replay = replayed(history(kept(1, 100), kept(2, 200), kept(3, 300)), terms, changed_chunks=100)
    assert (hours(replay), replay.held) == ([3], 2)


def test_a_kept_answer_of_a_policy_is_used_again() -> None:
    yes = replace(kept(2, 0), policy=Reason("policy", True, "now"))
    assert hours(replayed(history(kept(1, 0), yes), policy="mine")) == [2]


def test_a_trainer_without_history_is_shown_the_longest_one() -> None:
    replay = replayed(history(kept(1, 100)), trainer="lora", changed_chunks=100)
    assert (replay.kept_by, replay.looked, hours(replay)) == ("adapter", 1, [1])


def test_nothing_kept_gives_an_empty_replay() -> None:
    replay = replayed(History({}), changed_chunks=100)
    assert (replay.kept_by, replay.looked, replay.firings, replay.cost) == ("", 0, (), Cost())


def test_it_stands_beside_what_really_happened_in_that_time() -> None:
    runs = [
        RealRun("adapter", 1.5 * HOUR, Cost(5.0), "passed"),
        RealRun("adapter", 9 * HOUR, Cost(7.0)),
        RealRun("lora", 1.5 * HOUR, Cost(9.0)),
    ]
    replay = replayed(history(kept(1, 100), kept(2, 100), runs=runs), changed_chunks=500)
    assert replay.real_cost == Cost(5.0)
    assert (replay.since, replay.until) == (HOUR, 2 * HOUR)


def test_a_table_may_switch_a_trainer_off() -> None:
    assert hours(replayed(history(kept(1, 100)), changed_chunks=1, enabled=False)) == []


def test_a_trainer_that_nobody_offers_is_an_error() -> None:
    with pytest.raises(KeyError, match="nobody"):
        simulate(history(kept(1, 1)), FACTS, {"nobody": TrainerSettings()}, TERMS)
