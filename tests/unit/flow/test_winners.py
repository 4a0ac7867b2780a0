"""What passed the gate goes live in its turn: opened beside the main thread, tried again when it must wait."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from ragd.domain.errors import ArtifactInvalid, Busy
from ragd.flow.winners import AGAIN_S, Winners


class Stage:
    """Notes who was opened and promoted, in which thread; raises what a test put there."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.opened: list[int] = []
        self.promoted: list[int] = []
        self.threads: set[int] = set()
        self.prepare_problem: Exception | None = None
        self.promote_problem: Exception | None = None
        self.winners = Winners(self._prepare, self._promote, lambda: self.now)

    def _prepare(self, model_id: int) -> None:
        self.opened.append(model_id)
        self.threads.add(threading.get_ident())
        if self.prepare_problem is not None:
            raise self.prepare_problem

    def _promote(self, model_id: int) -> None:
        assert threading.current_thread() is threading.main_thread()
        if self.promote_problem is not None:
            raise self.promote_problem
        self.promoted.append(model_id)

    def step(self) -> None:
        self.winners.step()
        for thread in threading.enumerate():
            if thread.name == "open-model":
                thread.join(30)


def test_a_winner_is_opened_beside_the_main_thread_and_promoted_in_it() -> None:
    stage = Stage()
    stage.winners.add(7)
    stage.step()
    stage.step()
    assert (stage.opened, stage.promoted) == ([7], [7])
    assert threading.get_ident() not in stage.threads
    stage.step()
    assert stage.promoted == [7]


def test_one_that_must_wait_for_another_is_tried_again_after_a_minute() -> None:
    stage = Stage()
    stage.promote_problem = Busy("another encoder's space is being filled")
    stage.winners.add(7)
    stage.step()
    stage.step()
    stage.promote_problem = None
    stage.now += AGAIN_S - 1
    stage.step()
    assert (stage.opened, stage.promoted) == ([7], [])
    stage.now += 1
    stage.step()
    stage.step()
    assert (stage.opened, stage.promoted) == ([7, 7], [7])


@pytest.mark.parametrize("where", ["prepare_problem", "promote_problem"])
@pytest.mark.parametrize("problem", [ArtifactInvalid("model.onnx is missing", hint="train again")])
def test_one_that_cannot_serve_is_named_and_left_alone(where: str, problem: Exception, caplog: Any) -> None:
    stage = Stage()
    setattr(stage, where, problem)
    stage.winners.add(7)
    stage.step()
    stage.step()
    assert 'not_promoted model=7 reason="model.onnx is missing" hint="train again"' in caplog.text
    setattr(stage, where, None)
    stage.now += 10 * AGAIN_S
    stage.step()
    stage.step()
    assert (stage.opened, stage.promoted) == ([7], [])


def test_what_a_library_raises_while_a_model_is_opened_is_named(caplog: Any) -> None:
    stage = Stage()
    stage.prepare_problem = RuntimeError("protobuf parsing failed")
    stage.winners.add(7)
    stage.winners.add(8)
    stage.step()
    stage.step()
    assert "model_not_opened model=7" in caplog.text
    assert 'reason="RuntimeError: protobuf parsing failed"' in caplog.text
    assert stage.promoted == []
