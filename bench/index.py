"""How fast the index changes in place, against FAISS's own IDMap2 over a flat index, in one run.

    python -m bench.index --sizes 100000 1000000

Vectors are synthetic: unit length, overlapping topics. The last line is one JSON object. Its top level holds
what is judged: speed-ups at the largest size, the worst recall, and the reader's latency beside a writer at the
smallest size; `sizes` holds every figure by number of chunks. A change takes the fastest of its repeats, ours
and the rival's alike: load from elsewhere on the machine only adds.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any, ParamSpec, TypeVar

import faiss
import numpy as np

from ragd.domain.digest import Digest, digest_of
from ragd.domain.index import EmbeddingSpace, HalfVectors, Ids, IndexPolicy, Vectors
from ragd.index.generation import Generation
from ragd.index.restore import Origin, rebuild, restore
from ragd.index.snapshot import load_newest, write_snapshot
from ragd.index.threads import faiss_threads
from ragd.index.verify import verify

DIMENSION = 384
BATCH = 256
TOPICS = 500
LATENT = 32
WRITER_ROWS_PER_S = 4_000
ONE = 1
P = ParamSpec("P")
T = TypeVar("T")
Figures = dict[str, float | int | str]


class Topics:
    """An endless supply of unit vectors as text has them: overlapping topics in few dimensions, and noise in all."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._centres = self._rng.standard_normal((TOPICS, LATENT), np.float32)
        self._axes = self._rng.standard_normal((LATENT, DIMENSION), np.float32)

    def draw(self, rows: int) -> Vectors:
        """New vectors, shape (rows, DIMENSION), float32."""
        latent = self._centres[self._rng.integers(TOPICS, size=rows)]
        latent = latent + np.float32(0.8) * self._rng.standard_normal((rows, LATENT), np.float32)
        noise = np.float32(0.5 * LATENT**0.5) * self._rng.standard_normal((rows, DIMENSION), np.float32)
        vectors: Vectors = latent @ self._axes + noise
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors


class ArraySource:
    """A VectorSource in memory: one float16 matrix, every row live, with a log of changed rows."""

    def __init__(self, rows: HalfVectors) -> None:
        self.rows = rows
        self._log: list[int] = []

    def change(self, ids: Ids, vectors: Vectors) -> None:
        """Commits new vectors for these ids."""
        self.rows[ids] = vectors.astype(np.float16)
        self._log.extend(ids.tolist())

    def change_sequence(self) -> int:
        return len(self._log)

    def live_ids(self, generation: int) -> Ids:
        return np.arange(len(self.rows), dtype=np.int64)

    def changed_since(self, generation: int, sequence: int) -> Ids | None:
        return np.unique(np.array(self._log[sequence:], np.int64))

    def digest(self, generation: int) -> Digest:
        return digest_of(*self.live_vectors(generation, self.live_ids(generation)))

    def live_vectors(self, generation: int, ids: Ids) -> tuple[Ids, HalfVectors]:
        return ids, self.rows[ids]


def main(argv: list[str] | None = None) -> int:
    """Runs every size and prints the JSON line; returns 0."""
    parser = argparse.ArgumentParser(prog="bench.index", description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000], metavar="CHUNKS")
    parser.add_argument("--repeats", type=int, default=7, help="how often each change is timed (default 7)")
    parser.add_argument("--reader-seconds", type=float, default=10.0, help="how long readers are timed (default 10)")
    options = parser.parse_args(argv)
    sizes = sorted(options.sizes)
    by_size = {size: measured(size, options.repeats, options.reader_seconds) for size in sizes}
    smallest, largest = by_size[sizes[0]], by_size[sizes[-1]]
    report = {key: largest[key] for key in ("remove256_speedup", "upsert256_speedup")}
    report["ann_recall"] = min(float(figures["ann_recall"]) for figures in by_size.values())
    report["reader_p99_ms"] = smallest["reader_p99_ms"]
    report |= {key: largest[key] for key in ("snapshot_s", "load_s", "replay_s", "rebuild_s")}
    print(json.dumps({**report, "sizes": {str(size): figures for size, figures in by_size.items()}}))
    return 0


