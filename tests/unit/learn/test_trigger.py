from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragd.config.learning import TrainerSettings
from ragd.domain.deciding import Decision, Observed, Reason, Window
from ragd.domain.learning import Data, Needs, Role
from ragd.domain.plugins import TrainerFacts
from ragd.learn.trigger import GATES, LEVELS, Past, after, decide, effective, is_enabled

ADAPTER = TrainerFacts("query_adapter", Role.QUERY_ADAPTER, Needs(Data.PAIRS, 50), 2.0, "query_adapter")
FIT = TrainerFacts("coarse_quantizer", Role.INDEX, Needs(Data.VECTORS, 1000), 1.0, "coarse_quantizer")
NOW = 1_000_000.0
READY = Observed(NOW, live_chunks=1000, changed_chunks=0, examples=200, last_run_at=NOW - 7200, started_at=NOW - 90_000)
NOTHING = Past()


def asks(**keys: object) -> TrainerSettings:
    return TrainerSettings.model_validate({"enabled": True, **keys})


def decided(observed: Observed, table: TrainerSettings, past: Past = NOTHING, policy: Reason | None = None) -> Decision:
    return decide(ADAPTER, table, observed, past, policy=policy)


def reason(decision: Decision, name: str) -> Reason:
    return next(each for each in decision.reasons if each.condition == name)


def window(*, is_drift: bool, at: float = NOW, kind: str = "documents") -> Window:
    return Window(kind, at, 100, 0.12, 40.0, 0.01 if is_drift else None, is_drift)


def test_changed_chunks_fire_at_their_number() -> None:
    assert not decided(replace(READY, changed_chunks=49), asks(changed_chunks=50)).fires
    fired = decided(replace(READY, changed_chunks=50), asks(changed_chunks=50))
    assert fired.fires
    assert reason(fired, "changed_chunks").text == "50 chunks changed since the last run, fires at 50"


@pytest.mark.parametrize(
    ("observed", "table", "name"),
    [
        ({"changed_chunks": 250}, {"changed_share": 0.25}, "changed_share"),
        ({"new_examples": 10}, {"new_examples": 10}, "new_examples"),
        ({"answers": 20, "bad_share": 0.3}, {"bad_share": 0.3}, "bad_share"),
        ({"changed_chunks": 30, "centroid_cosine": 0.79}, {"centroid_cosine": 0.8}, "centroid_cosine"),
        ({}, {"every_s": 7200}, "every_s"),
    ],
)
def test_each_condition_fires_at_its_bound(observed: dict[str, object], table: dict[str, object], name: str) -> None:
    decision = decided(replace(READY, **observed), asks(**table))  # type: ignore[arg-type]
    assert decision.fires
    assert reason(decision, name).holds


def test_every_condition_is_told_those_that_do_not_hold_included() -> None:
    table = asks(
        changed_chunks=5,
        changed_share=0.5,
        new_examples=5,
        document_drift=True,
        query_drift=True,
        bad_share=0.5,
        centroid_cosine=0.8,
        every_s=1e6,
        policy="mine",
    )
    decision = decided(replace(READY, changed_chunks=5), table)
    asked = [each.condition for each in decision.reasons if each.condition not in GATES]
    assert asked == [
        "changed_chunks",
        "changed_share",
        "new_examples",
        "document_drift",
        "query_drift",
        "bad_share",
        "centroid_cosine",
        "every_s",
        "policy",
    ]
    assert [each.condition for each in decision.reasons if each.holds] == [*GATES, "changed_chunks"]
    assert reason(decision, "bad_share").text == "0 answers were judged since the last run, at least 20 are needed"
    assert reason(decision, "policy").text == "the policy mine has not answered"


def test_all_needs_every_condition_and_any_needs_one() -> None:
    observed = replace(READY, changed_chunks=100, new_examples=3)
    table = {"changed_chunks": 100, "new_examples": 5}
    assert decided(observed, asks(when="any", **table)).fires
    assert not decided(observed, asks(when="all", **table)).fires
    assert decided(replace(observed, new_examples=5), asks(when="all", **table)).fires


def test_drift_needs_two_of_the_last_three_windows() -> None:
    table = asks(document_drift=True)
    drift, calm = window(is_drift=True), window(is_drift=False)
    for windows, fires in (
        ((drift,), False),
        ((drift, drift), True),
        ((drift, calm, drift), True),
        ((calm, calm, drift, drift), False),
        ((), False),
    ):
        assert decided(replace(READY, document_windows=windows), table).fires is fires
        assert not decided(replace(READY, query_windows=windows), table).fires


def test_windows_from_before_the_last_run_do_not_count() -> None:
    old = window(is_drift=True, at=NOW - 7200)
    assert not decided(replace(READY, document_windows=(old, old, old)), asks(document_drift=True)).fires


