"""The processes of `bench.cost`: `python -m bench.cost_child train|score|idle SPEC.json`; each tells one JSON object.

`train` runs one shipped trainer and tells what it took; `score` tells what the result is worth where nobody trained;
`idle` tells what the libraries alone take.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.quality import ndcg
from ragd.domain.index import EncoderSpec, Vectors
from ragd.domain.learning import Prompt, Resources, Role, Trainer
from ragd.domain.ports import Encoder
from ragd.embed.encoder import open_encoder
from ragd.embed.generator import load_generator
from ragd.embed.transform import QueryTransform
from ragd.hooks.prompts import prompt_row
from ragd.learn.snapshot import read_snapshot
from ragd.testing.runs import FakeRun

MODELS = Path(".build/models")
SPOKEN = 64


def clock(spec: dict[str, Any]) -> Callable[[], float]:
    """What counts seconds: the process's own where it computes on one thread, so that neighbours matter little."""
    return time.process_time if spec["threads"] == 1 and spec["device"] == "cpu" else time.perf_counter


class TimedRun(FakeRun):
    """A run that notes when it was told of progress."""

    def __init__(self, *arguments: Any, now: Callable[[], float], **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.now = now
        self.at: list[float] = []

    def progress(self, done: int, total: int, **metrics: float) -> None:
        super().progress(done, total, **metrics)
        self.at.append(self.now())


def train(spec: dict[str, Any]) -> dict[str, Any]:
    """Runs the trainer; peak memory is that of this process up to the end of training, in MiB."""
    folder = Path(spec["folder"]) / "work"
    folder.mkdir()
    encoders: list[Encoder] = []

    def encode(texts: Any) -> Vectors:
        encoders[:] = encoders or [open_encoder(EncoderSpec(threads=spec["threads"]), MODELS)]
        return encoders[0].encode(list(texts))

    now = clock(spec)
    run = TimedRun(
        folder,
        read_snapshot(Path(spec["data"])),
        encode,
        model=Path(spec["model"]),
        settings=spec["settings"],
        resources=Resources(threads=spec["threads"], device=spec["device"]),
        now=now,
    )
    started = now()
    artifact = trainer(spec["trainer"]).train(run)
    took_s = now() - started
    found = {
        "artifact": str(artifact.folder),
        "train_s": round(took_s, 2),
        "peak_memory_mb": round(peak_memory_mb(), 1),
        "artifact_bytes": sum(
            p.stat().st_size for p in artifact.folder.rglob("*") if p.suffix in (".safetensors", ".onnx")
        ),
        "loss_first": run.reports[0].metrics.get("loss"),
        "loss_last": run.reports[-1].metrics.get("loss"),
        "steps": run.reports[-1].total,
        **{name: artifact.facts[name] for name in ("trainable_weights", "weights") if name in artifact.facts},
    }
    if found["steps"] == spec["settings"].get("steps") and len(run.at) > 2:
        step_s = (run.at[-1] - run.at[0]) / (len(run.at) - 1)
        found["step_s"] = round(step_s, 3)
        if trainer(spec["trainer"]).role is Role.GENERATOR:
            found["tokens_s"] = round(tokens_a_step(run, spec) / step_s, 1)
    if spec["device"] == "cuda":
        import torch

        found["gpu_memory_mb"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
    return found


def idle(spec: dict[str, Any]) -> dict[str, Any]:
    """What the libraries alone take."""
    for name in ("peft", "sentence_transformers", "transformers"):
        importlib.import_module(name)
    return {"peak_memory_mb": round(peak_memory_mb(), 1), "folder": spec["folder"]}


def trainer(name: str) -> Trainer:
    """The bundled trainer of this name, from the plugin file of the same name."""
    offered: list[Trainer] = importlib.import_module(f"ragd.bundled.{name}").ragd_trainers()
    return next(each for each in offered if each.name == name)


def tokens_a_step(run: FakeRun, spec: dict[str, Any]) -> float:
    """Mean tokens (without padding) of a step."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(spec["model"], local_files_only=True)
    rows = [prompt_row(tokenizer, prompt, spec["settings"].get("max_tokens", 512)) for prompt in run.data.prompts]
    lengths = [len(row.ids) for row in rows if row is not None]
    batch = int(spec["settings"].get("batch_size", 8)) * int(spec["settings"].get("accumulate", 1))
    return batch * sum(lengths) / len(lengths)


def peak_memory_mb() -> float:
    """The most memory that this process held, in MiB (VmHWM)."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def score(spec: dict[str, Any]) -> dict[str, Any]:
    """What an artefact, or with "" the serving model, is worth on what was held out."""
    data = Path(spec["data"])
    heldout = json.loads((data.parent / f"{data.name}.heldout.json").read_text("utf-8"))
    artifact = Path(spec["artifact"]) if spec["artifact"] else None
    if data.name == "generation":
        return score_generator(artifact or Path(spec["model"]), heldout, spec)
    return score_retrieval(artifact, read_snapshot(data), heldout, spec)


def score_generator(folder: Path, heldout: list[list[str]], spec: dict[str, Any]) -> dict[str, Any]:
    """The mean loss of held-out answers, and tokens a second."""
    generator = load_generator(folder, device=spec["device"], threads=spec["threads"])
    losses = generator.loss([Prompt(prompt, answer) for prompt, answer in heldout])
    now = clock(spec)
    started = now()
    for _ in range(3):
        generator.speed(heldout[0][0], SPOKEN)
    return {"heldout_loss": sum(losses) / len(losses), "spoken_s": round(3 * SPOKEN / (now() - started), 1)}


def score_retrieval(artifact: Path | None, data: Any, heldout: list[Any], spec: dict[str, Any]) -> dict[str, Any]:
    """nDCG@10 of unseen questions over all documents, by the serving path; texts a second for a new encoder."""
    is_adapter = artifact is not None and (artifact / "transform.json").exists()
    where = EncoderSpec(threads=spec["threads"])
    if artifact is not None and not is_adapter:
        served = artifact / "serve.json"
        kind = json.loads(served.read_text("utf-8"))["kind"] if served.exists() else "onnx"
        where = EncoderSpec(kind=kind, model=str(artifact.absolute()), threads=spec["threads"])
    encoder = open_encoder(where, MODELS if artifact is None or is_adapter else Path(spec["folder"]) / "models")
    found: dict[str, Any] = {}
    vectors = np.asarray(data.vectors, np.float32)
    if artifact is not None and not is_adapter:
        texts = [chunk.text for chunk in data.chunks]
        encoder.encode(texts[:8])
        now = clock(spec)
        started = now()
        vectors = encoder.encode(texts)
        found["encoded_s"] = round(len(texts) / (now() - started), 1)
    queries = np.stack([encoder.encode_query(query) for query, _ in heldout])
    if is_adapter and artifact is not None:
        queries = QueryTransform.read(artifact, queries.shape[1])(queries)
    best = np.argsort(-queries @ vectors.T, axis=1)[:, :10]
    ids = [str(chunk.id) for chunk in data.chunks]
    gains = [ndcg([ids[i] for i in row], judged) for row, (_, judged) in zip(best, heldout, strict=True)]
    return {**found, "ndcg10": round(float(np.mean(gains)), 4)}


if __name__ == "__main__":
    done = {"idle": idle, "train": train, "score": score}[sys.argv[1]](json.loads(Path(sys.argv[2]).read_text("utf-8")))
    sys.stdout.write(json.dumps(done) + "\n")
