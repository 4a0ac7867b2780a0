"""The contract of Trainer, over the trainers of generators: as they are by default, and their other ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plugins.generator_compress import GeneratorCompress
from plugins.generator_distill import GeneratorDistill
from plugins.generator_lora import GeneratorLora
from ragd.domain.learning import Trainer
from ragd.testing.contracts import check_trainer
from ragd.testing.tiny import tiny_generator

SHORT = {"batch_size": 16, "max_tokens": 96, "steps": 4, "checkpoint_s": 0.0}
SMALL = {"batch_size": 16, "max_tokens": 96, "speed_tokens": 4, "checkpoint_s": 0.0}
CASES: dict[str, tuple[Trainer, dict[str, Any]]] = {
    "generator_lora": (GeneratorLora(), SHORT),
    "generator_distill": (GeneratorDistill(), {**SHORT, "teacher": "TEACHER"}),
    "generator_compress": (GeneratorCompress(), SMALL),
    "generator_lora, AdaLoRA": (GeneratorLora(), {**SHORT, "method": "adalora", "rank": 4}),
    "generator_lora, learned prompt": (GeneratorLora(), {**SHORT, "method": "prompt", "accumulate": 2}),
    "generator_lora, full": (GeneratorLora(), {**SHORT, "method": "full"}),
    "generator_distill, by texts": (GeneratorDistill(), {**SHORT, "teacher": "TEACHER", "by": "texts"}),
    "generator_compress, channels": (GeneratorCompress(), {**SMALL, "method": "ffn"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_it_does_what_every_trainer_must(case: str, tmp_path: Path) -> None:
    trainer, settings = CASES[case]
    assert isinstance(trainer, Trainer)
    if "teacher" in settings:
        teacher = tiny_generator(tmp_path / "teacher", layers=3, seed=5)
        settings = {**settings, "teacher": str(teacher), "answer_tokens": 2}
    check_trainer(trainer, tmp_path / "runs", settings=settings)
