"""Vectors that an evaluation made of chunks anyway, kept beside the run: a promotion need not make them again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ragd.disk.atomic import write_atomic
from ragd.domain.errors import ArtifactInvalid
from ragd.domain.index import EmbeddingSpace, HalfVectors, Ids


def write_encoded(path: Path, space: EmbeddingSpace, ids: Ids, vectors: HalfVectors) -> None:
    """Durably writes the vectors, (n, dimension), of the chunks `ids`, (n,), in this space. Raises DiskFull."""
    tensors: dict[str, npt.NDArray[Any]] = {
        "ids": np.ascontiguousarray(ids, np.int64),
        "vectors": np.ascontiguousarray(vectors, np.float16),
    }
    write_atomic(path, save(tensors, metadata={"space": space.fingerprint}), mode=0o600)


def read_encoded(path: Path, space: EmbeddingSpace) -> tuple[Ids, HalfVectors] | None:
    """The chunks and their vectors that `write_encoded` wrote; None where there is no file, or of another space.

    Raises ArtifactInvalid when the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            if (file.metadata() or {}).get("space") != space.fingerprint:
                return None
            ids, vectors = file.get_tensor("ids"), file.get_tensor("vectors")
    except (SafetensorError, OSError, ValueError) as error:
        raise ArtifactInvalid(f"{path} cannot be read: {error}", hint="its vectors are made again") from error
    if vectors.dtype != np.float16 or vectors.shape != (len(ids), space.dimension) or not np.isfinite(vectors).all():
        raise ArtifactInvalid(f"{path} does not hold a finite vector for each chunk", hint="its vectors are made again")
    return ids, vectors
