"""Measures query adapters and encoders: the same held-out questions, the same documents, ranked exactly by both."""

from __future__ import annotations

import json
import shutil
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from ragd.domain.errors import RagdError
from ragd.domain.index import EncoderSpec, HalfVectors, Vectors
from ragd.domain.learning import Role
from ragd.domain.ports import Encoder
from ragd.domain.training import Preparation, RunOutcome, RunPlaces, RunRequest
from ragd.embed.encoder import open_encoder, stored_spec
from ragd.embed.package import find_model
from ragd.embed.transform import QueryTransform
from ragd.flow.footprint import memory_mb
from ragd.flow.heldout import Ground, HeldOutSet, Trial
from ragd.flow.stage import api_key, query_vectors
from ragd.hooks.artifacts import save_transform
from ragd.learn.encoded import write_encoded
from ragd.learn.metrics import METRICS, measure
from ragd.learn.ranking import Board, ranked_documents
from ragd.learn.scores import Scores, Served, Slice, mean
from ragd.learn.snapshot import read_manifest
from ragd.learn.spacemap import LEAST_CHUNKS, agreement, apply, fit_map

UNSEEN: Final = "unseen documents only"
_TIMED = 40
_ENCODED_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two: its query vectors (q, dimension), its vectors of the ground's chunks, its time for a query."""

    queries: Vectors
    documents: HalfVectors


def adapter_scores(places: RunPlaces, request: RunRequest, preparation: Preparation, outcome: RunOutcome) -> Scores:
    """The serving encoder with the serving adapter (or none) against the same encoder with the new one."""
    facts = read_manifest(places.data).facts
    trial = Trial(places, preparation)
    try:
        generation, space = trial.serving(str(facts["fingerprint"]))
        held = trial.questions()
        ground = trial.ground(generation, held.items, seed=request.seed)
    finally:
        trial.close()
    folder = places.folder / outcome.artifact
    old = _adapter(request, space.dimension)
    new = QueryTransform.read(folder, space.dimension)
    encoder = _serving_encoder(request)
    try:
        plain = query_vectors(encoder, request.encoder, held.queries)
        champion_ms, challenger_ms = _timed(
            held.queries, lambda text: old(encoder.encode_query(text)), lambda text: new(encoder.encode_query(text))
        )
    finally:
        encoder.close()
    sides = Side(old(plain), ground.vectors), Side(new(plain), ground.vectors)
    size = _model_bytes(request.encoder, Path(request.models))
    before = size + (_folder_bytes(Path(request.adapter)) if request.adapter else 0)
    return _scores(
        request.role,
        preparation.metric,
        held,
        ground,
        sides,
        (Served(champion_ms, 0.0, before), Served(challenger_ms, 0.0, size + _folder_bytes(folder))),
    )


def encoder_scores(places: RunPlaces, request: RunRequest, preparation: Preparation, outcome: RunOutcome) -> Scores:
    """The serving encoder, with its adapter, against the new one, whose vectors of the ground are made here.

    Writes the map from the new space into the old one to `map/` in the run's folder, and the vectors beside it.
    """
    models, folder = Path(request.models), places.folder / outcome.artifact
    exports = places.exports  # what is refused must leave nothing among the models that may serve
    old_spec = replace(request.encoder, threads=1)
    new_spec = replace(stored_spec(folder, request.encoder), threads=1)
    trial = Trial(places, preparation)
    old_encoder = _serving_encoder(request)
    try:
        generation, space = trial.serving(str(read_manifest(places.data).facts["fingerprint"]))
        held = trial.questions()
        adapter = _adapter(request, space.dimension)
        champion = adapter(query_vectors(old_encoder, request.encoder, held.queries))
        whole = trial.ground(generation, held.items, seed=request.seed)
        ground = trial.pool(whole, generation, held, champion, seed=request.seed)
        new_encoder = open_encoder(new_spec, exports)
        try:
            begun = time.monotonic()
            documents = _encoded(new_encoder, ground.texts)
            encoded_s = time.monotonic() - begun
            write_encoded(places.encoded, new_encoder.space, ground.chunks, documents)
            queries = query_vectors(new_encoder, new_spec, held.queries)
            times = _timed(held.queries, lambda text: adapter(old_encoder.encode_query(text)), new_encoder.encode_query)
        finally:
            new_encoder.close()
    finally:
        old_encoder.close()
        trial.close()
    serves = (
        Served(times[0], memory_mb(old_spec, models, api_key=api_key()), _model_bytes(old_spec, models)),
        Served(times[1], memory_mb(new_spec, exports), _model_bytes(new_spec, exports)),
    )
    shutil.rmtree(exports, ignore_errors=True)
    sides = Side(champion, ground.vectors), Side(queries, documents)
    scores = _scores(request.role, preparation.metric, held, ground, sides, serves)
    mapped = _map(places, ground, held, sides, preparation.metric, request.seed)
    encoded = {"encoded_chunks": len(ground.chunks), "encode_s": round(encoded_s, 3), "dimension": documents.shape[1]}
    return replace(scores, facts={**scores.facts, **encoded, "map": mapped})


def _serving_encoder(request: RunRequest) -> Encoder:
    return open_encoder(replace(request.encoder, threads=1), Path(request.models), api_key=api_key())


