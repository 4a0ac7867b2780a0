"""What training costs: the same data for full fine-tuning, LoRA, a query adapter and a distilled model, side by side.

    python -m bench.cost [--collection ../shared/data/drcd-dev] [--steps 12] [--device cuda] [--large]

Each trainer runs in a process of its own, which tells its peak memory and seconds; what it made is scored in another.
For retrieval: the packaged encoder, the first --documents of the collection, and on questions about other documents
than those trained on the gain in nDCG@10. For generation: a small Llama with random weights, and the fall of the loss
on prompts that were held out. Both are short runs (--steps), to compare costs, not to be the best there is: a query
adapter, whose steps cost next to nothing, does its own number. On one thread of a CPU seconds are those of the process,
so that what else the machine does counts little. With --large also a Llama of 1.1 billion random weights,
LoRA against full, with tokens a second; it wants a GPU. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.cost_data import generation_data, large_generator, retrieval_data, small_generator

PACKAGED_SECONDS = 1800


@dataclass(frozen=True, slots=True)
class Case:
    """One run: its name in the table, the trainer with its options, the folders of its data and of its model."""

    name: str
    trainer: str
    data: str
    model: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def main() -> int:
    """Runs every case; 0 when all of them made something."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collection", type=Path, default=Path("../shared/data/drcd-dev"), help="in BEIR's layout")
    parser.add_argument("--documents", type=int, default=300, metavar="N", help="documents of the collection")
    parser.add_argument("--steps", type=int, default=12, metavar="N", help="steps of each run on torch")
    parser.add_argument("--batch", type=int, default=16, metavar="N", help="examples a step")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--large", action="store_true", help="1.1 billion weights too")
    parser.add_argument("--only", choices=("retrieval", "generation"), help="one side only")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ragd-cost-") as scratch:
        place = Path(scratch)
        report: dict[str, Any] = {
            "machine": machine(),
            "device": given.device,
            "threads": given.threads,
            "steps": given.steps,
            "batch": given.batch,
            "libraries_mb": child("idle", {"folder": str(place)}, given.threads)["peak_memory_mb"],
        }
        if given.only != "generation":
            report["collection"], cases = retrieval(place, given)
            report["retrieval"] = [measured(case, place, given) for case in cases]
        if given.only != "retrieval":
            report["generation"] = [measured(case, place, given) for case in generation(place, given)]
        report["gpu"] = None
        if given.large:
            report["gpu"] = [measured(case, place, given) for case in large(place, given)]
    for side in ("retrieval", "generation", "gpu"):
        if report.get(side):
            print(f"\n{table(report[side])}\n", flush=True)
    print(json.dumps(report))
    rows = [row for side in ("retrieval", "generation", "gpu") for row in report.get(side) or ()]
    return 1 if any("failed" in row for row in rows) else 0


def retrieval(place: Path, given: argparse.Namespace) -> tuple[dict[str, Any], list[Case]]:
    """What is known of the collection, and the cases on it."""
    data = place / "retrieval"
    facts = retrieval_data(given.collection, data, given.documents, given.threads)
    print(f"retrieval: {facts}", flush=True)
    each = {"steps": given.steps, "batch_size": given.batch}
    model = str(facts.pop("model"))

    def case(name: str, trainer: str, **settings: Any) -> Case:
        return Case(name, trainer, str(data), model, settings)

    return facts, [
        case("serving encoder", ""),
        case("full fine-tuning", "encoder_finetune", **each, negatives=0),
        case("LoRA", "encoder_lora", **each, negatives=0),
        case("query adapter", "query_adapter"),
        case("distilled, half the layers", "encoder_distill", **each),
        case("distilled, static", "encoder_distill", **each, student="static"),
    ]


def generation(place: Path, given: argparse.Namespace) -> list[Case]:
    """The cases on a small generator."""
    data = place / "generation"
    generation_data(data)
    model, half = small_generator(place / "small"), small_generator(place / "half", layers=3)
    each = {"steps": given.steps, "batch_size": given.batch, "learning_rate": 1e-3}
    compress = {"batch_size": given.batch}

    def case(name: str, trainer: str, **settings: Any) -> Case:
        return Case(name, trainer, str(data), str(model), settings)

    return [
        case("serving generator", ""),
        case("full fine-tuning", "generator_lora", **each, method="full"),
        case("LoRA", "generator_lora", **each, rank=8),
        case("distilled, half the layers", "generator_distill", **each, teacher=str(model), student=str(half)),
        case("int8", "generator_compress", **compress),
        case("pruned, a quarter of the channels", "generator_compress", **compress, method="ffn"),
    ]