def test_a_drift_reason_tells_what_was_seen() -> None:
    decision = decided(replace(READY, document_windows=(window(is_drift=True),) * 2), asks(document_drift=True))
    assert reason(decision, "document_drift").text == (
        "2 of the last 2 windows of documents drifted, fires at 2; the newest: 12.0% novel, chi-square 40, p 0.010"
    )


def test_too_few_examples_are_named_with_how_many_are_needed() -> None:
    decision = decided(replace(READY, examples=12, changed_chunks=999), asks(changed_chunks=1))
    assert not decision.fires
    assert reason(decision, "examples") == Reason("examples", False, "has 12 pairs, needs 50")


def test_it_cools_down_and_says_until_when() -> None:
    observed = replace(READY, changed_chunks=100, last_run_at=NOW - 600)
    decision = decided(observed, asks(changed_chunks=1, cooldown_s=3600))
    assert not decision.fires
    assert decision.wait_until == NOW + 3000
    assert reason(decision, "cooldown").text == "ran 10 min ago, cools down for 60 min: 50 min left"
    assert decided(replace(observed, at=NOW + 3000), asks(changed_chunks=1, cooldown_s=3600)).fires


def test_a_schedule_says_when_it_fires_next() -> None:
    decision = decided(READY, asks(every_s=10_000))
    assert (decision.fires, decision.wait_until) == (False, NOW - 7200 + 10_000)
    never_ran = replace(READY, last_run_at=None, started_at=NOW - 100)
    assert decided(never_ran, asks(every_s=10_000)).wait_until == NOW - 100 + 10_000


def test_where_more_than_time_is_missing_nothing_is_promised() -> None:
    assert decided(READY, asks(changed_chunks=1)).wait_until is None
    assert decided(replace(READY, examples=0), asks(every_s=10_000)).wait_until is None
    assert decided(READY, asks(when="all", every_s=10_000, changed_chunks=1)).wait_until is None


def test_nothing_fires_before_it_is_warm() -> None:
    observed = replace(READY, live_chunks=199, changed_chunks=199)
    assert not decided(observed, asks(changed_chunks=1)).fires
    assert decided(replace(observed, live_chunks=200), asks(changed_chunks=1)).fires


@pytest.mark.parametrize(
    ("role", "enabled", "is_file", "expected"),
    [
        (Role.INDEX, None, False, True),
        (Role.QUERY_ADAPTER, None, False, True),
        (Role.ENCODER, None, False, False),
        (Role.ENCODER, None, True, True),
        (Role.ENCODER, True, False, True),
        (Role.INDEX, False, True, False),
    ],
)
def test_who_fires_by_itself(role: Role, enabled: bool | None, is_file: bool, expected: bool) -> None:
    facts = replace(ADAPTER, role=role)
    assert is_enabled(facts, TrainerSettings(enabled=enabled), is_file=is_file) is expected
    decision = decide(facts, TrainerSettings(enabled=enabled, every_s=1), READY, NOTHING, is_file=is_file)
    assert decision.fires is expected


def test_who_does_not_fire_by_itself_says_how_to_let_it() -> None:
    decision = decide(replace(ADAPTER, name="big", role=Role.ENCODER), TrainerSettings(), READY, NOTHING)
    assert "trainers.big.enabled = true" in reason(decision, "enabled").text


def test_a_table_that_asks_nothing_gets_the_default_of_its_role() -> None:
    assert effective(FIT, asks()).centroid_cosine == 0.9
    adapter = effective(ADAPTER, asks(when="all"))
    assert (adapter.changed_share, adapter.new_examples, adapter.when) == (0.1, 50, "any")
    assert effective(ADAPTER, asks(every_s=5)).changed_share == 0
    assert decide(FIT, asks(), replace(READY, examples=1000, changed_chunks=20, centroid_cosine=0.8), NOTHING).fires
    assert decided(replace(READY, changed_chunks=100), asks()).fires
    assert decided(replace(READY, new_examples=50), asks()).fires


def test_few_new_chunks_cannot_have_worn_an_index() -> None:
    decision = decided(replace(READY, changed_chunks=19, centroid_cosine=0.1), asks(centroid_cosine=0.9))
    assert not decision.fires
    assert "only 1.9% of the chunks changed" in reason(decision, "centroid_cosine").text


def test_a_policy_decides_by_its_own_reason() -> None:
    told = Reason("policy", True, "the moon is full")
    assert decided(READY, asks(policy="moon"), policy=told).fires
    assert not decided(READY, asks(policy="moon"), policy=replace(told, holds=False)).fires


def test_a_level_that_fired_is_latched_until_it_went_back() -> None:
    table = asks(bad_share=0.5, cooldown_s=60)
    bad = replace(READY, answers=40, bad_share=0.6)
    first = decided(bad, table)
    past = after(ADAPTER, table, first, bad, NOTHING)
    assert past == Past(frozenset({"bad_share"}))
    again = decided(bad, table, past)
    assert not again.fires
    assert "counts again once it went back" in reason(again, "bad_share").text
    still = replace(bad, bad_share=0.45)
    assert after(ADAPTER, table, decided(still, table, past), still, past) == past
    released = replace(bad, bad_share=0.4)
    free = after(ADAPTER, table, decided(released, table, past), released, past)
    assert free == NOTHING
    assert decided(bad, table, free).fires