def _adapter(request: RunRequest, dimension: int) -> Callable[[Vectors], Vectors]:
    """The adapter that serves; without one vectors stay as they are."""
    if not request.adapter:
        return lambda vectors: vectors
    return QueryTransform.read(Path(request.adapter), dimension)


def _encoded(encoder: Encoder, texts: Sequence[str]) -> HalfVectors:
    """Document vectors as they would be stored."""
    parts = [np.empty((0, encoder.space.dimension), np.float16)]
    for at in range(0, len(texts), _ENCODED_AT_ONCE):
        parts.append(encoder.encode(texts[at : at + _ENCODED_AT_ONCE]).astype(np.float16))
    return np.concatenate(parts)


def _timed(queries: Sequence[str], *ways: Callable[[str], Any]) -> tuple[float, ...]:
    """The median milliseconds of a query for each way, asked in turn so that a busy moment meets all of them."""
    took: list[list[float]] = [[] for _ in ways]
    for way in ways:
        way(queries[0])
    for text in queries[:_TIMED]:
        for way, found in zip(ways, took, strict=True):
            begun = time.perf_counter()
            way(text)
            found.append((time.perf_counter() - begun) * 1000)
    return tuple(round(statistics.median(found), 4) for found in took)


def _scores(
    role: Role, metric: str, held: HeldOutSet, ground: Ground, sides: tuple[Side, Side], serves: tuple[Served, Served]
) -> Scores:
    names = tuple(dict.fromkeys((metric, *METRICS)))
    champion, challenger = (_measured(side, ground.board, held, names) for side in sides)
    slices = {
        name: Slice(_at(champion[metric], positions), _at(challenger[metric], positions))
        for name, positions in held.slices.items()
    }
    unseen = held.with_unseen_answer()
    if unseen:
        # Training may favour documents that it never pushed away; among those alone there is nothing to favour.
        board = ground.board.only(held.heldout_documents)
        alone = [_measured(side, board, held, (metric,), unseen)[metric] for side in sides]
        slices[UNSEEN] = Slice(*alone)
    return Scores(
        role=role,
        metric=metric,
        queries=held.ids,
        champion=champion,
        challenger=challenger,
        slices=slices,
        champion_serves=serves[0],
        challenger_serves=serves[1],
        facts={
            "documents": len(np.unique(ground.board.documents)),
            "chunks": len(ground.chunks),
            "pool": ground.pool,
            "ranking": "exact, a document by its best chunk",
            "heldout_documents": len(held.heldout_documents),
            "held_out_by_time": sum(item.is_newest for item in held.items),
            "answers_left_out": sum(len(item.seen) for item in held.items),
        },
    )


def _measured(
    side: Side, board: Board, held: HeldOutSet, names: Sequence[str], positions: Sequence[int] | None = None
) -> dict[str, tuple[float, ...]]:
    """Each metric for the questions (or those at some positions), over the documents of a board."""
    items = held.items if positions is None else [held.items[at] for at in positions]
    queries = side.queries if positions is None else side.queries[np.array(positions)]
    ranked = ranked_documents(queries, side.documents, board, [item.seen for item in items])
    return {
        name: tuple(measure(name)(rows, item.question.grades) for rows, item in zip(ranked, items, strict=True))
        for name in names
    }


def _at(values: Sequence[float], positions: Sequence[int]) -> tuple[float, ...]:
    return tuple(values[at] for at in positions)


def _map(
    places: RunPlaces, ground: Ground, held: HeldOutSet, sides: tuple[Side, Side], metric: str, seed: int
) -> Mapping[str, Any]:
    """Fits and writes the map from the new space into the old one; returns what it is worth."""
    shutil.rmtree(places.folder / "map", ignore_errors=True)
    old, new = sides
    if len(ground.chunks) < LEAST_CHUNKS:
        return {"kind": "none", "reason": f"fewer than {LEAST_CHUNKS} chunks"}
    fitted = fit_map(new.documents, old.documents, seed=seed)
    save_transform(places.folder / "map", fitted.form, **fitted.tensors)
    # Where it leads is said in it: what serves may be another space when the model is promoted.
    led = {"form": fitted.form, "space": read_manifest(places.data).facts["fingerprint"]}
    (places.folder / "map" / "transform.json").write_text(json.dumps(led) + "\n", "utf-8")
    mapped = apply(fitted.tensors, new.queries)
    through = _measured(Side(mapped, old.documents), ground.board, held, (metric,))[metric]
    return {
        "kind": fitted.kind,
        "form": fitted.form,
        "chunks": fitted.chunks,
        "agreement": round(fitted.agreement, 4),
        "agreement_on_queries": round(agreement(mapped, new.queries, old.documents, new.documents), 4),
        f"{metric} through it": round(mean(through), 4),
        "tried": {name: round(value, 4) for name, value in fitted.tried.items()},
    }


def _model_bytes(spec: EncoderSpec, models: Path) -> int:
    """Bytes of a local model's weights; 0 for an endpoint."""
    if spec.kind not in ("onnx", "sbert"):
        return 0
    source = find_model(spec.model, models)
    export = models / source.name / source.weights_hash[:16]
    try:
        card = json.loads((export / f"{spec.precision}.json").read_bytes())
        served = [export / name for name in card["files"]] if spec.kind == "onnx" else list(source.weights)
        return sum(path.stat().st_size for path in served)
    except (OSError, ValueError, KeyError, RagdError):
        return sum(path.stat().st_size for path in source.weights)


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
