"""The benchmark of costs: held-out data is apart, rows become a table, and its child runs shipped trainers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import cost_data
from bench.cost import table
from bench.cost_child import score, train
from bench.cost_data import generation_data, large_generator
from ragd.learn.snapshot import read_snapshot


def test_what_is_held_out_is_about_other_subjects(tmp_path: Path) -> None:
    generation_data(tmp_path / "generation")
    told = read_snapshot(tmp_path / "generation").prompts
    unseen = json.loads((tmp_path / "generation.heldout.json").read_text("utf-8"))
    assert (len(told), len(unseen)) == (384, 96)
    subjects = {prompt.prompt.rpartition(" the ")[2] for prompt in told}
    assert subjects.isdisjoint(prompt.rpartition(" the ")[2] for prompt, _ in unseen)


def test_a_table_shows_the_columns_that_say_something() -> None:
    rows: list[dict[str, object]] = [
        {"name": "serving", "trainer": "", "ndcg10": 0.28},
        {"name": "LoRA", "trainer": "encoder_lora", "ndcg10": 0.3012, "trainable_weights": 147_456, "train_s": 12.34},
        {"name": "full", "trainer": "encoder_finetune", "failed": "out of memory"},
    ]
    lines = table(rows).splitlines()
    assert lines[0] == "|  | trainer | trainable weights | seconds | nDCG@10 |"
    assert lines[3] == "| LoRA | `encoder_lora` | 0.15 M | 12.3 | 0.301 |"
    assert lines[4].startswith("| full: out of memory |")


@pytest.mark.slow
def test_a_child_trains_and_scores_what_the_large_generator_is_made_like(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    monkeypatch.setattr(cost_data, "LARGE", {**shape, "intermediate_size": 96, "vocab_size": 300})
    model = large_generator(tmp_path / "large", "cpu")
    generation_data(tmp_path / "generation")
    spec = {
        "trainer": "generator_lora",
        "data": str(tmp_path / "generation"),
        "model": str(model),
        "folder": str(tmp_path),
        "device": "cpu",
        "threads": 1,
        "settings": {"steps": 4, "batch_size": 4, "max_tokens": 96, "rank": 4, "learning_rate": 0.01},
    }
    found = train(spec)
    assert found["steps"] == 4
    assert 0 < found["trainable_weights"] < found["weights"]
    assert min(found["tokens_s"], found["peak_memory_mb"], found["artifact_bytes"], found["step_s"]) > 0
    before, after = (score({**spec, "artifact": made}) for made in ("", found["artifact"]))
    assert after["heldout_loss"] < before["heldout_loss"]
    assert after["spoken_s"] > 0