def test_new_data_frees_a_latched_level() -> None:
    table = asks(centroid_cosine=0.8)
    worn = replace(READY, changed_chunks=50, centroid_cosine=0.5)
    past = Past(frozenset({"centroid_cosine"}))
    assert not decided(worn, table, past).fires
    changed = replace(worn, changed_chunks=100)
    assert decided(changed, table, past).fires


@pytest.mark.parametrize(
    ("name", "fired", "released"),
    [
        ("centroid_cosine", {"centroid_cosine": 0.85}, {"centroid_cosine": 0.9}),
        ("centroid_cosine", {"centroid_cosine": 0.5}, {"centroid_cosine": None}),
        (
            "document_drift",
            {"document_windows": (window(is_drift=True), window(is_drift=False))},
            {"document_windows": (window(is_drift=False), window(is_drift=False))},
        ),
        ("query_drift", {"query_windows": ()}, {"query_windows": (window(is_drift=False, kind="queries"),) * 3}),
    ],
)
def test_each_level_is_released_below_its_lower_bound(
    name: str, fired: dict[str, object], released: dict[str, object]
) -> None:
    table = asks(centroid_cosine=0.8, document_drift=True, query_drift=True)
    past = Past(frozenset({name}))
    for changes, latched in ((fired, True), (released, False)):
        observed = replace(READY, **changes)  # type: ignore[arg-type]
        assert (name in after(ADAPTER, table, decided(observed, table, past), observed, past).latched) is latched


shares = st.floats(0, 1)
windows = st.lists(st.builds(window, is_drift=st.booleans(), at=st.floats(NOW - 10_000, NOW)), max_size=4).map(tuple)
tables = st.builds(
    TrainerSettings,
    enabled=st.sampled_from([True, None, False]),
    when=st.sampled_from(["any", "all"]),
    changed_chunks=st.sampled_from([0, 1, 500]),
    changed_share=st.sampled_from([0.0, 0.1, 0.9]),
    new_examples=st.sampled_from([0, 1, 100]),
    document_drift=st.booleans(),
    query_drift=st.booleans(),
    bad_share=st.sampled_from([0.0, 0.3]),
    centroid_cosine=st.sampled_from([0.0, 0.9]),
    every_s=st.sampled_from([0.0, 10.0, 9000.0]),
    policy=st.sampled_from(["", "mine"]),
    warmup_chunks=st.sampled_from([0, 200, 2000]),
    cooldown_s=st.sampled_from([0.0, 3600.0]),
)
sights = st.builds(
    Observed,
    at=st.just(NOW),
    live_chunks=st.integers(0, 3000),
    changed_chunks=st.integers(0, 3000),
    examples=st.integers(0, 200),
    new_examples=st.integers(0, 200),
    document_windows=windows,
    query_windows=windows,
    answers=st.integers(0, 50),
    bad_share=st.none() | shares,
    centroid_cosine=st.none() | shares,
    last_run_at=st.none() | st.floats(NOW - 10_000, NOW),
    started_at=st.floats(NOW - 20_000, NOW),
)
pasts = st.frozensets(st.sampled_from(LEVELS)).map(Past)


@settings(max_examples=150, deadline=None)
@given(tables, sights, pasts, st.booleans(), st.booleans())
def test_a_firing_is_enabled_fed_warm_cool_and_has_a_reason(
    table: TrainerSettings, seen: Observed, past: Past, answer: bool, is_file: bool
) -> None:
    policy = Reason("policy", answer, "as it likes")
    decision = decide(ADAPTER, table, seen, past, policy=policy, is_file=is_file)
    conditions = [each for each in decision.reasons if each.condition not in GATES]
    assert conditions
    assert all(each.text for each in decision.reasons)
    if not decision.fires:
        assert decision.wait_until is None or decision.wait_until >= seen.at
        return
    assert decision.wait_until is None
    assert seen.examples >= ADAPTER.needs.least
    assert seen.live_chunks >= table.warmup_chunks
    assert seen.last_run_at is None or seen.at >= seen.last_run_at + table.cooldown_s
    assert table.enabled is not False
    held = [each for each in conditions if each.holds]
    assert held
    assert table.when == "any" or effective(ADAPTER, table).when == "any" or held == conditions


@settings(max_examples=100, deadline=None)
@given(tables, sights, pasts)
def test_what_was_promised_comes_true_when_only_time_goes_by(
    table: TrainerSettings, seen: Observed, past: Past
) -> None:
    decision = decide(ADAPTER, table, seen, past)
    if decision.wait_until is not None:
        then = replace(seen, at=decision.wait_until)
        assert decide(ADAPTER, table, then, past).fires
