"""`ragd triggers`: what is asked of the daemon, what people read, and a replay of a kept history."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ragd.catalog.decisions import Decisions
from ragd.catalog.runs import Runs
from ragd.catalog.spend import Spend
from ragd.catalog.store import Store
from ragd.cli import simulation
from ragd.config.learning import Budget
from ragd.domain.deciding import Cost, Decision, Observed, Reason, RunState
from ragd.domain.errors import ConfigInvalid, NotFound
from ragd.domain.learning import Data, Needs, Role
from ragd.domain.plugins import PluginFacts, TrainerFacts

FACTS = {
    "query_adapter": TrainerFacts("query_adapter", Role.QUERY_ADAPTER, Needs(Data.PAIRS, 50), 20.0, "query_adapter"),
    "encoder_lora": TrainerFacts("encoder_lora", Role.ENCODER, Needs(Data.PAIRS, 50), 900.0, "encoder_lora"),
}
PLUGINS = (PluginFacts("shipped", "bundled", trainers=tuple(FACTS.values())),)
HOUR = 3600.0
START = 1_760_000_000.0
STANDING: dict[str, Any] = {
    "trainer": "query_adapter",
    "role": "query-adapter",
    "fires": False,
    "wait_until": time.time() + 6900,  # "in 1 h" for most of an hour, however long the tests before take
    "last_run_at": time.time() - 7230,
    "estimate": {"cpu_s": 4.2, "gpu_s": 0.0},
    "reasons": [
        {"condition": "enabled", "holds": True, "text": "fires by itself"},
        {"condition": "cooldown", "holds": False, "text": "ran 2 h ago, cools down for 3 h: 60 min left"},
        {"condition": "changed_share", "holds": True, "text": "12.0% of the chunks changed \x1b[31mfast"},
    ],
}
FIRING = STANDING | {
    "trainer": "encoder_lora",
    "fires": True,
    "wait_until": None,
    "last_run_at": None,
    "estimate": {"cpu_s": 700.0, "gpu_s": 65.0},
    "reasons": [
        {"condition": "changed_chunks", "holds": False, "text": "3 chunks changed"},
        {"condition": "every_s", "holds": True, "text": "8 d since the last run"},
    ],
}


class LearningSide:
    """The daemon's triggers."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def triggers(self) -> dict[str, Any]:
        return {"triggers": [STANDING, FIRING]}

    def trigger(self, trainer: str) -> dict[str, Any]:
        found = next((each for each in (STANDING, FIRING) if each["trainer"] == trainer), None)
        if found is None:
            raise NotFound(f"there is no trainer {trainer}")
        rungs = [
            {"trainer": "query_adapter", "stand": "waits", "why": "cools down", "estimate": STANDING["estimate"]},
            {"trainer": "encoder_lora", "stand": "next", "why": "after query_adapter", "estimate": FIRING["estimate"]},
        ]
        rungs[0]["until"] = time.time() + 3630
        history = [{"at": time.time() - 7230, "fires": True, "run_id": "run-1", "reasons": found["reasons"]}]
        ladder = {"ladder": rungs, "ladder_name": "search", "because": "encoder_lora"}
        return {**found, **ladder, "history": history}

    def train(self, trainer: str, *, on: str | None, cause: str) -> dict[str, Any]:
        self.asked.append((trainer, on, cause))
        return {"run": "20261124-1300-adapter"}


@pytest.fixture
def side(backend: Any) -> LearningSide:
    backend.learning = LearningSide()
    found: LearningSide = backend.learning
    return found


def test_the_list_tells_who_fires_what_a_run_costs_and_why(ragd: Any, side: LearningSide) -> None:
    result = ragd("triggers", "list")
    assert result.exit_code == 0
    header, first, second = result.stdout.splitlines()
    assert header.split() == ["TRAINER", "ROLE", "FIRES", "LAST", "RUN", "A", "RUN", "WHY"]
    assert first.split()[:3] == ["query_adapter", "query-adapter", "in"]
    assert "2 h ago" in first
    assert first.rstrip().endswith("…") or "cools down" in first
    assert second.split()[2:4] == ["yes", "never"]
    assert "11 min CPU, 1 min GPU" in second
    assert second.endswith("8 d since the last run")


