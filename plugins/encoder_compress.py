"""Makes the serving encoder smaller and faster: int8, or without layers, heads or channels; and says what it saves."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragd.hooks.api import Artifact, Data, Needs, Role, Run, Trainer, hookimpl, read_options, save_serving

from ._encoder_folder import open_model, save_model, weights_of
from ._encoder_graph import Measured, export_graph, measure
from ._encoder_pruning import prune_channels, prune_heads, prune_layers
from ._imitation import examples, imitation
from ._torch_loop import Pace, fit, prepare

_METHODS = ("int8", "layers", "heads", "channels")


@dataclass(frozen=True, slots=True)
class CompressOptions:
    """What `[trainers.encoder_compress.options]` may hold.

    `method` is `int8`, or what `share` is taken of: `layers`, `heads`, `channels` (of the feed-forward part); with
    `int8` true what is left is quantised as well. After pruning, `recover` steps teach it the vectors it gave before.
    `texts` are looked at to choose what goes, `measured` to measure. `keep_weights` keeps safetensors, so that other
    trainers can go on from here; without it only the graph is kept. Pruned heads are always kept as a graph only.
    """

    method: str = "int8"
    share: float = 0.25
    int8: bool = False
    recover: int = 50
    batch_size: int = 16
    learning_rate: float = 1e-4
    texts: int = 64
    measured: int = 48
    keep_weights: bool = True

    def __post_init__(self) -> None:
        if self.method not in _METHODS:
            raise ValueError(f"method is {self.method!r}: one of {', '.join(_METHODS)}")
        if not 0 < self.share < 1 or self.recover < 0 or self.learning_rate <= 0:
            raise ValueError("share is between 0 and 1, recover at least 0, learning_rate above 0")
        if min(self.batch_size, self.texts, self.measured) < 1:
            raise ValueError("batch_size, texts and measured are at least 1")


class EncoderCompress:
    """Dynamic int8 quantisation, or structured pruning; bytes and milliseconds are measured before and after.

    Unstructured pruning is not offered: zeros inside a matrix save neither bytes nor time here.
    """

    name = "encoder_compress"
    role = Role.ENCODER
    needs = Needs(Data.TEXTS, least=16)
    cost_s = 5.0

    def train(self, run: Run) -> Artifact:
        """Compresses, measures and saves. Raises TrainingFailed, ModelUnavailable or TooFewExamples."""
        options = read_options(run.settings, CompressOptions)
        prepare(run)
        model = open_model(run)
        chunks = run.data.chunks
        sample = [chunks[i * len(chunks) // options.measured].text for i in range(min(options.measured, len(chunks)))]
        scratch = run.folder / "graphs"
        graphs = [export_graph(model, scratch / "before.onnx", int8=False)]
        weights = weights_of(model)[0]
        what = _pruned(run, model, options) if options.method != "int8" else "nothing"
        is_int8 = options.int8 or options.method == "int8"
        graphs.append(export_graph(model, scratch / "after.onnx", int8=is_int8))
        before, after = measure(graphs, model, sample, threads=run.resources.threads)
        folder = self._saved(run, model, scratch / "after.onnx", options)
        shutil.rmtree(scratch)
        if options.method == "int8":
            run.progress(1, 1, loss=max(0.0, 1.0 - _likeness(before, after)))
        facts: dict[str, float | int | str] = {
            "aim": "smaller",
            "method": options.method,
            "taken_out": what,
            "weights_before": weights,
            "weights": weights_of(model)[0],
            "bytes_before": before.size_bytes,
            "bytes_after": after.size_bytes,
            "ms_per_text_before": before.ms_per_text,
            "ms_per_text_after": after.ms_per_text,
            "cosine_to_before": _likeness(before, after),
        }
        (folder / "savings.json").write_text(json.dumps(facts, indent=2) + "\n", "utf-8")
        return Artifact(folder, facts)

    def _saved(self, run: Run, model: Any, graph: Path, options: CompressOptions) -> Path:
        folder = save_model(model, run.folder / "artifact")
        if options.keep_weights and options.method != "heads":
            is_int8 = options.int8 or options.method == "int8"
            save_serving(folder, precision="int8" if is_int8 else "fp32")
            return folder
        for weights in folder.glob("**/*.safetensors"):
            weights.unlink()
        shutil.move(graph, folder / "model.onnx")
        save_serving(folder)
        return folder


def _pruned(run: Run, model: Any, options: CompressOptions) -> str:
    """Takes out what the method says and teaches what is left; says what went."""
    chunks = run.data.chunks
    sample = [chunks[i * len(chunks) // options.texts].text for i in range(min(options.texts, len(chunks)))]
    prune = {"layers": prune_layers, "heads": prune_heads, "channels": prune_channels}[options.method]
    what = prune(model, options.share, sample)
    if options.recover:
        most = options.recover * options.batch_size
        texts, targets = examples(run, most=most, sentences=most // 8)
        loss, _ = imitation(model, texts, targets, size=options.batch_size, seed=run.seed)
        fit(run, model, loss, Pace(options.recover, options.learning_rate, weight_decay=0.0))
    return what


def _likeness(before: Measured, after: Measured) -> float:
    return float((before.vectors * after.vectors).sum(axis=1).mean())


@hookimpl
def ragd_trainers() -> list[Trainer]:
    """The trainer that compresses encoders."""
    return [EncoderCompress()]
