"""What becomes of a measured run: it is judged once, its model is kept once, and only what won is put forward."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from ragd.catalog.models import Models, NewModel
from ragd.catalog.runs import Runs
from ragd.config.schema import Gate
from ragd.domain.deciding import Reason, RunState, Verdict
from ragd.domain.errors import BadRequest, Busy
from ragd.domain.index import EmbeddingSpace
from ragd.domain.learning import Role
from ragd.flow.judging import Judged, Judging
from ragd.hooks.artifacts import save_transform
from ragd.learn.artifacts import verified
from ragd.learn.gate import alpha_of
from tests.unit.flow.workshop import QUERIES, TRAINER, WIDTH, Workshop


class Killed(BaseException):
    """The daemon's end, at a chosen moment."""


class Court(Workshop):
    """A workshop whose runs are judged for good."""

    def __init__(self, state: Path) -> None:
        super().__init__(state)
        self.shelf = state / "models"
        self.heard: list[tuple[str, Judged]] = []
        self.refusal: Exception | None = None
        self.spaces: list[Path] = []
        self.judge = Judging(
            self.runs,
            self.rows.runs,
            self.models,
            Gate,
            runs_folder=self.folder,
            models_folder=self.shelf,
            base="b" * 16,
            space_of=self._space_of,
            won=self._won,
            judged=lambda judged: self.heard.append(("judged", judged)),
        ).scored

    def _won(self, judged: Judged) -> None:
        self.heard.append(("won", judged))
        if self.refusal is not None:
            raise self.refusal

    def _space_of(self, folder: Path) -> EmbeddingSpace:
        self.spaces.append(folder)
        return EmbeddingSpace("e" * 16, WIDTH, "tuned", 64)

    def evaluated(self, role: Role = Role.QUERY_ADAPTER) -> str:
        """A run of this role whose result waits to be measured."""
        run_id = self.runs.begin(TRAINER, role, cause="hand", seed=7, changes=12)
        request = self.request(run_id)
        self.training.begin(request, self.preparation())
        self.prepared(run_id)
        return run_id

    def judged(self, gain: float = 0.2, queries: tuple[str, ...] = QUERIES, **changes: Any) -> str:
        """A run that was trained, measured and judged."""
        run_id = self.evaluated(changes.get("role", Role.QUERY_ADAPTER))
        self.tells(run_id, self.result(run_id))
        self.measure(run_id, gain, queries, **changes)
        self.chores.end(f"evaluate {run_id}", cpu_s=2.0)
        self.step()
        return run_id

    def rows_of(self, table: str) -> list[tuple[Any, ...]]:
        return self.store.connection.execute(f"SELECT * FROM {table}").fetchall()

    def model_ids(self) -> list[int]:
        return [row[0] for row in self.store.connection.execute("SELECT id FROM models ORDER BY id")]

    def shown(self, model_id: int) -> dict[str, Any]:
        names = ("facts", "scores", "report", "parent", "run_id", "status", "space", "base", "sha256", "size_bytes")
        row = self.store.connection.execute(f"SELECT {', '.join(names)} FROM models WHERE id = ?", (model_id,))
        return dict(zip(names, row.fetchone(), strict=True))


@pytest.fixture
def court(tmp_path: Path) -> Iterator[Court]:
    made = Court(tmp_path)
    yield made
    made.close()


def test_a_challenger_that_is_better_is_kept_with_its_history_and_put_forward(court: Court) -> None:
    run_id = court.judged()
    run = court.run(run_id)
    (model_id,) = court.model_ids()
    assert (run["state"], run["verdict"], run["model_id"]) == ("done", "passed", model_id)
    assert run["reason"].startswith("passed: ndcg@10 0.406 → 0.607 on 40 held-out queries")
    assert [(word, judged.run_id, judged.model_id, judged.role) for word, judged in court.heard] == [
        ("judged", run_id, model_id, Role.QUERY_ADAPTER),
        ("won", run_id, model_id, Role.QUERY_ADAPTER),
    ]
    model = court.models.model(model_id)
    assert (model.label, model.status, model.base, model.space) == (f"{TRAINER}/1", "candidate", "b" * 16, "f" * 16)
    verified(court.shelf / model.folder, model.files)
    shown = court.shown(model_id)
    facts, scores = json.loads(shown["facts"]), json.loads(shown["scores"])
    assert (facts["trainable_weights"], facts["train_s"], facts["peak_memory_mb"]) == (WIDTH * WIDTH, 3.0, 120.0)
    assert (scores["gate"]["verdict"], scores["queries"], shown["run_id"]) == ("passed", 40, run_id)
    card = json.loads((court.shelf / model.folder / "card.json").read_text())
    assert (card["run"], card["space"], card["files"]) == (run_id, "f" * 16, model.files)
    assert court.rows_of("champions") == []


