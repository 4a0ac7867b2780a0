"""Centroids of an inverted file on disk: read strictly, written whole, told apart by a digest."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import numpy as np

from ragd.disk.atomic import write_atomic
from ragd.domain.errors import ArtifactInvalid, ModelUnavailable
from ragd.domain.index import Vectors

CENTROIDS_NAME: Final = "centroids.safetensors"
_HINT: Final = "train the index fit again, or roll back: `ragd models rollback index`"


def digest(centroids: Vectors) -> str:
    """32 hex digits that tell one fit from another."""
    return hashlib.sha256(np.ascontiguousarray(centroids, "<f4").tobytes()).hexdigest()[:32]


def read_centroids(path: Path, dimension: int) -> Vectors:
    """The tensor `centroids` of a safetensors file, shape (lists, dimension), float32.

    Raises ModelUnavailable when the file cannot be read, ArtifactInvalid when it holds something else.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
            centroids = file.get_tensor("centroids") if names == ["centroids"] else None
    except OSError as error:
        raise ModelUnavailable(f"{path} cannot be read: {error.strerror or error}", hint=_HINT) from error
    except SafetensorError as error:
        raise ArtifactInvalid(f"{path} is not a safetensors file: {error}", hint=_HINT) from error
    if centroids is None:
        raise ArtifactInvalid(f"{path} holds {', '.join(names) or 'nothing'} instead of centroids", hint=_HINT)
    if centroids.dtype != np.float32 or centroids.ndim != 2 or centroids.shape[1] != dimension or not len(centroids):
        raise ArtifactInvalid(
            f"{path}: centroids are {centroids.dtype} of shape {centroids.shape}, not float32 (lists, {dimension})",
            hint=_HINT,
        )
    if not np.isfinite(centroids).all():
        raise ArtifactInvalid(f"{path}: centroids hold values that are no numbers", hint=_HINT)
    return np.array(centroids, np.float32)


def write_centroids(path: Path, centroids: Vectors) -> None:
    """Writes a file that `read_centroids` reads, in one step. Raises DiskFull."""
    from safetensors.numpy import save

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, save({"centroids": np.ascontiguousarray(centroids, np.float32)}))
