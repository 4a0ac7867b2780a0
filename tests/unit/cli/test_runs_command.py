"""`ragd train` and `ragd runs`: what they ask, what they print, and the exit code in which a run ends."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import typer

from ragd.cli import follow as following
from ragd.cli.follow import follow, verdict
from ragd.cli.main import build
from ragd.cli.names import run_ids, trainer_names
from ragd.domain.errors import BudgetExceeded, GateRefused, NotFound, TrainingFailed

BASE: dict[str, Any] = {
    "id": "20261124-1300-adapter",
    "trainer": "query_adapter",
    "role": "query-adapter",
    "state": "queued",
    "cause": "hand",
    "requested_at": time.time() - 90,
    "attempts": 2,
    "done": 0,
    "total": 0,
    "metrics": {},
    "reasons": [{"condition": "volume", "holds": True, "text": "300 chunks changed, 200 suffice"}],
    "cpu_s": 2.5,
    "gpu_s": 0.0,
    "peak_memory_mb": 120.0,
    "seed": 7,
    "verdict": "",
    "reason": "",
    "hint": "",
}
WON = BASE | {"state": "done", "verdict": "passed", "reason": "ndcg@10 .208 -> .264", "gain": 0.056}
REFUSED = BASE | {"state": "done", "verdict": "refused", "reason": "no gain"}
FAILED = BASE | {"state": "failed", "reason": "plugin x: loss became nan at step 2 of 2", "hint": "lower the rate"}
TRAINS = BASE | {"state": "running", "done": 3, "total": 10, "metrics": {"loss": 0.25}}


class LearningSide:
    """The daemon's runs: each look at a run takes the next of `states`, and the last one stays."""

    def __init__(self) -> None:
        self.states: list[dict[str, Any]] = [WON]
        self.asked: list[tuple[Any, ...]] = []
        self.log_text = "resumed at 4\n\x1b[31mdone\n"

    def train(self, trainer: str, *, on: str | None, cause: str) -> dict[str, Any]:
        self.asked.append(("train", trainer, on, cause))
        return {"run": BASE["id"]}

    def run(self, run: str) -> dict[str, Any]:
        if not str(BASE["id"]).startswith(run):
            raise NotFound(f"there is no run {run}")
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    def runs(self, *, limit: int, trainer: str | None) -> dict[str, Any]:
        self.asked.append(("runs", limit, trainer))
        return {"runs": self.states}

    def log(self, run: str, offset: int) -> dict[str, Any]:
        part = self.log_text[offset : offset + 8]
        return {"text": part, "next": offset + len(part), "ended": True}

    def stop(self, run: str) -> dict[str, Any]:
        self.asked.append(("stop", run))
        return self.states[0]

    def resume(self, run: str) -> dict[str, Any]:
        self.asked.append(("resume", run))
        return BASE

    def promote(self, model: str, *, force: bool) -> dict[str, Any]:
        self.asked.append(("promote", model, force))
        return {"role": "query-adapter", "model": "query_adapter/3", "stage": "serving"}

    def plugins(self) -> dict[str, Any]:
        return {"plugins": [{"name": "a", "trainers": [{"name": "query_adapter"}, {"name": "encoder_lora"}]}]}


@pytest.fixture
def side(backend: Any, monkeypatch: pytest.MonkeyPatch) -> LearningSide:
    """The model side of the backend; looking costs no time."""
    monkeypatch.setattr(following, "_LOOK_S", 0.0)
    backend.learning = LearningSide()
    side: LearningSide = backend.learning
    return side


