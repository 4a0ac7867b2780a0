"""Measures an index fit: what stored rows find of their true neighbours through the old lists and the new ones."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from ragd.catalog.corpus import open_corpus
from ragd.domain.errors import ModelMismatch, NotFound, TooFewExamples
from ragd.domain.index import EmbeddingSpace, HalfVectors, Ids, IndexPolicy, Vectors
from ragd.domain.training import Preparation, RunOutcome, RunPlaces, RunRequest
from ragd.index.centroids import read_centroids
from ragd.index.snapshot import load_newest
from ragd.learn.fit_quality import FitQuality, asked_rows, fit_quality, true_neighbours
from ragd.learn.scores import Scores, Served
from ragd.learn.snapshot import read_manifest

METRIC: Final = "ann_recall"
_MOST_ROWS = 200_000
_ASKED = 300


def fit_scores(places: RunPlaces, request: RunRequest, preparation: Preparation, outcome: RunOutcome) -> Scores:
    """The serving lists against the new ones, both over the same stored rows: a sample where there are very many.

    An exact index has no lists and misses nothing, so that no fit can be better.
    Raises TooFewExamples, ArtifactInvalid or ModelMismatch.
    """
    space, generation, ids, vectors = _rows(places, preparation, request.seed)
    asked = asked_rows(ids, _ASKED, seed=request.seed)
    truth = true_neighbours(vectors, asked)
    folder = places.folder / outcome.artifact
    new = read_centroids(folder / "centroids.safetensors", space.dimension)
    old = _serving_centroids(Path(preparation.state) / "generations" / str(generation), space, preparation.nprobe)
    challenger = fit_quality(new, vectors, asked, truth, preparation.nprobe)
    if old is None:
        champion = FitQuality((1.0,) * len(asked), float(len(ids)), 0.0)
    else:
        champion = fit_quality(old, vectors, asked, truth, preparation.nprobe)
    return Scores(
        role=request.role,
        metric=METRIC,
        queries=tuple(str(i) for i in ids[asked].tolist()),
        champion={METRIC: champion.recall},
        challenger={METRIC: challenger.recall},
        champion_serves=Served(champion.query_ms if old is not None else challenger.query_ms, 0.0, _bytes(old)),
        challenger_serves=Served(challenger.query_ms, 0.0, _bytes(new)),
        facts={
            "rows": len(ids),
            "nprobe": preparation.nprobe,
            "serving_lists": 0 if old is None else len(old),
            "lists": len(new),
            "rows_compared_before": round(champion.rows_compared, 1),
            "rows_compared": round(challenger.rows_compared, 1),
        },
    )


def _rows(places: RunPlaces, preparation: Preparation, seed: int) -> tuple[EmbeddingSpace, int, Ids, HalfVectors]:
    reader, _ = open_corpus(Path(preparation.state))
    try:
        serving = reader.overview.serving()
        if serving is None or serving[1].fingerprint != read_manifest(places.data).facts["fingerprint"]:
            raise ModelMismatch(
                "another embedding space serves now than when the run's data was made", hint="train again"
            )
        generation, space = serving
        live = reader.replay.live_ids(generation)
        if len(live) > _MOST_ROWS:
            live = np.sort(np.random.default_rng(seed).choice(live, _MOST_ROWS, replace=False))
        ids, vectors = reader.replay.live_vectors(generation, live)
    finally:
        reader.close()
    if len(ids) < 2:
        raise TooFewExamples("there are no stored vectors to ask with", hint="wait until documents are indexed")
    order = np.argsort(ids)
    return space, generation, ids[order], vectors[order]


def _serving_centroids(folder: Path, space: EmbeddingSpace, nprobe: int) -> Vectors | None:
    """The lists of the newest snapshot; None for an exact index, or one that was never written down."""
    try:
        generation = load_newest(folder, space, IndexPolicy(nprobe=nprobe)).generation
    except NotFound:
        return None
    return generation.centroids()


def _bytes(centroids: Vectors | None) -> int:
    return 0 if centroids is None else int(centroids.nbytes)