def test_the_list_is_told_in_json(ragd: Any, side: LearningSide) -> None:
    told = json.loads(ragd("triggers", "list", "--json").stdout)
    assert [each["trainer"] for each in told["triggers"]] == ["query_adapter", "encoder_lora"]


def test_one_trainer_is_explained_with_its_ladder_and_history(ragd: Any, side: LearningSide) -> None:
    result = ragd("triggers", "explain", "query_adapter")
    lines = result.stdout.splitlines()
    assert lines[0] == "query_adapter: does not fire, may in 1 h"
    assert lines[1:4] == [
        "  + enabled: fires by itself",
        "  - cooldown: ran 2 h ago, cools down for 3 h: 60 min left",
        "  + changed_share: 12.0% of the chunks changed �[31mfast",
    ]
    assert "ladder of search, cheapest first, started by encoder_lora" in lines
    assert "  1. query_adapter  waits, in 1 h: cools down (4 s CPU a run)" in lines
    assert "  2. encoder_lora   next: after query_adapter (11 min CPU, 1 min GPU a run)" in lines
    assert lines[-1] == "  2 h ago: fired, run run-1 (changed_share held)"


def test_every_trainer_is_explained_where_none_is_named(ragd: Any, side: LearningSide) -> None:
    result = ragd("triggers", "explain")
    assert "query_adapter: does not fire" in result.stdout
    assert "encoder_lora: fires now" in result.stdout
    assert len(json.loads(ragd("triggers", "explain", "--json").stdout)["triggers"]) == 2


def test_an_unknown_trainer_is_named(ragd: Any, side: LearningSide) -> None:
    result = ragd("triggers", "explain", "nobody")
    assert result.exit_code == NotFound.exit_code
    assert "there is no trainer nobody" in result.stderr


def test_firing_by_hand_prints_the_run_and_how_to_follow_it(ragd: Any, side: LearningSide) -> None:
    result = ragd("triggers", "fire", "query_adapter")
    assert (
        result.stdout == "run 20261124-1300-adapter begins: follow it with `ragd runs log -f 20261124-1300-adapter`\n"
    )
    assert side.asked == [("query_adapter", None, "fire")]


def test_without_a_daemon_it_says_how_to_start_one(ragd: Any) -> None:
    result = ragd("triggers", "list")
    assert result.exit_code != 0
    assert "ragd run FOLDER" in result.stderr


