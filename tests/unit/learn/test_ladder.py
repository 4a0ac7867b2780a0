from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragd.domain.deciding import Cost, Decision, Observed, Reason, RunState, Verdict
from ragd.domain.learning import Data, Needs, Role
from ragd.domain.plugins import TrainerFacts
from ragd.learn.budget import Fits, Waits
from ragd.learn.ladder import OPEN, TIMES, Contender, Ladder, PastRun, Rung, Stand, climb
from ragd.learn.trigger import GATES

NOW = 1_000_000.0
CHANGES = 5000
COSTS = {"quantizer": 1.0, "adapter": 5.0, "lora": 500.0, "full": 5000.0, "writer": 900.0}
ROLES = {"quantizer": Role.INDEX, "adapter": Role.QUERY_ADAPTER, "writer": Role.GENERATOR}


def contender(
    name: str, *, fires: bool = True, shut: str = "", examples: int = 100, fit: Fits | Waits | None = None
) -> Contender:
    gates = [Reason(gate, gate != shut, f"the gate {gate}") for gate in GATES]
    decision = Decision(name, NOW, fires and not shut, (*gates, Reason("changed_share", fires, "much changed")))
    observed = Observed(NOW, live_chunks=1000, changed_chunks=500, examples=examples)
    facts = TrainerFacts(name, ROLES.get(name, Role.ENCODER), Needs(Data.PAIRS, 50), COSTS[name], "plugin")
    return Contender(facts, decision, observed, Cost(COSTS[name]), fit or Fits(), COSTS[name])


def ran(trainer: str, outcome: str, ago_s: float = 100.0, *, examples: int = 100, **more: object) -> PastRun:
    state, verdict = {
        "refused": (RunState.DONE, Verdict.REFUSED),
        "passed": (RunState.DONE, Verdict.PASSED),
        "failed": (RunState.FAILED, ""),
        "stopped": (RunState.STOPPED, ""),
    }.get(outcome, (outcome, ""))
    found = PastRun(trainer, str(state), str(verdict), NOW - ago_s, examples, CHANGES)
    return replace(found, **more)  # type: ignore[arg-type]


def search(contenders: Sequence[Contender], runs: Sequence[PastRun] = ()) -> Ladder:
    return next(ladder for ladder in climb(contenders, runs, CHANGES) if ladder.name == "search")


def rung(ladder: Ladder, trainer: str) -> Rung:
    return next(each for each in ladder.rungs if each.trainer == trainer)


ALL = (contender("full"), contender("lora"), contender("adapter"))


def test_the_cheapest_goes_first() -> None:
    ladder = search(ALL)
    assert [each.trainer for each in ladder.rungs] == ["adapter", "lora", "full"]
    assert ladder.chosen == "adapter"
    assert [each.stand for each in ladder.rungs] == [Stand.GOES, Stand.NEXT, Stand.NEXT]
    assert rung(ladder, "lora").why == "after adapter, if the gate refuses that"


def test_each_ladder_climbs_by_itself() -> None:
    ladders = climb([*ALL, contender("quantizer"), contender("writer")], [ran("quantizer", "passed")], CHANGES)
    assert [(each.name, each.chosen) for each in ladders] == [
        ("index fit", "quantizer"),
        ("search", "adapter"),
        ("generator", "writer"),
    ]


def test_the_next_rung_goes_once_the_gate_refused_the_cheaper() -> None:
    ladder = search(ALL, [ran("adapter", "refused")])
    assert ladder.chosen == "lora"
    assert rung(ladder, "adapter").stand is Stand.REFUSED
    both = search(ALL, [ran("lora", "refused", 50), ran("adapter", "refused")])
    assert both.chosen == "full"


def test_a_run_that_failed_is_no_refusal() -> None:
    assert search(ALL, [ran("adapter", "failed")]).chosen == "adapter"


def test_a_refusal_on_other_data_is_forgotten() -> None:
    assert search(ALL, [ran("adapter", "refused", examples=90)]).chosen == "adapter"
    assert search(ALL, [ran("adapter", "refused", examples=91)]).chosen == "lora"


def test_trainers_that_learn_from_chunks_go_by_the_chunks_that_changed() -> None:
    texts = contender("lora")
    texts = replace(texts, facts=replace(texts.facts, needs=Needs(Data.TEXTS, 50)))
    refused = ran("lora", "refused", changes=CHANGES - 99)
    assert rung(search([texts, contender("full")], [refused]), "lora").stand is Stand.REFUSED
    assert search([texts], [replace(refused, changes=CHANGES - 100)]).chosen == "lora"
    assert rung(search([texts], [replace(refused, changes=CHANGES - 100)]), "lora").stand is Stand.GOES


def test_equal_data_is_like_data_whatever_was_counted() -> None:
    same = replace(contender("adapter"), data_sha256="aa")
    runs = [ran("adapter", "refused", examples=1, data_sha256="aa")]
    assert search([same, contender("lora")], runs).chosen == "lora"


def test_a_rung_that_passed_lets_the_dearer_ones_rest() -> None:
    idle = contender("adapter", fires=False)
    ladder = search([idle, contender("lora"), contender("full")], [ran("adapter", "passed")])
    assert ladder.chosen == ""
    assert rung(ladder, "lora").stand is Stand.RESTS
    assert rung(ladder, "full").why == "adapter costs less and passed the gate on like data"
    assert search([idle, contender("lora")], [ran("adapter", "passed", examples=50)]).chosen == "adapter"


def test_a_rung_that_passed_may_fire_again_by_itself() -> None:
    assert search(ALL, [ran("adapter", "passed")]).chosen == "adapter"


