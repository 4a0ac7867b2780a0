"""The child that turns a transformer folder into an ONNX file: `python -m ragd.embed.export FOLDER DESTINATION`.

It alone imports torch; it runs once a model and gives its memory back by ending.
"""

from __future__ import annotations

import argparse
import errno
import logging
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ragd.domain.errors import DiskFull, ModelMismatch, ModelUnavailable, RagdError
from ragd.domain.index import Vectors
from ragd.embed.artefact import OPSET, WORK_PREFIX, data_name, graph_name, install
from ragd.embed.folder import ModelFolder, read_folder
from ragd.embed.pooling import pool, unit
from ragd.embed.session import TokenModel
from ragd.embed.tokens import TextTokens

# Of different lengths and scripts, so that padding, truncation and unknown tokens are part of the comparison.
SAMPLES = (
    "A saved file is searchable a moment later.",
    "What does the borrow checker refuse?",
    "索引等于文件夹的内容。",
    "x",
    "Ownership moves when a value is assigned; " * 12,
)
MINIMUM_COSINE = {"fp32": 0.999, "int8": 0.9}


def main(argv: Sequence[str] | None = None) -> int:
    """Exports one model; prints its progress to standard error and returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m ragd.embed.export", description=__doc__)
    parser.add_argument("folder", type=Path, help="the model folder")
    parser.add_argument("destination", type=Path, help="where the graph, its data and its card go")
    parser.add_argument("--precision", choices=sorted(MINIMUM_COSINE), default="fp32")
    parser.add_argument("--source-hash", required=True, help="SHA-256 of the weights, kept in the card")
    options = parser.parse_args(argv)
    try:
        export(options.folder, options.destination, options.precision, options.source_hash)
    except RagdError as error:
        _say(f"error: {error}")
        return error.exit_code
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _say(f"error: no room for the model in {options.destination}")
        return DiskFull.exit_code
    return 0


def export(source: Path, destination: Path, precision: str, source_hash: str) -> None:
    """Writes graph, data and card into `destination`, each whole, the card last.

    Raises ModelUnavailable when the model cannot be exported, ModelMismatch when the export's vectors
    differ from torch's.
    """
    start = time.monotonic()
    folder = read_folder(source)
    _say(f"exporting {source.name} to ONNX ({precision})")
    destination.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=destination, prefix=WORK_PREFIX))
    try:
        reference = _trace(folder, work, precision)
        cosine = _compare(folder, work / graph_name(precision), reference)
        if cosine < MINIMUM_COSINE[precision]:
            raise ModelMismatch(
                f"the ONNX export of {source} differs from the model: cosine {cosine:.4f}",
                hint="use the encoder kind sbert for this model",
            )
        install(work, destination, folder, precision, source_hash)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    _say(f"exported in {time.monotonic() - start:.1f} s, cosine with torch {cosine:.5f}")


def _trace(folder: ModelFolder, work: Path, precision: str) -> Vectors:
    """Writes the graph into `work`; returns torch's own vectors of SAMPLES."""
    warnings.simplefilter("ignore")  # of the tracer: each constant it finds, each deprecation to come
    import torch

    model = _load(folder)
    tokens = TextTokens(folder, folder.max_tokens)
    ids, mask = tokens.padded([tokens.ids(text) for text in SAMPLES])
    names = ["input_ids", "attention_mask"]
    if "token_type_ids" in model.forward.__code__.co_varnames and hasattr(model.config, "type_vocab_size"):
        names.append("token_type_ids")

    class LastHidden(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: torch.Tensor) -> Any:
            return self.model(**dict(zip(names, inputs, strict=True))).last_hidden_state

    inputs = tuple(torch.from_numpy(a) for a in (ids, mask, np.zeros_like(ids))[: len(names)])
    with torch.inference_mode(False), torch.no_grad():
        reference = LastHidden()(*inputs).numpy()
        torch.onnx.export(
            LastHidden().eval(),
            inputs,
            str(work / "traced.onnx"),
            dynamo=False,
            opset_version=OPSET,
            input_names=names,
            output_names=["last_hidden_state"],
            dynamic_axes={name: {0: "texts", 1: "tokens"} for name in (*names, "last_hidden_state")},
        )
    _store(work, precision)
    return unit(pool(reference, mask, folder.pooling))


def _load(folder: ModelFolder) -> Any:
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        model = transformers.AutoModel.from_pretrained(
            folder.transformer,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelUnavailable(
            f"{folder.transformer} cannot be loaded: {str(error).strip().splitlines()[0]}",
            hint="save the model again as safetensors with its config.json",
        ) from error
    model.config.use_cache = False
    return model.eval()


def _store(work: Path, precision: str) -> None:
    """The traced graph in its final form: weights in a file of their own, which is mapped and not copied at load."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    traced, graph = work / "traced.onnx", work / graph_name(precision)
    if precision == "int8":
        # Without reduce_range, int8 products overflow on CPUs that lack VNNI.
        quantize_dynamic(traced, work / "int8.tmp", per_channel=True, reduce_range=True, weight_type=QuantType.QInt8)
        traced = work / "int8.tmp"
    onnx.save_model(
        onnx.load(str(traced)),
        str(graph),
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=data_name(precision),
        size_threshold=1024,
    )


def _compare(folder: ModelFolder, graph: Path, reference: Vectors) -> float:
    """The smallest cosine between the exported graph's vectors of SAMPLES, encoded alone, and torch's."""
    tokens = TextTokens(folder, folder.max_tokens)
    model = TokenModel(graph, threads=0)
    rows = [tokens.padded([tokens.ids(text)]) for text in SAMPLES]
    vectors = np.concatenate([unit(pool(model.hidden(ids, mask), mask, folder.pooling)) for ids, mask in rows])
    return float((vectors * reference).sum(axis=1).min())


def _say(line: str) -> None:
    sys.stderr.write(f"export: {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    logging.disable(logging.WARNING)
    sys.exit(main())