def large(place: Path, given: argparse.Namespace) -> list[Case]:
    """LoRA against full on 1.1 billion weights."""
    data = place / "generation"
    if not data.exists():
        generation_data(data)
    model = large_generator(place / "large", given.device)
    each = {"steps": given.steps, "batch_size": given.batch, "max_tokens": 256, "checkpoint_s": 3600.0}
    return [
        Case("1.1 billion weights, LoRA", "generator_lora", str(data), str(model), {**each, "rank": 16}),
        Case("1.1 billion weights, full", "generator_lora", str(data), str(model), {**each, "method": "full"}),
    ]


def measured(case: Case, place: Path, given: argparse.Namespace) -> dict[str, Any]:
    """One row of the table; a run that failed tells why in `failed`."""
    folder = place / "runs" / f"{len(list(place.glob('runs/*')))}"
    folder.mkdir(parents=True)
    spec = {**asdict(case), "folder": str(folder), "device": given.device, "threads": given.threads}
    row: dict[str, Any] = {"name": case.name, "trainer": case.trainer}
    if case.trainer:
        row |= child("train", spec, given.threads)
        if "failed" in row:
            print(json.dumps(row), flush=True)
            return row
    row |= child("score", {**spec, "artifact": row.pop("artifact", "")}, given.threads)
    print(json.dumps(row), flush=True)
    return row


def child(what: str, spec: Mapping[str, Any], threads: int) -> dict[str, Any]:
    """What a process of its own found: the JSON object on its last line."""
    path = Path(str(spec["folder"])) / f"{what}.json"
    path.write_text(json.dumps(spec), "utf-8")
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "MALLOC_ARENA_MAX": "2"}
    done = subprocess.run(
        [sys.executable, "-m", "bench.cost_child", what, str(path)],
        capture_output=True,
        text=True,
        timeout=PACKAGED_SECONDS,
        check=False,
        env=os.environ | limits | quiet,
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        return {"failed": (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]}
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def machine() -> str:
    """The processor in words."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    return f"{model}, {os.cpu_count()} cores"


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as Markdown."""
    columns: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "": lambda r: r["name"],
        "trainer": lambda r: f"`{r['trainer']}`" if r["trainer"] else "",
        "trainable weights": lambda r: _count(r.get("trainable_weights")),
        "of all": lambda r: _count(r.get("weights")),
        "peak memory, MiB": lambda r: _number(r.get("peak_memory_mb")),
        "GPU memory, MiB": lambda r: _number(r.get("gpu_memory_mb")),
        "seconds": lambda r: _number(r.get("train_s"), 1),
        "of them a step": lambda r: _number(r.get("step_s"), 2),
        "artefact, MB": lambda r: _number(r["artifact_bytes"] / 1e6, 2) if r.get("artifact_bytes") else "",
        "nDCG@10": lambda r: _number(r.get("ndcg10"), 3),
        "held-out loss": lambda r: _number(r.get("heldout_loss"), 3),
        "tokens/s in training": lambda r: _number(r.get("tokens_s")),
        "tokens/s spoken": lambda r: _number(r.get("spoken_s")),
        "texts/s encoded": lambda r: _number(r.get("encoded_s")),
    }
    cells = {name: [read(row) if "failed" not in row else "" for row in rows] for name, read in columns.items()}
    cells[""] = [f"{row['name']}: {row['failed']}" if "failed" in row else row["name"] for row in rows]
    shown = [name for name in columns if name == "" or any(cells[name])]
    lines = [f"| {' | '.join(shown)} |", f"|{' --- |' * len(shown)}"]
    lines += [f"| {' | '.join(cells[name][i] for name in shown)} |" for i in range(len(rows))]
    return "\n".join(lines)


def _number(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def _count(value: float | None) -> str:
    if not value:
        return ""
    return f"{value / 1e6:,.2f} M" if value >= 1e5 else f"{value / 1e3:,.1f} k"


if __name__ == "__main__":
    sys.exit(main())