@pytest.fixture
def history(state: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Ten hours in which forty chunks changed in each, one run after the fifth; plugins need no look."""
    monkeypatch.setattr("ragd.cli.simulation.Roster.refresh", lambda _: PLUGINS)
    with closing(Store(state)) as store:
        decisions = Decisions(store)
        for hour in range(1, 11):
            ran = START + 5 * HOUR if hour > 5 else None
            changed = 40 * (hour if ran is None else hour - 5)
            seen = Observed(START + hour * HOUR, 1000, changed, examples=100, last_run_at=ran)
            reasons = (Reason("changed_share", hour == 5, "so much"),)
            decisions.record(Decision("query_adapter", seen.at, hour == 5, reasons), seen)
        run = Runs(store, lambda: START + 5 * HOUR).begin(
            "query_adapter", Role.QUERY_ADAPTER, cause="trigger", reasons=(), seed=1, settings={}
        )
        Runs(store).prepared(run, examples=100, sha256="aa", report={}, changes=200)
        Spend(store).charge("train", Cost(3.0), run_id=run)
        for run_state in (RunState.QUEUED, RunState.RUNNING, RunState.EVALUATING, RunState.DONE):
            Runs(store).move(run, run_state)
        yield store


def test_a_policy_is_replayed_over_the_kept_history(ragd: Any, history: Store, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("[trainers.query_adapter]\nchanged_share = 0.12\ncooldown_s = 0\n")
    result = ragd("triggers", "simulate", "--policy", str(policy))
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    # 120 of 1000 chunks every three hours; each run takes what the real one took.
    assert lines[1].split() == ["query_adapter", "10", "3", "-", "9", "s", "CPU", "1", "3", "s", "CPU"]
    assert lines[2].split() == ["all", "3", "9", "s", "CPU", "1", "3", "s", "CPU"]
    assert sum("12.0% of the chunks changed since the last run" in line for line in lines) == 3
    told = json.loads(ragd("triggers", "simulate", "--policy", str(policy), "--json").stdout)
    (trainer,) = told["trainers"]
    assert [(firing["at"] - START) / HOUR for firing in trainer["firings"]] == [3, 6, 9]
    assert told["total"]["cost"]["cpu_s"] == 9.0


def test_a_policy_may_bring_its_own_budget_and_prices(ragd: Any, history: Store, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(
        "[budget]\ntrain_cpu_s_day = 7\ncpu_rate = 3600\ncurrency = 'EUR'\n"
        "[trainers.query_adapter]\nchanged_share = 0.04\ncooldown_s = 0\n"
    )
    result = ragd("triggers", "simulate", "--policy", str(policy))
    lines = result.stdout.splitlines()
    assert lines[1].split()[:5] == ["query_adapter", "10", "2", "8", "6"]
    assert "6.00 EUR" in lines[1]


def test_a_trainer_that_never_ran_is_shown_what_another_observed(ragd: Any, history: Store, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("[trainers.encoder_lora]\nchanged_chunks = 400\n")
    result = ragd("triggers", "simulate", "--policy", str(policy))
    assert "shown what query_adapter observed" in result.stdout
    assert "400 chunks changed since the last run" in result.stdout


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[trainers.query_adapter]\nchanged_shares = 1\n", "policy.toml:2: unknown key"),
        ("[trainers.query_adapter]\nchanged_share = 'x'\n", "policy.toml:2:"),
        ("[trainers\n", "policy.toml"),
        ("[watch]\nsettle_s = 1\n", "no trainer has a table"),
        ("[trainers.nobody]\nevery_s = 5\n", "no plugin in use offers a trainer nobody"),
    ],
)
def test_a_bad_policy_is_named_with_its_line(text: str, says: str, ragd: Any, history: Store, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(text)
    result = ragd("triggers", "simulate", "--policy", str(policy))
    assert result.exit_code == ConfigInvalid.exit_code
    assert says in result.stderr


def test_a_policy_file_must_be_there(ragd: Any, history: Store) -> None:
    result = ragd("triggers", "simulate", "--policy", "nowhere.toml")
    assert result.exit_code == ConfigInvalid.exit_code
    assert "nowhere.toml" in result.stderr


def test_without_a_history_there_is_nothing_to_replay(
    ragd: Any, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ragd.cli.simulation.Roster.refresh", lambda _: PLUGINS)
    policy = tmp_path / "policy.toml"
    policy.write_text("[trainers.query_adapter]\nevery_s = 5\n")
    result = ragd("triggers", "simulate", "--policy", str(policy))
    assert result.exit_code == NotFound.exit_code
    assert "keeps no decisions to replay" in result.stderr


def test_the_budget_of_the_configuration_counts_where_the_policy_has_none(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("[trainers.query_adapter]\nevery_s = 5\n")
    configured = Budget(train_cpu_s_day=77)
    assert simulation.policy_of(policy, configured)[1] is configured


def test_the_shipped_trainers_are_known_to_a_replay(ragd: Any, state: Path, tmp_path: Path) -> None:
    with closing(Store(state)) as store:
        seen = Observed(START, 1000, 500, examples=100)
        Decisions(store).record(Decision("query_adapter", START, False, ()), seen)
    policy = tmp_path / "policy.toml"
    policy.write_text("[trainers.query_adapter]\nchanged_chunks = 500\n")
    told = json.loads(ragd("triggers", "simulate", "--policy", str(policy), "--json").stdout)
    assert told["total"]["runs"] == 1
