"""The way of a model from what was observed to what serves: who begins when, why, and who is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ragd.config.schema import Budget
from ragd.domain.deciding import Cost, Window
from ragd.domain.errors import BadRequest, Busy, NotFound
from ragd.domain.learning import Data, Role
from ragd.learn.records import read_request
from ragd.learn.snapshot import read_preparation
from tests.unit.flow.works import ADAPTER, FIT, LORA, NUDGE, WRITER, Works

Made = Callable[..., Works]
QUIET: dict[str, Any] = {"enabled": False}


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    """Makes works with these trainers and settings, over a state folder of its own."""
    there: list[Works] = []

    def make(*trainers: Any, **given: Any) -> Works:
        there.append(Works(tmp_path / str(len(there)), *trainers, **given))
        return there[-1]

    yield make
    for works in there:
        works.close()


@pytest.fixture
def works(made: Made) -> Works:
    """One query adapter that fires when a tenth of the chunks changed."""
    return made(ADAPTER, settings={"query_adapter": {"changed_share": 0.1}})


def begun(works: Works) -> str:
    """The run that the trigger began."""
    works.write(20)
    works.turn()
    ((_, state),) = works.states()
    assert state == "queued"
    return str(works.runs()[0]["id"])


# A trigger fires.


def test_what_fires_is_trained_judged_and_put_live_and_everybody_hears_of_it(works: Works) -> None:
    run_id = begun(works)
    run = works.run(run_id)
    assert (run["trainer"], run["cause"], run["changes"]) == ("query_adapter", "trigger", 20)
    assert [r["condition"] for r in run["reasons"] if r["holds"]][-1] == "changed_share"
    assert run["settings"] == {"options": {}, "available": 100, "on": None}
    assert run["reserved_cpu_s"] == pytest.approx(1.0)  # 10 s a thousand, for a hundred pairs

    works.finished(run_id)
    champion = works.house.app.tables.models.champion(Role.QUERY_ADAPTER)
    assert champion is not None
    assert works.house.app.routes.current.adapter_id == champion.model_id == works.run(run_id)["model_id"]
    assert works.states() == [("query_adapter", "done")]
    assert works.heard() == ["indexed", "triggered", "trained", "promoted"]
    indexed, triggered, trained, promoted = (event.facts for event in works.events)
    assert indexed == {"chunks_changed": 20}
    assert triggered == {"run": run_id, "trainer": "query_adapter", "cause": "trigger"}
    assert (trained["run"], trained["verdict"], trained["model"]) == (run_id, "passed", champion.model_id)
    assert trained["gain"] == pytest.approx(0.2, abs=0.01)
    assert promoted == {"role": "query-adapter", "model": champion.model_id, "stage": "serving", "forced": False}
    assert all(json.dumps(dict(event.facts)) for event in works.events)
    spend = works.tables.rows.spend
    assert spend.of_runs().cpu_s == pytest.approx(spend.total("prepare", "train", "evaluate").cpu_s) == 6.0


def test_what_the_gate_refuses_does_not_go_live(works: Works) -> None:
    run_id = begun(works)
    works.finished(run_id, gain=-0.1)
    assert (works.run(run_id)["state"], works.run(run_id)["verdict"]) == ("done", "refused")
    assert works.house.app.tables.models.champion(Role.QUERY_ADAPTER) is None
    assert works.heard() == ["indexed", "triggered", "trained"]
    assert works.events[-1].facts["verdict"] == "refused"


def test_a_run_that_fails_is_told_and_leaves_what_serves_alone(works: Works) -> None:
    run_id = begun(works)
    works.failed(run_id)
    assert works.events[-1].facts == {"run": run_id, "verdict": "failed"}
    assert works.house.app.reader.registry.models(with_pruned=True) == []
    assert works.house.app.routes.current.adapter is None


def test_without_a_reason_nothing_begins_and_the_decision_is_kept(made: Made) -> None:
    works = made(ADAPTER, settings={"query_adapter": {"changed_chunks": 50}})
    works.write(20)
    works.turn()
    works.turn()
    assert works.runs() == []
    (kept,) = works.tables.rows.decisions.history("query_adapter")
    assert (kept["fires"], kept["run_id"], kept["observed"]["changed_chunks"]) == (False, None, 20)
    assert kept["reasons"][-1] == {
        "condition": "changed_chunks",
        "holds": False,
        "text": "20 chunks changed since the last run, fires at 50",
    }


def test_a_decision_that_led_to_a_run_is_kept_with_it(works: Works) -> None:
    run_id = begun(works)
    newest = works.tables.rows.decisions.history("query_adapter")[0]
    assert (newest["fires"], newest["run_id"]) == (True, run_id)


def test_between_two_looks_nothing_is_decided(works: Works) -> None:
    works.turn()
    works.write(20)
    works.turn(1.0)
    assert works.runs() == []
    works.turn(5.0)
    assert works.states() == [("query_adapter", "queued")]


def test_nothing_begins_while_many_chunks_wait_for_their_vectors(works: Works) -> None:
    works.house.write("many.txt", *(f"line {n}" for n in range(100)))
    works.house.work(generations=[])
    works.turn()
    assert works.corpus().waiting_chunks == 100
    assert works.reason("query_adapter", "changed_share").holds
    assert works.runs() == []
    works.house.work()
    works.turn()
    assert works.states() == [("query_adapter", "queued")]


def test_a_few_chunks_that_wait_hold_nothing_up(works: Works) -> None:
    works.house.write("few.txt", *(f"line {n}" for n in range(64)))
    works.house.work(generations=[])
    works.turn()
    assert works.states() == [("query_adapter", "queued")]


def test_after_a_run_only_what_changed_since_counts(works: Works) -> None:
    works.finished(begun(works), gain=-0.1)
    works.turn()
    assert works.reason("query_adapter", "changed_share").text.startswith("0.0% of the chunks changed")
    works.write(1, "more")
    works.turn()
    assert works.states() == [("query_adapter", "done")]
    works.write(3, "again")
    works.turn()
    assert works.states() == [("query_adapter", "done"), ("query_adapter", "queued")]


# The ladder.


def two(made: Made) -> Works:
    """An encoder that fires at half of the chunks, beside an adapter that fires by nothing here."""
    settings = {"query_adapter": {"changed_chunks": 10**6}, "encoder_lora": {"changed_share": 0.5}}
    return made(ADAPTER, LORA, settings=settings, budget={"train_cpu_s_day": 0, "train_cpu_s_month": 0})


def test_the_cheapest_trainer_goes_whoever_fired_and_the_next_when_it_was_refused(made: Made) -> None:
    works = two(made)
    run_id = begun(works)
    assert works.states() == [("query_adapter", "queued")]
    assert [r["text"] for r in works.run(run_id)["reasons"] if r["condition"] == "changed_share"] == [
        "100.0% of the chunks changed since the last run, fires at 50.0%"
    ]
    for trainer in ("query_adapter", "encoder_lora"):
        assert works.tables.rows.decisions.history(trainer)[0]["run_id"] == run_id
    works.finished(run_id, gain=-0.1)
    works.turn()
    assert works.states() == [("query_adapter", "done"), ("encoder_lora", "queued")]


def test_the_dearer_one_rests_when_the_cheaper_one_passed(made: Made) -> None:
    works = two(made)
    works.finished(begun(works))
    works.turn()
    assert works.states() == [("query_adapter", "done")]
    told = works.improve.explained("encoder_lora")
    assert (told["ladder"][1]["trainer"], told["ladder"][1]["stand"]) == ("encoder_lora", "rests")
    assert told["ladder"][1]["why"] == "query_adapter costs less and passed the gate on like data"


def test_ladders_take_turns_one_run_at_a_time(made: Made) -> None:
    works = made(
        ADAPTER, WRITER, settings={"query_adapter": {"changed_share": 0.1}, "generator_lora": {"changed_share": 0.1}}
    )
    run_id = begun(works)
    works.turn()
    assert works.states() == [("query_adapter", "queued")]
    works.finished(run_id, gain=-0.1)
    works.turn()
    assert works.states() == [("query_adapter", "done"), ("generator_lora", "queued")]


# Budgets and turns.


def test_a_run_that_the_budget_has_no_room_for_waits_and_says_until_when(made: Made) -> None:
    works = made(ADAPTER, settings={"query_adapter": QUIET}, budget={"train_cpu_s_day": 1.5, "train_cpu_s_month": 0})
    works.write(20)
    spent_at = works.now
    works.tables.spend.charge("train", Cost(1.0))
    run_id = works.improve.request("query_adapter", on=None, cause="hand")
    run = works.run(run_id)
    assert run["state"] == "waiting"
    assert run["reason"] == (
        "a run needs about 1 s of CPU, but 1 s of CPU of 2 s of CPU a day are spent (budget.train_cpu_s_day)"
    )
    assert run["wait_until"] == pytest.approx(spent_at + 86400, abs=1)
    works.turn()
    assert works.run(run_id)["state"] == "waiting"
    works.turn(86400)
    assert (works.run(run_id)["state"], works.run(run_id)["reason"]) == ("queued", "")


def test_a_trigger_waits_for_the_budget_without_a_run(made: Made) -> None:
    works = made(ADAPTER, settings={"query_adapter": {"changed_share": 0.1}}, budget={"train_cpu_s_day": 0.5})
    works.write(20)
    works.turn()
    assert works.runs() == []
    (rung,) = works.improve.explained("query_adapter")["ladder"]
    assert rung["stand"] == "waits"
    assert "budget.train_cpu_s_day allows" in rung["why"]


def test_what_will_never_fit_does_not_keep_others_from_going(made: Made) -> None:
    works = made(
        FIT,
        LORA,
        settings={"encoder_lora": QUIET, "coarse_quantizer": {"changed_share": 0.1}},
        budget={"train_cpu_s_day": 10},
    )
    works.write(20)
    run_id = works.improve.request("encoder_lora", on=None, cause="hand")
    assert "budget.train_cpu_s_day allows 10 s of CPU a day" in works.run(run_id)["reason"]
    works.turn()
    assert works.states() == [("encoder_lora", "waiting"), ("coarse_quantizer", "queued")]
    works.turn()
    assert works.run(run_id)["reason"] == f"waits for {works.runs()[1]['id']} to end"


def test_runs_wait_for_the_end_of_quiet_hours(made: Made) -> None:
    works = made(ADAPTER, settings={"query_adapter": QUIET}, budget={"quiet_hours": "00:00-23:59"})
    run_id = works.improve.request("query_adapter", on=None, cause="hand")
    run = works.run(run_id)
    assert (run["state"], run["reason"]) == ("waiting", "quiet hours")
    assert works.now < run["wait_until"] < works.now + 86400
    works.turn(run["wait_until"] - works.now)
    assert works.run(run_id)["state"] == "queued"


def test_one_run_is_under_way_at_a_time_and_the_others_follow_in_their_turn(made: Made) -> None:
    works = made(ADAPTER, LORA, WRITER, settings={"query_adapter": QUIET, "encoder_lora": QUIET})
    ids = [
        works.improve.request(name, on=None, cause="hand")
        for name in ("encoder_lora", "query_adapter", "generator_lora")
    ]
    assert [state for _, state in works.states()] == ["queued", "waiting", "waiting"]
    for later in ids[1:]:
        assert works.run(later)["reason"] == f"waits for {ids[0]} to end"
    works.failed(ids[0])
    works.turn()
    assert [state for _, state in works.states()] == ["failed", "queued", "waiting"]
    works.turn()
    assert works.run(ids[2])["reason"] == f"waits for {ids[1]} to end"


def test_a_run_counts_from_when_it_began_not_from_when_it_was_asked_for(made: Made) -> None:
    works = made(ADAPTER, LORA, settings={"query_adapter": QUIET, "encoder_lora": QUIET})
    works.write(10)
    first = works.improve.request("encoder_lora", on=None, cause="hand")
    second = works.improve.request("query_adapter", on=None, cause="hand")
    works.write(30, "more")
    works.examples[Data.PAIRS] = 150
    works.failed(first)
    works.turn()
    run = works.run(second)
    assert (run["state"], run["changes"], run["settings"]["available"]) == ("queued", 40, 150)
    works.finished(second, gain=-0.1)
    observed = works.candidates.one("query_adapter").observed
    assert (observed.changed_chunks, observed.new_examples) == (0, 0)


# By hand.


def test_a_run_by_hand_begins_at_once_and_is_told(made: Made) -> None:
    works = made(ADAPTER, settings={"query_adapter": QUIET})
    run_id = works.improve.request("query_adapter", on="/data/pairs.jsonl", cause="fire")
    run = works.run(run_id)
    assert (run["state"], run["cause"], run["settings"]["on"]) == ("queued", "fire", "/data/pairs.jsonl")
    assert works.events[-1].facts == {"run": run_id, "trainer": "query_adapter", "cause": "fire"}
    preparation = read_preparation(works.places(run_id))
    assert (preparation.pairs, preparation.has_journal) == (("/data/pairs.jsonl",), False)
    assert read_request(works.places(run_id)).seed == run["seed"]


def test_a_second_run_of_a_trainer_is_refused_until_the_first_has_ended(made: Made) -> None:
    works = made(ADAPTER, settings={"query_adapter": QUIET})
    run_id = works.improve.request("query_adapter", on=None, cause="hand")
    with pytest.raises(Busy, match=f"a run of query_adapter has not ended: {run_id}") as caught:
        works.improve.request("query_adapter", on=None, cause="hand")
    assert caught.value.hint == f"`ragd runs show {run_id}`"
    works.failed(run_id)
    assert works.improve.request("query_adapter", on=None, cause="hand") != run_id


def test_where_training_is_switched_off_nothing_begins_and_nothing_is_asked_for(made: Made) -> None:
    works = made(ADAPTER, settings={"query_adapter": {"changed_share": 0.1}}, enabled=False)
    works.write(20)
    works.turn()
    assert (works.runs(), works.tables.rows.decisions.history()) == ([], [])
    assert works.heard() == ["indexed"]
    for ask in (
        lambda: works.improve.request("query_adapter", on=None, cause="hand"),
        lambda: works.improve.resume("any"),
    ):
        with pytest.raises(BadRequest, match="training is switched off") as caught:
            ask()
        assert "learn.enabled = true" in caught.value.hint


def test_an_unknown_trainer_is_named_and_so_is_the_plugin_that_is_blocked(made: Made) -> None:
    works = made(ADAPTER, NUDGE)
    with pytest.raises(NotFound, match=r"there is no trainer crystal_ball$"):
        works.improve.request("crystal_ball", on=None, cause="hand")
    works.plugins.block("nudge", "NameError: name 'numpy' is not defined")
    for ask in (works.improve.explained, works.candidates.one):
        with pytest.raises(NotFound, match="no trainer nudge: the plugin nudge is not used: NameError: name 'numpy'"):
            ask("nudge")
    assert [told["trainer"] for told in works.improve.standings()] == ["query_adapter"]


def test_a_waiting_run_whose_plugin_went_away_fails_and_others_go_on(made: Made) -> None:
    works = made(ADAPTER, NUDGE, LORA, settings=dict.fromkeys(("query_adapter", "nudge", "encoder_lora"), QUIET))
    first = works.improve.request("query_adapter", on=None, cause="hand")
    second = works.improve.request("nudge", on=None, cause="hand")
    third = works.improve.request("encoder_lora", on=None, cause="hand")
    works.plugins.remove("nudge")
    works.failed(first)
    works.turn()
    assert (works.run(second)["state"], works.run(second)["reason"]) == ("failed", "there is no trainer nudge")
    assert works.run(second)["hint"] == "`ragd plugins list` shows what is offered"
    assert works.events[-1].facts == {"run": second, "verdict": "failed"}
    assert works.run(third)["state"] == "queued"


# Stop and resume.


def test_a_stopped_run_is_told_and_goes_on_within_the_limits_of_today(works: Works) -> None:
    run_id = begun(works)
    works.broken(run_id)
    works.given["query_adapter"]["memory_mb"] = 9000
    works.restart()
    works.improve.resume(run_id)
    assert works.run(run_id)["state"] == "queued"
    assert read_request(works.places(run_id)).resources.memory_mb == 9000
    assert works.queue.sent == [run_id, run_id]
    works.improve.stop(run_id)
    assert works.events[-1].facts == {"run": run_id, "verdict": "stopped"}


def test_a_run_is_not_resumed_beside_another(made: Made) -> None:
    works = made(ADAPTER, LORA, settings={"query_adapter": QUIET, "encoder_lora": QUIET})
    first = works.improve.request("query_adapter", on=None, cause="hand")
    works.failed(first)
    second = works.improve.request("encoder_lora", on=None, cause="hand")
    with pytest.raises(Busy, match=f"another run is under way: {second}"):
        works.improve.resume(first)
    works.improve.stop(second)
    works.improve.resume(first)
    assert [state for _, state in works.states()] == ["queued", "stopped"]
    with pytest.raises(BadRequest, match="is queued: there is nothing to resume"):
        works.improve.resume(first)
    with pytest.raises(NotFound):
        works.improve.resume("20200101-000000-nobody")


def test_a_run_is_not_resumed_beyond_the_budget_nor_in_quiet_hours(made: Made) -> None:
    works = made(ADAPTER, settings={"query_adapter": QUIET}, budget={"train_cpu_s_day": 100})
    run_id = works.improve.request("query_adapter", on=None, cause="hand")
    works.broken(run_id)
    works.tables.spend.charge("train", Cost(100.0), run_id=run_id)
    with pytest.raises(Busy, match=r"cannot go on now: a run needs about .* are spent \(budget\.train_cpu_s_day\)"):
        works.improve.resume(run_id)
    works.budget = Budget(train_cpu_s_day=0, quiet_hours="00:00-23:59")
    works.restart()
    with pytest.raises(Busy, match="cannot go on now: quiet hours"):
        works.improve.resume(run_id)
    assert works.run(run_id)["state"] == "failed"
    works.budget = Budget(train_cpu_s_day=0)
    works.restart()
    works.improve.resume(run_id)
    assert works.run(run_id)["state"] == "queued"


def test_a_run_without_data_begins_anew_at_once_with_what_is_configured_now(made: Made, tmp_path: Path) -> None:
    works = made(ADAPTER, settings={"query_adapter": QUIET})
    run_id = works.improve.request("query_adapter", on=None, cause="hand")
    works.failed(run_id, "there are too few pairs")
    works.house.learn = {"pairs": (str(tmp_path / "more.jsonl"),)}
    works.restart()
    works.improve.resume(run_id)
    assert works.run(run_id)["state"] == "queued"
    assert read_preparation(works.places(run_id)).pairs == (str(tmp_path / "more.jsonl"),)


@pytest.mark.parametrize("state", ["waiting", "preparing", "training", "evaluating"])
def test_a_restart_takes_every_run_up_where_it_was(made: Made, state: str) -> None:
    works = made(ADAPTER, LORA, settings={"query_adapter": QUIET, "encoder_lora": QUIET})
    blocking = works.improve.request("encoder_lora", on=None, cause="hand") if state == "waiting" else ""
    run_id = works.improve.request("query_adapter", on=None, cause="hand")
    if state == "training":
        works.freeze(run_id)
        works.chores.end(f"prepare {run_id}")
        works.turn(0.1)
        works.training.progress(run_id, 1, 10, {})
    if state == "evaluating":
        works.trained(run_id)
    works.restart()
    works.turn()
    if blocking:
        works.failed(blocking)
        works.turn()
    if state == "training":
        works.training.progress(run_id, 2, 10, {})
        works.queue.done(run_id)
        works.training.trained(run_id, works.result(run_id))
    if state in ("training", "evaluating"):
        works.measure(run_id)
        works.chores.end(f"evaluate {run_id}")
        works.turn(0.1)
    else:
        works.finished(run_id)
    assert (works.run(run_id)["state"], works.run(run_id)["verdict"]) == ("done", "passed")
    assert works.run(run_id)["cpu_s"] == pytest.approx(6.0)


# What fired once is latched.


def worn(made: Made) -> Works:
    """An index fit that fired below .9 and failed, over a hundred chunks of which a few are new since."""
    works = made(FIT, settings={"coarse_quantizer": {"centroid_cosine": 0.9}})
    works.write(100)
    works.centroid_cosine = 0.5
    works.turn()
    works.broken(works.runs()[0]["id"])
    works.write(5, "more")
    return works


@pytest.mark.parametrize("is_restarted", [False, True], ids=["going on", "after a kill"])
def test_a_level_that_training_did_not_cure_fires_once(made: Made, is_restarted: bool) -> None:
    works = worn(made)
    if is_restarted:
        works.restart()
    works.turn()
    assert len(works.runs()) == 1
    reason = works.reason("coarse_quantizer", "centroid_cosine")
    assert not reason.holds
    assert "it fired before" in reason.text


def test_a_level_that_went_back_may_fire_again(made: Made) -> None:
    works = worn(made)
    works.turn()
    works.centroid_cosine = 0.99
    works.turn()
    works.centroid_cosine = 0.5
    works.turn()
    assert [state for _, state in works.states()] == ["failed", "queued"]


@pytest.mark.parametrize("is_restarted", [False, True], ids=["going on", "after a kill"])
def test_a_level_for_which_a_cheaper_trainer_went_is_latched_as_well(made: Made, is_restarted: bool) -> None:
    settings = {"query_adapter": {"changed_chunks": 10**6}, "encoder_lora": {"query_drift": True}}
    works = made(ADAPTER, LORA, settings=settings, budget={"train_cpu_s_day": 0, "train_cpu_s_month": 0})
    works.write(100)
    works.broken(works.improve.request("encoder_lora", on=None, cause="hand"))
    works.write(5, "more")
    drifts(works)
    works.turn()
    assert works.states() == [("encoder_lora", "failed"), ("query_adapter", "queued")]
    works.broken(works.runs()[1]["id"])
    if is_restarted:
        works.restart()
    works.turn()
    assert "it fired before" in works.reason("encoder_lora", "query_drift").text
    assert [state for _, state in works.states()] == ["failed", "failed"]


@pytest.mark.parametrize("is_restarted", [False, True], ids=["going on", "after a kill"])
def test_a_run_by_hand_latches_what_held_then(made: Made, is_restarted: bool) -> None:
    works = made(ADAPTER, settings={"query_adapter": {"query_drift": True}})
    works.write(100)
    drifts(works)
    works.broken(works.improve.request("query_adapter", on=None, cause="hand"))
    drifts(works)
    if is_restarted:
        works.restart()
    works.turn()
    assert "it fired before" in works.reason("query_adapter", "query_drift").text
    assert works.states() == [("query_adapter", "failed")]


def drifts(works: Works, count: int = 3) -> None:
    """Windows of queries that drifted come in."""
    for _ in range(count):
        works.tables.decisions.add_window(Window("queries", works.house.clock(), 100, 0.4, 90.0, 0.01, True))


# What is observed, told and asked.


def test_windows_are_kept_once_and_what_looking_cost_is_charged(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    window = Window("documents", works.now, 100, 0.1, 12.0, None, False, 0.01)
    looks = [([window], 0.25)]
    monkeypatch.setattr(works.observation, "collect", lambda: looks.pop() if looks else ([], 0.0))
    for _ in range(3):
        works.turn()
    assert works.tables.rows.decisions.windows("documents") == (window,)
    assert works.tables.rows.spend.total("observe").cpu_s == 0.25


def test_what_was_trained_on_counts_as_usual_from_then_on(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    renewed: list[float] = []
    monkeypatch.setattr(works.observation, "renew", lambda: renewed.append(works.now))
    works.finished(begun(works))
    assert len(renewed) == 2  # when it was judged, and when it went live


def test_changes_are_told_in_sums_and_not_again_after_a_restart(works: Works) -> None:
    works.write(3)
    works.write(4, "more")
    works.turn(1.0)
    works.turn()
    assert [event.facts for event in works.events if event.kind == "indexed"] == [{"chunks_changed": 7}]
    works.events.clear()
    works.restart()
    works.turn()
    assert "indexed" not in works.heard()


def test_a_person_promotes_what_the_gate_refused_and_takes_it_back(works: Works) -> None:
    run_id = begun(works)
    works.finished(run_id, gain=-0.1)
    model_id = works.run(run_id)["model_id"]
    works.improve.prepare(model_id)
    works.improve.promote(model_id, forced=True)
    assert works.events[-1].facts == {
        "role": "query-adapter",
        "model": model_id,
        "stage": "serving",
        "forced": True,
    }
    works.improve.rollback(Role.QUERY_ADAPTER)
    assert works.heard()[-1] == "rolled_back"
    assert works.events[-1].facts == {"role": "query-adapter", "model": None, "stage": "serving"}


def test_standings_and_explanations_are_plain_values(made: Made) -> None:
    works = made(ADAPTER, LORA, FIT, settings={"query_adapter": {"changed_share": 0.1}})
    works.write(20)
    json.dumps(works.improve.standings())
    told = works.improve.explained("query_adapter")
    json.dumps(told)
    assert (told["ladder_name"], told["because"], told["fires"]) == ("search", "query_adapter", True)
    assert (told["plugin"], told["source"], told["examples"]) == ("query_adapter", "bundled", 100)
    assert told["needs"] == {"data": "pairs", "least": 50}
    assert [(rung["trainer"], rung["stand"]) for rung in told["ladder"]] == [
        ("query_adapter", "goes"),
        ("encoder_lora", "off"),
    ]
    assert works.improve.explained("coarse_quantizer")["ladder_name"] == "index fit"
