"""Makes the data of one run: `python -m ragd.flow.prepare RUNFOLDER`, trusted code that only reads the catalog."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from ragd.catalog.corpus import CorpusReader, open_corpus
from ragd.catalog.reader import CatalogReader
from ragd.domain.errors import ModelMismatch, NotFound, TooFewExamples
from ragd.domain.index import EmbeddingSpace, HalfVectors, Ids, Vectors
from ragd.domain.learning import Chunk, Data, Needs, Pair, Prompt, Role
from ragd.domain.training import Preparation, RunPlaces, RunRequest
from ragd.embed.encoder import open_encoder
from ragd.flow.examples import Examples, Layout, gather, gather_prompts, read_layout
from ragd.flow.stage import api_key, query_vectors, run_stage
from ragd.learn.assemble import Shelf, assembled
from ragd.learn.headings import heading_pairs
from ragd.learn.negatives import Mining
from ragd.learn.records import read_request
from ragd.learn.resolve import Question
from ragd.learn.snapshot import Manifest, SnapshotParts, read_preparation, write_snapshot
from ragd.learn.splits import Side

MOST_CHUNKS: Final = 200_000
"""Chunks of a snapshot; of more, a sample is taken that holds every chunk that answers a question."""


Labelled = tuple[list[Pair], list[Pair], Vectors]
"""Training pairs, validation pairs, and the vectors of the queries of both."""


@dataclass(frozen=True, slots=True)
class Stock:
    """What is read of the catalog in one look: chunks with heading paths and vectors (n, dimension), and examples."""

    space: EmbeddingSpace
    generation: int
    changes: int
    chunks: Sequence[Chunk]
    headings: Mapping[int, str]
    vectors: HalfVectors
    chunks_of: Mapping[int, Sequence[int]]
    examples: Examples | None


def prepare(places: RunPlaces) -> Mapping[str, Any]:
    """Writes the snapshot of a run; returns its counts, hash and report in plain values.

    Raises TooFewExamples, PairsInvalid, ModelMismatch, DiskFull and what opening an encoder raises.
    """
    request, preparation = read_request(places), read_preparation(places)
    if preparation.needs.data is Data.PROMPTS:
        parts, facts = _of_prompts(request, preparation)
    else:
        parts, facts = _of_corpus(request, preparation)
    manifest = write_snapshot(places.data, parts, {"run": request.id, "seed": request.seed, **facts})
    return _said(manifest)


def _said(manifest: Manifest) -> Mapping[str, Any]:
    facts = manifest.facts
    return {
        "examples": facts["examples"],
        "heldout": facts["heldout"],
        "counts": dict(manifest.counts),
        "data_sha256": manifest.data_sha256,
        "changes": facts["changes"],
        "report": facts["report"],
    }


def _of_prompts(request: RunRequest, preparation: Preparation) -> tuple[SnapshotParts, dict[str, Any]]:
    divided = gather_prompts(preparation)
    require(request.trainer, preparation.needs, len(divided.training), len(divided.heldout))
    prompts: tuple[Prompt, ...] = divided.training
    facts = {
        "examples": len(prompts),
        "heldout": len(divided.heldout),
        "changes": 0,
        "generation": 0,
        "fingerprint": "",
        "dimension": 0,
        "report": divided.report.as_json(),
        "split": {"heldout_share": preparation.heldout_share, "newest_from": None},
    }
    return SnapshotParts(prompts=prompts), facts


def _of_corpus(request: RunRequest, preparation: Preparation) -> tuple[SnapshotParts, dict[str, Any]]:
    stock = _stock(request, preparation)
    examples = stock.examples
    nothing: Labelled = ([], [], np.empty((0, 0), np.float32))
    pairs, validation, asked = nothing if examples is None else _pairs(request, preparation, stock, examples)
    labelled = sum(pair.source != "heading" for pair in pairs)
    count = labelled if preparation.needs.data is Data.PAIRS else len(stock.chunks)
    heldout = len(examples.divided.heldout) if examples is not None else 0
    require(request.trainer, preparation.needs, count, heldout)
    report = examples.report.as_json() if examples is not None else {}
    if examples is not None:
        report |= {"sources": dict(examples.sources), "headings": len(pairs) - labelled}
    facts = {
        "examples": count,
        "heldout": heldout,
        "changes": stock.changes,
        "generation": stock.generation,
        "fingerprint": stock.space.fingerprint,
        "dimension": stock.space.dimension,
        "report": report,
        "split": {
            "heldout_share": preparation.heldout_share,
            "newest_from": examples.split.newest_from if examples is not None else None,
        },
    }
    return SnapshotParts(stock.chunks, stock.vectors, pairs, validation, query_vectors=asked), facts


def require(trainer: str, needs: Needs, there: int, heldout: int) -> None:
    """Raises TooFewExamples, which says how many there are and how many are needed."""
    if there >= needs.least:
        return
    beside = f" ({heldout:,} more are held out for the gate)" if heldout else ""
    hints = {
        Data.PAIRS: "list more of them with learn.pairs, or collect feedback with learn.journal",
        Data.PROMPTS: "list more of them with learn.prompts",
    }
    raise TooFewExamples(
        f"{trainer} needs {needs.least:,} {needs.data.value} to train on, and there are {there:,}{beside}",
        hint=hints.get(needs.data, "wait until more documents are indexed"),
    )


def _stock(request: RunRequest, preparation: Preparation) -> Stock:
    reader, corpus = open_corpus(Path(preparation.state))
    try:
        with corpus.at_once():
            return _read(request, preparation, reader, corpus)
    finally:
        reader.close()


def _read(request: RunRequest, preparation: Preparation, reader: CatalogReader, corpus: CorpusReader) -> Stock:
    serving = reader.overview.serving()
    if serving is None:
        raise NotFound("nothing was indexed yet", hint="start with `ragd run FOLDER`")
    generation, space = serving
    layout = read_layout(corpus, preparation.heldout_share)
    wants_pairs = preparation.needs.data is Data.PAIRS
    examples = gather(preparation, reader, corpus, layout) if wants_pairs else None
    # An index fit is judged by stored rows, not by questions: for it nothing is held out.
    sides = tuple(Side) if request.role is Role.INDEX else (Side.TRAINING, Side.VALIDATION)
    chunks_of = layout.chunks_of(*sides)
    wanted = sampled(sorted({c for chunks in chunks_of.values() for c in chunks}), chunks_of, examples, request.seed)
    ids, vectors = reader.replay.live_vectors(generation, wanted)
    order = np.argsort(ids)
    ids, vectors = ids[order], vectors[order]
    texts = corpus.texts(ids.tolist())
    return Stock(
        space,
        generation,
        reader.replay.change_sequence(),
        _chunks(ids.tolist(), texts, layout, chunks_of),
        {int(i): context for i, (context, _) in zip(ids, texts, strict=True) if context},
        vectors if len(ids) else np.empty((0, space.dimension), np.float16),
        chunks_of,
        examples,
    )


def sampled(
    ids: Sequence[int],
    chunks_of: Mapping[int, Sequence[int]],
    examples: Examples | None,
    seed: int,
    most: int = MOST_CHUNKS,
) -> Ids:
    """All chunk ids, or `most` of them: first those of documents that answer a question, then by chance; sorted."""
    every = np.asarray(ids, np.int64)
    if len(every) <= most:
        return every
    questions = (*examples.divided.training, *examples.divided.validation) if examples is not None else ()
    needed = {c for question in questions for document in question.grades for c in chunks_of.get(document, ())}
    random = np.random.default_rng(seed)
    first = np.array(sorted(needed), np.int64)
    rest = np.setdiff1d(every, first, assume_unique=True)
    chosen = [random.permutation(part) for part in (first, rest)]
    return np.sort(np.concatenate(chosen)[:most])


def _chunks(
    ids: Sequence[int], texts: Sequence[tuple[str, str]], layout: Layout, chunks_of: Mapping[int, Iterable[int]]
) -> list[Chunk]:
    named = {row.id: row for row in layout.documents}
    first: dict[int, int] = {}
    for document, chunks in chunks_of.items():
        for chunk in chunks:
            first.setdefault(chunk, document)
    found: list[Chunk] = []
    for chunk, (context, text) in zip(ids, texts, strict=True):
        row = named[first[chunk]]
        found.append(Chunk(chunk, row.id, row.collection, row.path, f"{context}\n\n{text}" if context else text))
    return found


def _pairs(request: RunRequest, preparation: Preparation, stock: Stock, examples: Examples) -> Labelled:
    """Training and validation pairs, with negatives from the snapshot's chunks by the serving encoder, and what it
    made of their queries."""
    divided = examples.divided
    require(request.trainer, preparation.needs, len(divided.training), len(divided.heldout))
    shelf = Shelf(stock.chunks, stock.vectors, stock.chunks_of)
    encoder = open_encoder(replace(request.encoder, threads=1), Path(request.models), api_key=api_key())
    try:
        if encoder.space.fingerprint != stock.space.fingerprint:
            raise ModelMismatch(
                "the encoder of this run is not the one whose vectors are in the catalog",
                hint="start the run again; the serving encoder changed meanwhile",
            )

        known: dict[str, Vectors] = {}

        def made(questions: Sequence[Question]) -> list[Pair]:
            vectors = query_vectors(encoder, request.encoder, [q.query for q in questions])
            known.update(zip((q.query for q in questions), vectors, strict=True))
            return assembled(questions, vectors, shelf, Mining())

        training, validation = made(divided.training), made(divided.validation)
    finally:
        encoder.close()
    away = [*(item.question.query for item in divided.heldout), *(pair.query for pair in validation)]
    training_chunks = _training_chunks(stock, examples.layout)
    headings = {chunk: heading for chunk, heading in stock.headings.items() if chunk in training_chunks}
    asked = [known[pair.query] for pair in (*training, *validation)]
    rows = np.stack(asked) if asked else np.empty((0, stock.space.dimension), np.float32)
    return [*training, *heading_pairs(headings, len(training), away, seed=request.seed)], validation, rows


def _training_chunks(stock: Stock, layout: Layout) -> set[int]:
    return {
        c for document, chunks in stock.chunks_of.items() if layout.sides[document] is Side.TRAINING for c in chunks
    }


def main(arguments: Sequence[str]) -> int:
    """The process: see `run_stage`."""
    return run_stage(prepare, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
