"""The model side behind its HTTP door: what is read, what the main thread is asked to do, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from ragd.catalog.decisions import Decisions
from ragd.catalog.models import NewModel
from ragd.catalog.runs import Runs
from ragd.daemon import learning as module
from ragd.daemon.errands import Errands
from ragd.daemon.learning import DaemonLearning, Json
from ragd.domain.deciding import Decision, Observed, Reason, RunState
from ragd.domain.errors import BadRequest, Busy, GateRefused, NotFound, RagdError
from ragd.domain.learning import Role
from ragd.domain.plugins import PluginFacts
from tests.unit.flow.house import House
from tests.unit.flow.works import ADAPTER, LORA

PLUGINS = (
    PluginFacts("query_adapter", "bundled", trainers=(ADAPTER,)),
    PluginFacts("broken", "file", path="/p/broken.py", trainers=(LORA,), problem="NameError: numpy", hint="import it"),
)


class ImprovingFake:
    """The way of a model as a person steers it: does to the tables what the real one would, in the main thread only."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.is_in_errand = False
        self.asked: list[tuple[Any, ...]] = []
        self.problem: RagdError | None = None
        self.runs = Runs(house.app.tables.store, house.clock)

    def _note(self, *asked: Any) -> None:
        assert self.is_in_errand, f"{asked[0]} was asked outside of the main thread"
        self.asked.append(asked)
        if self.problem is not None:
            raise self.problem

    def standings(self) -> list[dict[str, Any]]:
        self._note("standings")
        return [{"trainer": "query_adapter", "fires": False}]

    def explained(self, trainer: str) -> dict[str, Any]:
        self._note("explained", trainer)
        return {"trainer": trainer, "fires": False, "ladder": []}

    def request(self, trainer: str, *, on: str | None, cause: str) -> str:
        self._note("request", trainer, on, cause)
        return self.runs.begin(trainer, Role.QUERY_ADAPTER, cause=cause, seed=1)

    def stop(self, run_id: str) -> None:
        self._note("stop", run_id)
        self.runs.move(run_id, RunState.STOPPED, reason="stopped when asked")

    def resume(self, run_id: str) -> None:
        self._note("resume", run_id)
        self.runs.move(run_id, RunState.WAITING)

    def prepare(self, model_id: int) -> None:
        assert not self.is_in_errand, "opening takes seconds: it must not hold up the main thread"
        self.asked.append(("prepare", model_id))

    def promote(self, model_id: int, *, forced: bool) -> None:
        self._note("promote", model_id, forced)
        self.house.app.promotions.promote(model_id, forced=forced)

    def rollback(self, role: Role) -> None:
        self._note("rollback", role)
        self.house.app.promotions.roll_back(role)

    @property
    def prune(self) -> Callable[[int], tuple[list[str], int]]:
        def pruned(keep: int) -> tuple[list[str], int]:
            self._note("prune", keep)
            return ["query_adapter/1"], 4096

        return pruned


class Door:
    """The door over a real catalog; errands are run at once, as the main thread's."""

    def __init__(self, state: Path) -> None:
        self.house = House(state)
        self.errands = Errands(self._run)
        self.improving = ImprovingFake(self.house)
        self.looks: list[bool] = []
        self.judged: list[tuple[int, int, bool]] = []
        app = self.house.app
        self.folder = state / "runs"
        self.learning = DaemonLearning(
            self.improving,
            self.errands,
            app.reader.learning,
            app.reader.registry,
            self.folder,
            lambda: PLUGINS,
            self._look,
            lambda trainers: {"trainers": [trainer.name for trainer in trainers]},
            lambda query, chunk, good: self.judged.append((query, chunk, good)),
        )

    def _run(self) -> None:
        self.improving.is_in_errand = True
        try:
            self.errands.run()
        finally:
            self.improving.is_in_errand = False

    def _look(self) -> bool:
        assert self.improving.is_in_errand
        return self.looks.pop() if self.looks else False

    def run(self, *states: RunState) -> str:
        """A run that went through these states."""
        run_id = self.improving.runs.begin("query_adapter", Role.QUERY_ADAPTER, cause="hand", seed=1)
        for state in states:
            self.improving.runs.move(run_id, state)
        (self.folder / run_id).mkdir(parents=True)
        return run_id

    def log(self, run_id: str, data: bytes) -> None:
        (self.folder / run_id / "log.txt").write_bytes(data)

    def read(self, run_id: str) -> list[str]:
        """The whole log, a part at a time, until it is at its end."""
        offset, parts = 0, []
        while True:
            part: dict[str, Any] = dict(self.learning.log(run_id, offset))
            assert part["next"] == offset + len(part["text"].encode())
            parts.append(part["text"])
            if part["next"] == offset or part["ended"]:
                return parts
            offset = part["next"]