def test_the_report_tells_trigger_data_seed_cost_and_parent(court: Court) -> None:
    parent = court.models.add(NewModel(Role.ENCODER, "lora", 3, "lora/3", {}, "ff", 1, base="b" * 16))
    court.models.crown(Role.ENCODER, parent)
    held = Reason("changed_share", True, "12.0% of the chunks changed")
    run_id = court.runs.begin(
        TRAINER, Role.QUERY_ADAPTER, cause="trigger", seed=7, reasons=(held, Reason("every_s", False, "not yet"))
    )
    court.training.begin(court.request(run_id), court.preparation())
    court.prepared(run_id)
    court.tells(run_id, court.result(run_id))
    court.measured(run_id)
    report = court.places(run_id).report.read_text()
    assert "| trigger | 12.0% of the chunks changed |" in report
    assert f"| data | 100 examples, {court.run(run_id)['data_sha256'][:16]} |" in report
    assert "| cost | 7.0 s of CPU, 0.0 s of GPU; training took 3.0 s |" in report
    assert "| seed | 7 |" in report
    assert "| parent | lora/3 |" in report
    (_, model_id) = court.model_ids()
    assert court.shown(model_id)["report"] == report
    assert court.models.model(model_id).parent == parent
    assert "| trigger | hand |" in court.places(court.judged()).report.read_text()


def test_a_challenger_that_is_no_better_is_kept_as_refused_and_not_put_forward(court: Court) -> None:
    run_id = court.judged(gain=-0.1)
    (model_id,) = court.model_ids()
    run = court.run(run_id)
    assert (run["state"], run["verdict"], run["model_id"]) == ("done", "refused", model_id)
    assert run["reason"].startswith("refused: ")
    assert court.models.model(model_id).status == "refused"
    assert [word for word, _ in court.heard] == ["judged"]
    assert court.heard[0][1].report.verdict is Verdict.REFUSED
    assert court.rows_of("champions") == []


MOMENTS = (
    (Models, "next_version"),
    (Models, "add"),
    (Models, "judged"),
    (Runs, "judged"),
    (Runs, "move"),
)


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("owner", "name"), MOMENTS, ids=[f"{owner.__name__}.{name}" for owner, name in MOMENTS])
def test_a_kill_at_any_moment_of_judging_keeps_one_model(
    court: Court, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, is_after: bool
) -> None:
    run_id = court.evaluated()
    court.tells(run_id, court.result(run_id))
    court.measure(run_id)
    court.chores.end(f"evaluate {run_id}")
    whole = getattr(owner, name)

    def cut_off(self: object, *given: Any, **named: Any) -> Any:
        if is_after:
            whole(self, *given, **named)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, cut_off)
        with pytest.raises(Killed):
            court.step()
    is_done = court.state(run_id) == "done"
    assert is_done == (name == "move" and is_after)
    court.restart()
    court.step()
    (model_id,) = court.model_ids()
    run = court.run(run_id)
    assert (run["state"], run["verdict"], run["model_id"]) == ("done", "passed", model_id)
    assert court.models.model(model_id).label == f"{TRAINER}/1"
    assert [path.name for path in (court.shelf / TRAINER).iterdir()] == ["1"]
    assert all(judged.report.attempt == 1 for _, judged in court.heard)
    assert [judged.model_id for word, judged in court.heard if word == "won"] == ([] if is_done else [model_id])


def test_every_attempt_on_like_questions_of_a_role_makes_the_next_one_harder(court: Court) -> None:
    court.judged(gain=-0.1)
    court.judged(gain=-0.1)
    court.judged(gain=-0.1, queries=tuple(f"other{n}" for n in range(40)))
    court.judged(gain=-0.1, queries=(*QUERIES[:20], *(f"new{n}" for n in range(20))))
    court.judged()
    attempts = [(judged.report.attempt, judged.report.alpha) for word, judged in court.heard if word == "judged"]
    assert [attempt for attempt, _ in attempts] == [1, 2, 1, 3, 4]
    assert [alpha for _, alpha in attempts] == [alpha_of(attempt, Gate().alpha) for attempt, _ in attempts]


def test_attempts_of_other_roles_and_runs_without_readable_scores_do_not_count(court: Court) -> None:
    first, second = court.judged(gain=-0.1), court.judged(gain=-0.1)
    court.places(first).scores.write_text("{")
    court.store.connection.execute("UPDATE runs SET role = 'index' WHERE id = ?", (second,))
    court.runs.begin(TRAINER, Role.QUERY_ADAPTER, cause="hand", seed=7)
    court.judged()
    assert court.heard[-1][1].report.attempt == 1


def damaged(court: Court, run_id: str) -> None:
    path = court.places(run_id).work / "artifact" / "transform.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")