def test_a_run_is_followed_to_its_victory(ragd: Any, side: LearningSide, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    pairs.touch()
    side.states = [BASE, TRAINS, BASE | {"state": "evaluating"}, WON]
    result = ragd("train", "query_adapter", "--on", str(pairs))
    assert result.exit_code == 0
    assert "query_adapter (20261124-1300-adapter) won and is promoted: ndcg@10 .208 -> .264" in result.stdout
    assert result.stderr.splitlines() == [
        "query_adapter is prepared",
        "query_adapter trains, 3 of 10, loss 0.25",
        "query_adapter is compared with what serves",
    ]
    assert side.asked == [("train", "query_adapter", str(pairs), "hand")]


@pytest.mark.parametrize(
    ("ending", "exit_code", "says"),
    [
        (REFUSED, 16, "was not promoted: no gain"),
        (FAILED, 15, "failed: plugin x: loss became nan at step 2 of 2"),
        (BASE | {"state": "stopped"}, 15, "was stopped"),
    ],
)
def test_other_endings_have_exit_codes_of_their_own(
    ending: dict[str, Any], exit_code: int, says: str, ragd: Any, side: LearningSide
) -> None:
    side.states = [ending]
    result = ragd("train", "query_adapter")
    assert result.exit_code == exit_code
    assert says in result.stderr
    assert "hint: " in result.stderr
    told = ragd("train", "query_adapter", "--json")
    assert told.exit_code == exit_code
    assert json.loads(told.stdout) == ending


def test_what_the_gate_refused_is_promoted_by_force(ragd: Any, side: LearningSide) -> None:
    side.states = [REFUSED | {"model_id": 7}]
    result = ragd("train", "query_adapter", "--force")
    assert result.exit_code == 0
    assert "promoted: as query_adapter/3, though the gate refused it" in result.stdout
    assert side.asked[1:] == [("promote", "7", True)]


def test_nothing_is_forced_by_a_command_that_does_not_wait(ragd: Any, side: LearningSide) -> None:
    result = ragd("train", "query_adapter", "--force", "--detach")
    assert (result.exit_code, side.asked) == (2, [])
    assert "models promote MODEL --force" in result.stderr


def test_a_run_that_waits_for_its_budget_is_left_waiting(ragd: Any, side: LearningSide) -> None:
    side.states = [BASE | {"state": "waiting", "wait_until": time.time() + 7200, "reason": "3,600 s a day are spent"}]
    result = ragd("train", "query_adapter")
    assert result.exit_code == BudgetExceeded.exit_code
    assert ": 3,600 s a day are spent" in result.stderr


def test_a_run_that_never_fits_its_budget_is_not_followed_for_ever(ragd: Any, side: LearningSide) -> None:
    side.states = [BASE | {"state": "waiting", "reason": "a run needs 14 s of CPU, 10 s of CPU a day are allowed"}]
    result = ragd("train", "query_adapter")
    assert result.exit_code == BudgetExceeded.exit_code
    assert "waits, and would for ever: a run needs 14 s of CPU" in result.stderr
    assert "waits: a run needs 14 s of CPU" in result.stderr


def test_a_run_that_waits_for_another_is_followed(ragd: Any, side: LearningSide) -> None:
    waiting = BASE | {"state": "waiting", "reason": "waits for 20261124-1200-lora to end"}
    side.states = [waiting, BASE | {"state": "failed", "reason": "no room"}]
    result = ragd("train", "query_adapter")
    assert "query_adapter waits for 20261124-1200-lora to end" in result.stderr
    assert result.exit_code == TrainingFailed.exit_code


def test_ctrl_c_leaves_the_run_and_says_how_to_follow_it(
    ragd: Any, side: LearningSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ragd.cli.train.follow", interrupted)
    result = ragd("train", "query_adapter")
    assert result.exit_code == 130
    assert "ragd runs log -f 20261124-1300-adapter" in result.stderr
    assert "ragd runs stop 20261124-1300-adapter" in result.stderr


def test_a_run_may_be_started_and_left_at_once(ragd: Any, side: LearningSide) -> None:
    assert ragd("train", "query_adapter", "--detach").stdout == "20261124-1300-adapter\n"
    assert json.loads(ragd("train", "query_adapter", "-d", "--json").stdout) == {"run": BASE["id"]}


def test_a_file_that_is_not_there_is_named_before_anything_runs(ragd: Any, side: LearningSide) -> None:
    result = ragd("train", "query_adapter", "--on", "nowhere.jsonl")
    assert result.exit_code == NotFound.exit_code
    assert "nowhere.jsonl does not exist" in result.stderr
    assert side.asked == []


def test_on_a_terminal_a_bar_is_shown(
    side: LearningSide, state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ragd.cli.client import Client

    side.states = [BASE, TRAINS, WON]
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    client = Client(state / "ragd.sock")
    assert follow(client, str(BASE["id"]))["state"] == "done"
    client.close()
    assert "query_adapter" in capsys.readouterr().err


def test_runs_are_listed_and_shown(ragd: Any, side: LearningSide) -> None:
    side.states = [WON, TRAINS, FAILED]
    listed = ragd("runs", "list", "--trainer", "query_adapter", "-n", "3").stdout
    assert "won: ndcg@10 .208 -> .264" in listed
    assert "+0.056" in listed
    assert "trains, 3 of 10, loss 0.25" in listed
    assert "plugin x: loss became nan" in listed
    assert side.asked == [("runs", 3, "query_adapter")]
    side.states = [FAILED]
    shown = ragd("runs", "show", "2026").stdout
    assert "300 chunks changed, 200 suffice" in shown
    assert "2 attempts" in shown
    assert "lower the rate" in shown
    assert json.loads(ragd("runs", "show", "2026", "--json").stdout) == FAILED
    assert json.loads(ragd("runs", "list", "--json").stdout) == {"runs": [FAILED]}
    assert ragd("runs", "show", "nothing").exit_code == NotFound.exit_code


def test_the_log_is_printed_whole_and_without_control_characters(ragd: Any, side: LearningSide) -> None:
    shown = ragd("runs", "log", "2026", "-f").stdout
    assert shown == "resumed at 4\n\ufffd[31mdone\n"
    assert json.loads(ragd("runs", "log", "2026", "--json").stdout)["text"] == side.log_text


def test_runs_are_stopped_and_resumed(ragd: Any, side: LearningSide) -> None:
    side.states = [TRAINS]
    assert ragd("runs", "stop", "2026").stdout == "20261124-1300-adapter is asked to stop\n"
    side.states = [FAILED]
    assert ragd("runs", "stop", "2026").stdout == "20261124-1300-adapter is failed\n"
    assert "goes on: follow it with" in ragd("runs", "resume", "2026").stdout
    assert json.loads(ragd("runs", "resume", "2026", "--json").stdout) == BASE
    assert [name for name, _ in side.asked] == ["stop", "stop", "resume", "resume"]


def context(state: Path) -> Any:
    """A command line as a shell's completion sees it."""
    made = typer.Context(typer.main.get_command(build()))
    made.params = {"state": state}
    return made


def test_a_shell_completes_runs_and_trainers(side: LearningSide, state: Path) -> None:
    assert run_ids(context(state), "2026") == [BASE["id"]]
    assert run_ids(context(state), "x") == []
    assert trainer_names(context(state), "q") == ["query_adapter"]


def test_without_a_daemon_nothing_is_completed(state: Path) -> None:
    assert run_ids(context(state), "") == []
    assert trainer_names(context(state), "") == []


def test_what_the_gate_refused_may_have_been_forced() -> None:
    assert verdict(REFUSED | {"promoted": True})[1] is None
    assert isinstance(verdict(REFUSED)[1], GateRefused)
    assert isinstance(verdict(FAILED)[1], TrainingFailed)