DONE = (RunState.QUEUED, RunState.RUNNING, RunState.EVALUATING, RunState.DONE)
RUNNING = (RunState.QUEUED, RunState.RUNNING)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    made = Door(tmp_path)
    yield made
    made.house.app.close()


def listed(answer: Json, name: str) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", answer[name])


# What is read.


def test_plugins_are_told_with_how_they_stand(door: Door) -> None:
    used, blocked = listed(door.learning.plugins(), "plugins")
    assert (used["name"], used["state"], used["trainers"][0]["name"]) == ("query_adapter", "used", "query_adapter")
    assert (blocked["state"], blocked["problem"], blocked["hint"]) == ("blocked", "NameError: numpy", "import it")


def test_triggers_are_told_by_the_main_thread_with_their_history(door: Door) -> None:
    assert door.learning.triggers() == {"triggers": [{"trainer": "query_adapter", "fires": False}]}
    decision = Decision("query_adapter", 5.0, True, (Reason("volume", True, "much"),))
    Decisions(door.house.app.tables.store).record(decision, Observed(5.0, 10, 10, 10), "run-1")
    told = door.learning.trigger("query_adapter")
    assert told["ladder"] == []
    (kept,) = listed(told, "history")
    assert (kept["run_id"], kept["fires"], kept["observed"]) == ("run-1", True, None)
    door.improving.problem = NotFound("there is no trainer moon")
    with pytest.raises(NotFound, match="no trainer moon"):
        door.learning.trigger("moon")


def test_runs_are_listed_newest_first_and_by_trainer(door: Door) -> None:
    first, second = door.run(), door.run()
    assert [run["id"] for run in listed(door.learning.runs(limit=10, trainer=None), "runs")] == [second, first]
    assert [run["id"] for run in listed(door.learning.runs(limit=1, trainer="query_adapter"), "runs")] == [second]
    assert door.learning.runs(limit=10, trainer="moon") == {"runs": []}


def test_a_run_is_told_with_its_folder_report_and_model(door: Door) -> None:
    run_id = door.run(*DONE)
    told = door.learning.run(run_id[:-1])
    assert (told["id"], told["folder"], told["report"], told["model"]) == (run_id, str(door.folder / run_id), "", "")
    (door.folder / run_id / "report.md").write_text("# query_adapter: passed\n")
    door.improving.runs.judged(run_id, "passed", door.house.adapter())
    told = door.learning.run(run_id)
    assert (told["report"], told["model"]) == ("# query_adapter: passed\n", "query_adapter/1")
    with pytest.raises(NotFound, match="there is no run moon"):
        door.learning.run("moon")


def test_models_are_told_listed_found_and_compared(door: Door) -> None:
    first, second = door.house.adapter(), door.house.adapter(scale=-1.0)
    told = door.learning.models()
    assert [model["id"] for model in listed(told, "models")] == [second, first]
    assert told["champions"] == []
    for reference in (str(first), "query_adapter/1"):
        assert door.learning.model(reference)["id"] == first
    assert door.learning.model("query_adapter")["id"] == second
    compared = door.learning.compare("query_adapter/1", "query_adapter/2")
    assert [dict(cast(Json, compared[side]))["version"] for side in ("a", "b")] == [1, 2]
    encoder = door.house.encoder(1)
    with pytest.raises(BadRequest, match="do not have the same role"):
        door.learning.compare("query_adapter/1", str(encoder))
    for ask in (door.learning.model, lambda name: door.learning.compare(name, "1")):
        with pytest.raises(NotFound, match="there is no model moon/3"):
            ask("moon/3")


def test_the_account_is_of_trainers_in_use(door: Door) -> None:
    assert door.learning.spend() == {"trainers": ["query_adapter"]}