def measured(chunks: int, repeats: int, reader_s: float) -> Figures:
    """Every figure at one size."""
    say(f"{chunks} chunks: drawing vectors")
    topics = Topics(seed=chunks)
    source = ArraySource(np.empty((chunks, DIMENSION), np.float16))
    for start in range(0, chunks, 50_000):
        source.rows[start : start + 50_000] = topics.draw(min(50_000, chunks - start))
    space = EmbeddingSpace("bench", DIMENSION, "bench", 256)
    say("building the index from stored vectors")
    rebuild_s, generation = timed(rebuild, space, source, ONE, IndexPolicy())
    facts = generation.facts()
    figures: Figures = {"kind": facts.kind, "lists": facts.lists, "size_mb": round(facts.size_bytes / 1e6, 1)}
    say("building IDMap2(FlatIP), recall, changes")
    flat = flat_index(source)
    figures["ann_recall"] = ann_recall(generation, flat, topics.draw(200))
    figures |= changes(generation, flat, source, topics, repeats)
    del flat
    say("readers beside a writer")
    figures |= readers(generation, source, topics, reader_s)
    say("snapshot, load, replay")
    figures |= persistence(generation, space, source, topics)
    return figures | {"rebuild_s": round(rebuild_s, 3)}


def flat_index(source: ArraySource) -> Any:
    """The rival: exact, its ids in IDMap2."""
    flat = faiss.IndexIDMap2(faiss.IndexFlatIP(DIMENSION))
    with faiss_threads(1):
        for start in range(0, len(source.rows), 50_000):
            rows = source.rows[start : start + 50_000].astype(np.float32)
            flat.add_with_ids(rows, np.arange(start, start + len(rows)))
    return flat


def ann_recall(generation: Generation, flat: Any, queries: Vectors) -> float:
    """The share of the ten true neighbours that single-query searches find."""
    truth = flat.search(queries, 10)[1]
    found = [generation.search(query[None], 10)[1][0] for query in queries]
    hits = sum(len(np.intersect1d(one, other)) for one, other in zip(truth, found, strict=True))
    return round(float(hits / truth.size), 4)


def changes(generation: Generation, flat: Any, source: ArraySource, topics: Topics, repeats: int) -> Figures:
    """Removal and replacement of 256 rows, ours against the rival's, one thread each."""
    ours: dict[str, list[float]] = {"remove": [], "upsert": []}
    theirs: dict[str, list[float]] = {"remove": [], "upsert": []}
    rng, nothing = np.random.default_rng(1), np.empty(0, np.int64)
    none = np.empty((0, DIMENSION), np.float32)

    def replace_in_flat(ids: Ids, vectors: Vectors) -> None:
        flat.remove_ids(ids)
        flat.add_with_ids(vectors, ids)

    with faiss_threads(1):
        for _ in range(repeats):
            # Rows from all over the index: the rival pays by how far from its end a removed row lies.
            replaced, removed = rng.choice(len(source.rows), (2, BATCH), replace=False)
            vectors = topics.draw(2 * BATCH)
            ours["upsert"].append(timed(generation.apply, replaced, vectors[:BATCH], nothing)[0])
            theirs["upsert"].append(timed(replace_in_flat, replaced, vectors[:BATCH])[0])
            ours["remove"].append(timed(generation.apply, nothing, none, removed)[0])
            theirs["remove"].append(timed(flat.remove_ids, removed)[0])
            generation.apply(removed, vectors[BATCH:], nothing)
            flat.add_with_ids(vectors[BATCH:], removed)
            source.change(np.concatenate([replaced, removed]), vectors)
    figures: Figures = {}
    for name in ours:
        mine, other = min(ours[name]), min(theirs[name])
        figures[f"{name}256_ms"] = round(1e3 * mine, 3)
        figures[f"{name}256_flat_ms"] = round(1e3 * other, 3)
        figures[f"{name}256_speedup"] = round(other / mine, 1)
    return figures