def pickled(court: Court, run_id: str) -> None:
    (court.places(run_id).work / "artifact" / "extra.bin").write_bytes(b"\x80\x04abc")


def gone(court: Court, run_id: str) -> None:
    (court.places(run_id).work / "artifact" / "transform.json").unlink()


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (damaged, r"transform\.safetensors in the artefact is not what the run wrote: its hash differs"),
        (pickled, r"extra\.bin in the artefact is a pickle"),
        (gone, r"the artefact has no transform\.json"),
    ],
)
def test_a_result_that_is_not_what_was_made_fails_the_run_and_keeps_nothing(court: Court, how: Any, says: str) -> None:
    run_id = court.evaluated()
    court.tells(run_id, court.result(run_id))
    how(court, run_id)
    court.measured(run_id)
    run = court.run(run_id)
    assert (run["state"], run["verdict"], run["model_id"]) == ("failed", "", None)
    assert re.search(says, run["reason"]), run["reason"]
    assert run["hint"]
    assert (court.model_ids(), court.heard, court.ended) == ([], [], [(run_id, RunState.FAILED)])
    assert not list(court.shelf.rglob("*.safetensors"))


def test_scores_that_cannot_be_read_fail_the_run_by_the_name_of_their_file(court: Court) -> None:
    run_id = court.evaluated()
    court.tells(run_id, court.result(run_id))
    court.places(run_id).scores.write_text("{}")
    court.chores.end(f"evaluate {run_id}")
    court.step()
    assert court.state(run_id) == "failed"
    assert "scores.json cannot be read" in court.run(run_id)["reason"]
    court.training.resume(run_id)
    court.measured(run_id)
    assert (court.state(run_id), court.run(run_id)["verdict"]) == ("done", "passed")


@pytest.mark.parametrize("refusal", [Busy("another encoder's space is being filled"), BadRequest("another space")])
def test_what_cannot_go_live_now_leaves_the_run_done(court: Court, refusal: Exception, caplog: Any) -> None:
    court.refusal = refusal
    run_id = court.judged()
    assert (court.state(run_id), court.run(run_id)["verdict"]) == ("done", "passed")
    assert f'promotion_failed run={run_id} reason="{refusal}"' in caplog.text


def test_an_encoder_is_kept_with_its_map_in_the_space_that_it_makes(court: Court) -> None:
    run_id = court.evaluated(Role.ENCODER)
    places = court.places(run_id)
    artefact = places.work / "encoder"
    artefact.mkdir()
    for name in ("config.json", "modules.json"):
        (artefact / name).write_text("{}")
    save_file({"weight": np.ones(3, np.float32)}, artefact / "model.safetensors")
    save_transform(places.folder / "map", "affine", weight=np.eye(WIDTH), bias=np.zeros(WIDTH))
    court.tells(run_id, court.result(run_id, artifact=artefact))
    court.measure(run_id, role=Role.ENCODER)
    court.chores.end(f"evaluate {run_id}")
    court.step()
    (model_id,) = court.model_ids()
    model = court.models.model(model_id)
    assert court.spaces == [court.shelf / model.folder]
    assert (model.space, model.base) == ("e" * 16, "b" * 16)
    assert {"map/transform.json", "map/transform.safetensors", "model.safetensors"} <= model.files.keys()


def test_a_champion_of_another_configured_model_did_not_serve_and_is_no_parent(court: Court) -> None:
    court.models.crown(
        Role.ENCODER, court.models.add(NewModel(Role.ENCODER, "lora", 3, "lora/3", {}, "ff", 1, base="a" * 16))
    )
    run_id = court.judged()
    assert "| parent | what is configured |" in court.places(run_id).report.read_text()
    assert court.models.model(court.model_ids()[-1]).parent is None


def test_a_generator_has_no_space_and_descends_from_a_generator(court: Court) -> None:
    for role, name in ((Role.ENCODER, "lora"), (Role.GENERATOR, "generator_lora")):
        court.models.crown(role, court.models.add(NewModel(role, name, 1, f"{name}/1", {}, "ff", 1)))
    run_id = court.evaluated(Role.GENERATOR)
    artefact = court.places(run_id).work / "generator"
    artefact.mkdir()
    (artefact / "config.json").write_text("{}")
    save_file({"weight": np.ones(3, np.float32)}, artefact / "model.safetensors")
    court.tells(run_id, court.result(run_id, artifact=artefact))
    court.measure(run_id, role=Role.GENERATOR)
    court.chores.end(f"evaluate {run_id}")
    court.step()
    model = court.models.model(court.model_ids()[-1])
    parent = court.models.champion(Role.GENERATOR)
    assert parent is not None
    assert (model.space, model.parent) == ("", parent.model_id)
