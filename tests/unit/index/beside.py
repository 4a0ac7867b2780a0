"""Searches in three threads beside a writer that adds, replaces and removes, across switches of the index's kind.

Prints `ghosts=N searches=N kinds=…`; a ghost is a row found by a search that began after its removal had returned.
"""

from __future__ import annotations

import sys
from threading import Event, Thread

import numpy as np

from ragd.domain.index import IndexPolicy, Vectors
from ragd.index.exact import ExactIndex
from ragd.index.generation import Generation

DIMENSION = 32
ROWS = 4_000
ROUNDS = 300


def unit(rows: int, seed: int) -> Vectors:
    vectors: Vectors = np.random.default_rng(seed).standard_normal((rows, DIMENSION), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def main() -> None:
    vectors = unit(ROWS * 4, seed=0)
    generation = Generation(ExactIndex(DIMENSION), IndexPolicy(ivf_above=3_000, exact_below=1_500, nprobe=8))
    generation.apply(np.arange(2_000), vectors[:2_000], np.empty(0, np.int64))
    removed = np.zeros(len(vectors), np.bool_)
    stop = Event()
    ghosts: list[int] = []
    searches = [0, 0, 0]
    errors: list[BaseException] = []

    def read(number: int) -> None:
        rng = np.random.default_rng(number)
        try:
            while not stop.is_set():
                was_removed = removed.copy()
                query = vectors[rng.integers(len(vectors), size=1)]
                allowed = None if rng.random() < 0.7 else rng.choice(len(vectors), 500, replace=False)
                found = generation.search(query, 10, allowed=allowed)[1]
                found = found[found >= 0]
                ghosts.extend(found[was_removed[found]].tolist())
                searches[number] += 1
        except BaseException as error:
            errors.append(error)
            raise

    readers = [Thread(target=read, args=(number,), daemon=True) for number in range(3)]
    for reader in readers:
        reader.start()
    kinds = write(generation, vectors, removed)
    stop.set()
    for reader in readers:
        reader.join(30)
    assert not errors
    assert min(searches) > 0
    sys.stdout.write(f"ghosts={len(ghosts)} searches={sum(searches)} kinds={','.join(kinds)}\n")


def write(generation: Generation, vectors: Vectors, removed: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[str]:
    """Grows past the switch to IVF, then shrinks under the switch back; ids that went never come again."""
    rng = np.random.default_rng(7)
    live = list(range(2_000))
    kinds = ["exact"]
    unused = 2_000
    for number in range(ROUNDS):
        is_growing = number < ROUNDS * 2 // 3
        grow, shrink = (48, 24) if is_growing else (8, 72)
        add = list(range(unused, min(unused + grow, len(vectors))))
        unused += len(add)
        again = rng.choice(live, 16, replace=False).tolist()
        gone = rng.choice(live, shrink, replace=False)
        ids = np.array([*add, *again], np.int64)
        generation.apply(ids, vectors[ids], gone)
        removed[gone] = True
        live = sorted({*live, *add} - set(gone.tolist()))
        generation.maintain()
        kind = generation.facts().kind
        if kind != kinds[-1]:
            kinds.append(kind)
    for _ in range(2):
        generation.wait_settled(60)
        generation.maintain()
    kinds.append(generation.facts().kind)
    assert generation.ids().tolist() == live
    return kinds


if __name__ == "__main__":
    main()