def readers(generation: Generation, source: ArraySource, topics: Topics, seconds: float) -> Figures:
    """One reader's latency, single queries one after the other: alone, beside a writer, and beside one without rest.

    The writer replaces 256 rows at a time, at a hundred times the pace of an encoder on a CPU.
    """
    queries = topics.draw(1_000)
    alone = latencies(generation, queries, seconds / 2)
    figures: Figures = {"reader_alone_p99_ms": percentile(alone, 99)}
    for suffix, pace in (("", WRITER_ROWS_PER_S), ("_flat_out", 0)):
        with writing(generation, source, topics, pace) as written:
            beside = latencies(generation, queries, seconds)
        figures |= {
            f"reader{suffix}_p50_ms": percentile(beside, 50),
            f"reader{suffix}_p99_ms": percentile(beside, 99),
            f"reader{suffix}_max_ms": percentile(beside, 100),
            f"writer{suffix}_rows_per_s": round(written[0] * BATCH / seconds),
        }
    return figures


@contextmanager
def writing(generation: Generation, source: ArraySource, topics: Topics, pace: int) -> Iterator[list[int]]:
    """A thread that commits batches at `pace` rows a second (0: as fast as it can) for the length of the block."""
    stop, written = Event(), [0]
    batches = [topics.draw(BATCH) for _ in range(32)]

    def write() -> None:
        rng = np.random.default_rng(2)
        started = time.perf_counter()
        while not stop.is_set():
            ids = rng.integers(len(source.rows) // BATCH) * BATCH + np.arange(BATCH)
            vectors = batches[written[0] % len(batches)]
            generation.apply(ids, vectors, ids[:0])
            source.change(ids, vectors)
            written[0] += 1
            if pace:
                stop.wait(max(0.0, started + written[0] * BATCH / pace - time.perf_counter()))

    writer = Thread(target=write, daemon=True)
    writer.start()
    try:
        yield written
    finally:
        stop.set()
        writer.join()


def latencies(generation: Generation, queries: Vectors, seconds: float) -> list[float]:
    """Seconds of each search until the time is up."""
    times: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        query = queries[len(times) % len(queries)][None]
        times.append(timed(generation.search, query, 10)[0])
    return times


def persistence(generation: Generation, space: EmbeddingSpace, source: ArraySource, topics: Topics) -> Figures:
    """Writing a snapshot (with its flush to the disk), loading it, and replaying one row in a hundred."""
    generation.advance(source.change_sequence())
    with tempfile.TemporaryDirectory(prefix="ragd-bench-") as name:
        folder = Path(name)
        snapshot_s, manifest = timed(write_snapshot, folder, space, generation)
        load_s, _ = timed(load_newest, folder, space, IndexPolicy())
        changed = np.random.default_rng(3).choice(len(source.rows), len(source.rows) // 100, replace=False)
        source.change(changed, topics.draw(changed.size))
        restore_s, restored = timed(restore, folder, space, source, ONE, IndexPolicy())
    assert restored.origin is Origin.SNAPSHOT
    assert verify(restored.generation, source, ONE).is_clean
    return {
        "snapshot_s": round(snapshot_s, 3),
        "snapshot_mb": round(manifest.size_bytes / 1e6, 1),
        "load_s": round(load_s, 3),
        "replay_rows": restored.replayed,
        "replay_s": round(max(0.0, restore_s - load_s), 3),
    }


def timed(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[float, T]:
    """Seconds a call took, and its result."""
    started = time.perf_counter()
    result = call(*args, **kwargs)
    return time.perf_counter() - started, result


def percentile(times: list[float], share: float) -> float:
    """A percentile in milliseconds."""
    return round(1e3 * float(np.percentile(times, share)), 3)


def say(line: str) -> None:
    """A progress line."""
    print(f"# {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