def test_a_trigger_that_fires_higher_up_starts_at_the_cheapest() -> None:
    ladder = search([contender("adapter", fires=False), contender("lora")])
    assert (ladder.chosen, ladder.because) == ("adapter", "lora")
    assert rung(ladder, "adapter").why == "the trigger of lora fired, and this costs less"
    assert rung(ladder, "lora").stand is Stand.NEXT


def test_a_trigger_never_pulls_in_what_costs_more() -> None:
    ladder = search([contender("adapter"), contender("lora", fires=False)], [ran("adapter", "refused")])
    assert ladder.chosen == "adapter"  # again, of its own accord
    assert rung(ladder, "lora").stand is Stand.IDLE


@pytest.mark.parametrize(
    ("gate", "stand"), [("enabled", Stand.OFF), ("examples", Stand.SHORT), ("warmup", Stand.SHORT)]
)
def test_a_rung_whose_needs_are_not_met_is_passed_over(gate: str, stand: Stand) -> None:
    ladder = search([contender("adapter", shut=gate), contender("lora")])
    assert ladder.chosen == "lora"
    assert rung(ladder, "adapter").stand is stand
    assert rung(ladder, "adapter").why == f"the gate {gate}"


def test_a_cheaper_rung_that_cools_down_is_waited_for() -> None:
    ladder = search([contender("adapter", shut="cooldown"), contender("lora")])
    assert ladder.chosen == ""
    assert rung(ladder, "adapter").stand is Stand.WAITS
    assert rung(ladder, "lora").stand is Stand.NEXT


def test_what_does_not_fit_the_budget_waits_and_nothing_dearer_goes_instead() -> None:
    wait = Waits("the day is spent", "budget.train_cpu_s_day", NOW + 60)
    ladder = search([contender("adapter", fit=wait), contender("lora")])
    assert ladder.chosen == ""
    found = rung(ladder, "adapter")
    assert (found.stand, found.why, found.until) == (Stand.WAITS, "the day is spent", NOW + 60)


@pytest.mark.parametrize("outcome", ["refused", "failed"])
def test_three_times_in_vain_on_like_data_is_enough(outcome: str) -> None:
    runs = [ran("adapter", outcome, ago_s) for ago_s in (10, 20, 30)]
    ladder = search(ALL, runs)
    assert ladder.chosen == "lora"
    assert rung(ladder, "adapter").stand is Stand.SKIPPED
    assert rung(ladder, "adapter").why == "brought nothing 3 times in a row on like data"
    assert rung(search(ALL, runs[:2]), "adapter").stand is not Stand.SKIPPED
    older = [*runs[:2], replace(runs[2], examples=10)]
    assert rung(search(ALL, older), "adapter").stand is not Stand.SKIPPED


def test_a_stopped_run_neither_counts_nor_breaks_the_row() -> None:
    runs = [ran("adapter", o, t) for t, o in ((10, "failed"), (20, "stopped"), (30, "failed"), (40, "failed"))]
    assert rung(search(ALL, runs), "adapter").stand is Stand.SKIPPED


@pytest.mark.parametrize("state", sorted(OPEN))
def test_nothing_else_goes_while_a_run_of_the_ladder_is_open(state: RunState) -> None:
    ladder = search(ALL, [ran("lora", state)])
    assert ladder.chosen == ""
    assert rung(ladder, "lora").stand is Stand.RUNNING
    assert rung(ladder, "adapter").stand is not Stand.GOES


def test_without_a_trigger_the_ladder_stands_still() -> None:
    ladder = search([contender("adapter", fires=False), contender("lora", fires=False)])
    assert (ladder.chosen, ladder.because) == ("", "")
    assert [each.stand for each in ladder.rungs] == [Stand.IDLE, Stand.IDLE]


contenders = st.lists(st.sampled_from(["adapter", "lora", "full", "quantizer", "writer"]), unique=True).flatmap(
    lambda names: st.tuples(
        *(
            st.builds(
                contender,
                st.just(name),
                fires=st.booleans(),
                shut=st.sampled_from(["", "", "", *GATES]),
                fit=st.sampled_from([Fits(), Fits(), Waits("no", "budget.x")]),
            )
            for name in names
        )
    )
)
histories = st.lists(
    st.builds(
        ran,
        st.sampled_from(sorted(COSTS)),
        st.sampled_from(["refused", "passed", "failed", "stopped", "running"]),
        st.floats(1, 1000),
        examples=st.sampled_from([100, 95, 10]),
    ),
    max_size=8,
)


@settings(max_examples=80, deadline=None)
@given(contenders, histories)
def test_whoever_goes_may_go_and_no_cheaper_one_could(given_: tuple[Contender, ...], runs: list[PastRun]) -> None:
    for ladder in climb(given_, runs, CHANGES):
        by_name = {each.facts.name: each for each in given_}
        going = [each.trainer for each in ladder.rungs if each.stand is Stand.GOES]
        assert going == ([ladder.chosen] if ladder.chosen else [])
        assert all(each.why for each in ladder.rungs)
        if not ladder.chosen:
            continue
        chosen = by_name[ladder.chosen]
        assert isinstance(chosen.fit, Fits)
        assert all(reason.holds for reason in chosen.decision.reasons if reason.condition in GATES)
        assert by_name[ladder.because].decision.fires
        assert not any(run.state in OPEN and run.trainer in {r.trainer for r in ladder.rungs} for run in runs)
        mine = sorted((run for run in runs if run.trainer == ladder.chosen), key=lambda run: -run.requested_at)
        assert not (len(mine) >= TIMES and all(r.examples >= 95 and r.has_failed for r in mine[:TIMES]))
        cheaper = ladder.rungs[: [each.trainer for each in ladder.rungs].index(ladder.chosen)]
        assert {each.stand for each in cheaper} <= {Stand.OFF, Stand.SHORT, Stand.SKIPPED, Stand.REFUSED, Stand.RESTS}
