"""Scores survive their file, and what is no scores file is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragd.domain.errors import TrainingFailed
from ragd.domain.learning import Role
from ragd.learn.scores import Scores, Served, Slice, mean, read_scores, write_scores

SCORES = Scores(
    role=Role.ENCODER,
    metric="ndcg@10",
    queries=("a", "b"),
    champion={"ndcg@10": (0.5, 0.0), "mrr@10": (1.0, 0.0)},
    challenger={"ndcg@10": (1.0, 0.5), "mrr@10": (1.0, 0.5)},
    slices={"tail": Slice((0.5,), (1.0,))},
    champion_serves=Served(1.5, 10.0, 100),
    guards=("mrr@10",),
    aim="smaller",
    facts={"pool": "every chunk", "map": {"kind": "mlp"}},
)


def test_scores_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_scores(tmp_path / "scores.json", SCORES)
    assert read_scores(tmp_path / "scores.json") == SCORES


def test_the_summary_has_means_and_no_single_query() -> None:
    said = SCORES.summary()
    assert said["means"]["ndcg@10"] == {"champion": 0.25, "challenger": 0.75, "gain": 0.5}
    assert said["queries"] == 2
    assert mean(()) == 0.0


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"role": "cook"}'])
def test_what_is_no_scores_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "scores.json").write_text(text)
    with pytest.raises(TrainingFailed, match=r"scores\.json"):
        read_scores(tmp_path / "scores.json")
