"""Writes the small files of an artefact: a transform of query vectors, and how an encoder is to be served."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ragd.domain.index import Vectors
from ragd.domain.learning import Artifact

# Tensors of each form with their axes: n is the dimension that comes in, m the one that goes out, r and h are free.
FORMS: Mapping[str, Mapping[str, str]] = {
    "residual": {"weight": "nn"},
    "low_rank": {"down": "rn", "up": "nr"},
    "affine": {"weight": "mn", "bias": "m"},
    "mlp": {"hidden": "hn", "hidden_bias": "h", "out": "mh", "out_bias": "m", "skip": "mn"},
}


def save_transform(folder: Path, form: str, **tensors: npt.ArrayLike) -> Artifact:
    """Writes a transform of query vectors, as role `query-adapter` serves it, into `folder`: the whole artefact.

    `form` is `residual` (weight (n, n): q + weight q), `low_rank` (down (r, n), up (n, r): q + up down q), `affine`
    (weight (m, n), bias (m)) or `mlp` (hidden (h, n), hidden_bias (h), out (m, h), out_bias (m), skip (m, n)); the
    result is brought to unit length when it serves. Raises ValueError for another form, other tensors, or a value
    that is no number.
    """
    if form not in FORMS or FORMS[form].keys() != tensors.keys():
        raise ValueError(f"a transform of form {form} with the tensors {', '.join(sorted(tensors))} is not known")
    folder.mkdir(parents=True, exist_ok=True)
    arrays = save_tensors(folder / "transform.safetensors", **tensors)
    (folder / "transform.json").write_text(json.dumps({"form": form}) + "\n", "utf-8")
    return Artifact(folder, {"form": form, "trainable_weights": sum(array.size for array in arrays.values())})


def save_tensors(file: Path, **tensors: npt.ArrayLike) -> Mapping[str, Vectors]:
    """Writes named arrays as float32 into a safetensors file, and returns what was written.

    For role `index`: `save_tensors(folder / "centroids.safetensors", centroids=...)`. Raises ValueError for a value
    that is no number.
    """
    from safetensors.numpy import save_file

    arrays = {name: np.ascontiguousarray(tensor, dtype=np.float32) for name, tensor in tensors.items()}
    broken = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if broken:
        raise ValueError(f"the tensor {broken[0]} holds values that are no numbers")
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(arrays, file)
    return arrays


def save_serving(folder: Path, *, kind: str = "onnx", precision: str = "fp32") -> None:
    """Writes how the encoder in `folder` is to be opened: kind `onnx` or `sbert`, precision `fp32` or `int8`."""
    if kind not in ("onnx", "sbert") or precision not in ("fp32", "int8"):
        raise ValueError(f"an encoder is not served as {kind} at {precision}")
    (folder / "serve.json").write_text(json.dumps({"kind": kind, "precision": precision}) + "\n", "utf-8")
