"""The contract of Trainer, over every trainer of the retrieval side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plugins.coarse_quantizer import CoarseQuantizer
from plugins.encoder_compress import EncoderCompress
from plugins.encoder_distill import EncoderDistill
from plugins.encoder_finetune import EncoderFinetune
from plugins.encoder_lora import EncoderLora
from plugins.query_adapter import QueryAdapter
from ragd.domain.learning import Trainer
from ragd.testing.contracts import check_trainer

CASES: dict[str, tuple[object, dict[str, Any]]] = {
    "coarse_quantizer": (CoarseQuantizer(), {"iterations": 4}),
    "query_adapter": (QueryAdapter(), {"epochs": 4, "batch_size": 32}),
    "query_adapter, low rank": (QueryAdapter(), {"epochs": 4, "rank": 8, "accumulate": 2, "temperatures": "0.1"}),
    "encoder_lora": (EncoderLora(), {"steps": 4}),
    "encoder_lora, cached": (EncoderLora(), {"steps": 2, "mini_batch": 8, "matryoshka": "16,8", "accumulate": 2}),
    "encoder_lora, weight-decomposed": (EncoderLora(), {"steps": 2, "dora": True, "targets": "all-linear"}),
    "encoder_finetune": (EncoderFinetune(), {"steps": 4, "frozen_layers": 1}),
    "encoder_distill": (EncoderDistill(), {"steps": 4}),
    "encoder_distill, static": (EncoderDistill(), {"steps": 8, "student": "static", "loss": "similarity"}),
    "encoder_compress": (EncoderCompress(), {"measured": 4}),
    "encoder_compress, heads": (EncoderCompress(), {"measured": 4, "method": "heads", "share": 0.5, "recover": 3}),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_it_does_what_every_trainer_must(case: str, tmp_path: Path) -> None:
    trainer, settings = CASES[case]
    assert isinstance(trainer, Trainer)
    check_trainer(trainer, tmp_path, settings=settings)