# The log.


def test_a_log_is_read_in_parts_to_its_end(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOG_BYTES", 8)
    run_id = door.run(*DONE)
    door.log(run_id, b"resumed at 4\ndone\n")
    assert door.read(run_id) == ["resumed ", "at 4\ndon", "e\n"]


@pytest.mark.parametrize("limit", range(4, 12))
def test_no_character_is_cut_in_two(door: Door, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(module, "_LOG_BYTES", limit)
    text = "Grüße, 漢字 und 🦫🦫🦫 — ende\n"
    run_id = door.run(*DONE)
    door.log(run_id, text.encode())
    assert "".join(door.read(run_id)) == text


def test_a_character_that_is_not_all_there_comes_later(door: Door) -> None:
    run_id, beaver = door.run(*RUNNING), "🦫".encode()
    door.log(run_id, b"a " + beaver[:3])
    assert door.learning.log(run_id, 0) == {"text": "a ", "next": 2, "ended": False}
    assert door.learning.log(run_id, 2) == {"text": "", "next": 2, "ended": False}
    door.log(run_id, b"a " + beaver + b"!")
    assert door.learning.log(run_id, 2) == {"text": "🦫!", "next": 7, "ended": False}


def test_what_is_not_text_is_shown_as_such_and_does_not_hold_up_the_rest(door: Door) -> None:
    run_id = door.run(*DONE)
    door.log(run_id, b"a\xff\xfeb \xe6\xbc")  # the last character never comes
    assert door.learning.log(run_id, 0) == {"text": "a\ufffd\ufffdb \ufffd", "next": 7, "ended": True}


def test_a_log_ends_when_its_run_has_and_all_was_read(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOG_BYTES", 4)
    running, done = door.run(*RUNNING), door.run(*DONE)
    for run_id in (running, done):
        door.log(run_id, b"four")
    assert [door.learning.log(run_id, 4)["ended"] for run_id in (running, done)] == [False, True]
    assert door.learning.log(done, 0)["ended"] is False
    assert door.learning.log(done, 400) == {"text": "", "next": 400, "ended": True}


def test_a_run_that_printed_nothing_has_an_empty_log(door: Door) -> None:
    assert door.learning.log(door.run(*RUNNING), 0) == {"text": "", "next": 0, "ended": False}
    with pytest.raises(NotFound):
        door.learning.log("moon", 0)


# What the main thread is asked to do.


def test_a_run_is_begun_after_plugins_were_looked_at(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_POLL_S", 0.0)
    door.looks = [False, True, True]
    told = door.learning.train("query_adapter", on="/data/pairs.jsonl", cause="fire")
    assert door.looks == []
    assert door.improving.asked == [("request", "query_adapter", "/data/pairs.jsonl", "fire")]
    assert door.learning.run(str(told["run"]))["state"] == "waiting"


def test_plugins_that_are_looked_at_for_ever_are_not_waited_for(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 0.0)
    monkeypatch.setattr(module, "_POLL_S", 0.0)
    door.looks = [True] * 10
    assert "run" in door.learning.train("query_adapter", on=None, cause="hand")


def test_a_file_must_be_named_whole(door: Door) -> None:
    with pytest.raises(BadRequest, match=r"pairs\.jsonl is not an absolute path"):
        door.learning.train("query_adapter", on="pairs.jsonl", cause="hand")
    assert door.improving.asked == []


@pytest.mark.parametrize("problem", [Busy("has not ended"), NotFound("no such trainer"), BadRequest("switched off")])
def test_what_the_main_thread_refuses_reaches_whoever_asked(door: Door, problem: RagdError) -> None:
    door.improving.problem = problem
    run_id = door.run(*RUNNING)
    asks: tuple[Callable[[], object], ...] = (
        lambda: door.learning.train("query_adapter", on=None, cause="hand"),
        lambda: door.learning.stop(run_id),
        lambda: door.learning.resume(run_id),
        lambda: door.learning.rollback("encoder"),
        lambda: door.learning.prune(3),
        door.learning.triggers,
    )
    for ask in asks:
        with pytest.raises(type(problem), match=str(problem)):
            ask()


def test_runs_are_stopped_and_resumed_by_the_beginning_of_their_id(door: Door) -> None:
    run_id = door.run(*RUNNING)
    assert door.learning.stop(run_id[:-3])["state"] == "stopped"
    assert door.learning.resume(run_id[:-3])["state"] == "waiting"
    assert door.improving.asked == [("stop", run_id), ("resume", run_id)]


@pytest.mark.parametrize("ends", [DONE, (RunState.FAILED,), (RunState.STOPPED,)])
def test_what_has_ended_is_not_stopped(door: Door, ends: tuple[RunState, ...]) -> None:
    run_id = door.run(*ends)
    with pytest.raises(BadRequest, match=f"the run {run_id} has ended already: {ends[-1]}"):
        door.learning.stop(run_id)
    assert door.improving.asked == []


def judged(door: Door, model_id: int, *, passed: bool) -> None:
    gate = {"verdict": "passed" if passed else "refused", "sentence": "refused: ndcg@10 0.400 → 0.390"}
    door.house.app.tables.models.judged(model_id, passed=passed, scores={"gate": gate}, report="")


def test_a_model_that_passed_is_opened_first_and_then_promoted(door: Door) -> None:
    model_id = door.house.adapter()
    judged(door, model_id, passed=True)
    told = door.learning.promote("query_adapter/1", force=False)
    assert told == {"role": "query-adapter", "model": "query_adapter/1", "stage": "serving"}
    assert door.improving.asked == [("prepare", model_id), ("promote", model_id, False)]


def test_without_the_gate_nothing_is_promoted_but_by_force(door: Door) -> None:
    refused, unmeasured = door.house.adapter(), door.house.adapter(scale=-1.0)
    judged(door, refused, passed=False)
    with pytest.raises(GateRefused, match=r"query_adapter/1 did not pass the gate: refused: ndcg@10 0\.400") as caught:
        door.learning.promote("query_adapter/1", force=False)
    assert "--force" in caught.value.hint
    with pytest.raises(GateRefused, match="query_adapter/2 did not pass the gate: it was never measured"):
        door.learning.promote(str(unmeasured), force=False)
    with pytest.raises(NotFound, match="there is no model moon"):
        door.learning.promote("moon", force=True)
    assert door.improving.asked == []
    assert door.learning.promote("query_adapter/1", force=True)["model"] == "query_adapter/1"
    assert door.improving.asked[-1] == ("promote", refused, True)


def test_force_on_what_passed_is_no_force(door: Door) -> None:
    model_id = door.house.adapter()
    judged(door, model_id, passed=True)
    door.learning.promote("query_adapter", force=True)
    assert door.improving.asked[-1] == ("promote", model_id, False)


def test_a_rollback_tells_what_serves_now(door: Door) -> None:
    judged(door, door.house.adapter(), passed=True)
    door.learning.promote("query_adapter", force=False)
    assert door.learning.rollback("query-adapter") == {
        "role": "query-adapter",
        "model": "configured",
        "stage": "serving",
    }
    assert door.improving.asked[-1] == ("rollback", Role.QUERY_ADAPTER)
    with pytest.raises(NotFound, match="no earlier query-adapter"):
        door.learning.rollback("query-adapter")


def test_a_role_that_is_none_is_refused_with_those_that_are(door: Door) -> None:
    with pytest.raises(BadRequest, match="cook is not a role") as caught:
        door.learning.rollback("cook")
    assert caught.value.hint == "one of index, query-adapter, encoder, generator"
    assert door.improving.asked == []


def test_models_are_pruned_and_answers_judged_by_the_main_thread(door: Door) -> None:
    assert door.learning.prune(2) == {"pruned": ["query_adapter/1"], "freed_bytes": 4096}
    assert door.improving.asked == [("prune", 2)]
    door.learning.feedback(7, 12, good=True)
    assert door.judged == [(7, 12, True)]


def test_a_role_in_which_nothing_was_promoted_has_no_champion_to_tell(door: Door) -> None:
    new = NewModel(Role.GENERATOR, "generator_lora", 1, "generator_lora/1", {}, "ff", 1)
    door.house.app.tables.models.add(new)
    with pytest.raises(NotFound, match="nothing was ever promoted as generator"):
        door.learning._champion("generator")
