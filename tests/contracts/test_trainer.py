"""The contract of Trainer, over every trainer that is bundled and not in `test_retrieval_trainers`, in few steps."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

from ragd.domain.learning import Trainer
from ragd.hooks.manager import load
from ragd.hooks.sources import bundled
from ragd.testing import check_trainer, tiny_generator
from tests.contracts.test_retrieval_trainers import CASES

ELSEWHERE = {case.partition(",")[0] for case in CASES}
TRAINERS = {trainer.name: trainer for trainer in load(bundled()).trainers()}
# Options that keep runs short; none for those that are short by themselves.
SHORT: Mapping[str, Mapping[str, str | int | float | bool]] = {
    "generator_lora": {"steps": 4, "batch_size": 4, "checkpoint_s": 0.0},
    "generator_distill": {"steps": 4, "batch_size": 4, "checkpoint_s": 0.0},
    "generator_compress": {"batch_size": 4, "speed_tokens": 4, "checkpoint_s": 0.0},
}
EXTRAS = {"generator_compress": "torchao"}
# The libraries of the models warn of their own; what they warn of is not this contract's.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.slow
@pytest.mark.parametrize(
    "trainer", [TRAINERS[name] for name in sorted(TRAINERS.keys() - ELSEWHERE)], ids=lambda t: t.name
)
def test_it_keeps_every_promise(trainer: Trainer, tmp_path: Path) -> None:
    extra = EXTRAS.get(trainer.name)
    if extra and find_spec(extra) is None:
        pytest.skip(f"needs {extra}")
    settings = dict(SHORT.get(trainer.name, {}))
    if trainer.name == "generator_distill":
        settings["teacher"] = str(tiny_generator(tmp_path / "teacher", layers=3, seed=5))
    check_trainer(trainer, tmp_path / "runs", settings=settings)
