"""Opens what a trainer made as the daemon would when it serves, so that a test can say whether it could."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ragd.domain.errors import ArtifactInvalid
from ragd.domain.index import EncoderSpec, Vectors
from ragd.domain.learning import Artifact, Pair, Prompt, Role, Run
from ragd.learn.artifact import inspect

_TEXTS = ("Kestrel lighthouse", "the mass of the bridge", "")


def open_artifact(artifact: Artifact, role: Role, run: Run) -> str:
    """Looks at the artefact's files, loads it and uses it once; returns what it is, in words.

    Raises ArtifactInvalid for what would not be stored, ModelUnavailable or ModelMismatch for what cannot be loaded.
    """
    inspect(artifact.folder, run.folder, role)
    opened = {
        Role.QUERY_ADAPTER: _open_adapter,
        Role.INDEX: _open_centroids,
        Role.ENCODER: _open_encoder,
        Role.GENERATOR: _open_generator,
    }
    return opened[role](artifact.folder, run)


def reciprocal_rank(run: Run, adapter: Path | None = None, pairs: tuple[Pair, ...] = ()) -> float:
    """The mean reciprocal rank of the answers to `pairs` (by default the validation pairs), over all chunks.

    With `adapter`, the folder of a query adapter, as that would answer. Chunks that tie share their ranks.
    """
    from ragd.embed.transform import QueryTransform

    asked = pairs or tuple(run.data.validation_pairs)
    queries = run.encode_queries([pair.query for pair in asked])
    if adapter is not None:
        queries = QueryTransform.read(adapter, queries.shape[1])(queries)
    scores = queries @ run.data.vectors.astype(np.float32).T
    best = np.array([row[run.data.rows(pair.positives)].max() for row, pair in zip(scores, asked, strict=True)])
    above = (scores > best[:, None] + 1e-6).sum(axis=1)
    level = (np.abs(scores - best[:, None]) <= 1e-6).sum(axis=1)
    return float(np.mean(1.0 / (1.0 + above + (level - 1) / 2)))


def _open_adapter(folder: Path, run: Run) -> str:
    from ragd.embed.transform import QueryTransform

    vectors = run.encode_queries(_TEXTS)
    _check_unit(QueryTransform.read(folder, vectors.shape[1])(vectors), vectors.shape)
    form = json.loads((folder / "transform.json").read_text("utf-8"))["form"]
    return f"a query adapter of form {form}"


def _open_centroids(folder: Path, run: Run) -> str:
    from safetensors.numpy import load_file

    centroids = load_file(folder / "centroids.safetensors").get("centroids")
    dimension = run.data.vectors.shape[1]
    if centroids is None or centroids.ndim != 2 or centroids.shape[1] != dimension or centroids.dtype != np.float32:
        raise ArtifactInvalid(
            f"centroids.safetensors holds no float32 tensor `centroids` of shape (lists, {dimension})"
        )
    if not np.isfinite(centroids).all():
        raise ArtifactInvalid("centroids.safetensors holds values that are no numbers")
    return f"{len(centroids)} centroids"


def _open_encoder(folder: Path, run: Run) -> str:
    from ragd.embed.encoder import open_encoder

    serve = folder / "serve.json"
    told = json.loads(serve.read_text("utf-8")) if serve.exists() else {"kind": "sbert"}
    spec = EncoderSpec(told["kind"], str(folder.absolute()), told.get("precision", "fp32"), threads=1)
    encoder = open_encoder(spec, run.folder / ".served")
    try:
        vectors = encoder.encode(_TEXTS)
        _check_unit(vectors, (len(_TEXTS), encoder.space.dimension))
        return f"an encoder of dimension {encoder.space.dimension}"
    finally:
        encoder.close()


def _open_generator(folder: Path, run: Run) -> str:
    from ragd.embed.generator import load_generator

    generator = load_generator(folder)
    try:
        loss = generator.loss([Prompt("how tall is it?", "7 metres")])[0]
        if not np.isfinite(loss):
            raise ArtifactInvalid("its loss is not a number")
        return f"a generator with a loss of {loss:.2f}"
    finally:
        generator.close()


def _check_unit(vectors: Vectors, shape: tuple[int, ...]) -> None:
    if vectors.shape != shape or vectors.dtype != np.float32:
        raise ArtifactInvalid(f"it gives {vectors.dtype} vectors of shape {vectors.shape}, not float32 of {shape}")
    if not np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-3):
        raise ArtifactInvalid("it gives vectors that are not of unit length")
