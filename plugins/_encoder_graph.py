"""An encoder as one ONNX graph from tokens to the text's vector: exported, quantised, and measured."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ragd.hooks.api import TrainingFailed

from ._encoder_folder import features
from ._torch_loop import quiet

OPSET = 17
_SAMPLES = ("A saved file is searchable a moment later.", "x", "索引等于文件夹的内容。", "Ownership moves. " * 12)


@dataclass(frozen=True, slots=True)
class Measured:
    """What a graph costs and gives: bytes, milliseconds a text, unit vectors of the texts it was measured on."""

    size_bytes: int
    ms_per_text: float
    vectors: npt.NDArray[np.float32]


def export_graph(model: Any, file: Path, *, int8: bool) -> Path:
    """Writes the model as a graph of its token ids, at int8 when asked; returns `file`.

    Quantised by channel and with reduced range, without which int8 products overflow on CPUs that lack VNNI.
    Raises TrainingFailed when the model cannot be traced.
    """
    import torch

    inputs = {name: value for name, value in features(model, _SAMPLES, is_query=False).items() if _is_tokens(value)}
    names = [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in inputs]

    axes = {name: {0: "texts", 1: "tokens"} for name in names}

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *given: Any) -> Any:
            return self.model(dict(zip(names, given, strict=True)))["sentence_embedding"]

    traced = file.with_suffix(".traced") if int8 else file
    file.parent.mkdir(parents=True, exist_ok=True)
    use_cache = getattr(model.transformers_model.config, "use_cache", False)
    model.transformers_model.config.use_cache = False
    try:
        with quiet(), torch.no_grad():
            torch.onnx.export(
                Pooled().eval(),
                tuple(inputs[name] for name in names),
                str(traced),
                dynamo=False,
                opset_version=OPSET,
                input_names=names,
                output_names=["sentence_embedding"],
                dynamic_axes=axes | {"sentence_embedding": {0: "texts"}},
            )
    except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
        reason = " ".join(str(error).split())[:200]
        raise TrainingFailed(f"the encoder cannot become an ONNX graph: {reason}", hint="serve it as sbert") from error
    finally:
        model.transformers_model.config.use_cache = use_cache
    if int8:
        _quantise(traced, file)
    return file


def measure(files: Sequence[Path], model: Any, texts: Sequence[str], *, threads: int) -> list[Measured]:
    """Runs each graph over each text alone, as a query is; the median of the times counts.

    The graphs take turns text by text, so that a busy machine slows all of them alike.
    """
    sessions = [_session(file, threads) for file in files]
    rows: list[list[Any]] = [[] for _ in files]
    spent: list[list[float]] = [[] for _ in files]
    for i, text in enumerate([texts[0], *texts]):  # the first once more: it warms up
        tokens = features(model, [text], is_query=False)
        given = {name: tokens[name].cpu().numpy() for name in (entry.name for entry in sessions[0].get_inputs())}
        for place, session in enumerate(sessions):
            start = time.perf_counter()
            made = session.run(None, given)[0]
            if i:
                spent[place].append((time.perf_counter() - start) * 1000)
                rows[place].append(made[0])
    return [
        Measured(file.stat().st_size, float(np.median(times)), _unit(np.asarray(vectors, dtype=np.float32)))
        for file, times, vectors in zip(files, spent, rows, strict=True)
    ]


def _session(file: Path, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = max(1, threads), 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def _unit(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12), dtype=np.float32)


def _quantise(traced: Path, file: Path) -> None:
    with quiet():
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(traced, file, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8)
    traced.unlink()


def _is_tokens(value: Any) -> bool:
    return hasattr(value, "ndim") and value.ndim == 2
