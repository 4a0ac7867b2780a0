"""How well drift is told on real text: false alarms without drift, a new topic that is noticed, and what looking costs.

    python -m bench.triggers
    python -m bench.triggers --collection ../shared/data/drcd-dev --far ../shared/data/cranfield

Texts of one collection are cut and embedded as the daemon does it, once. A repeat shuffles the documents by its seed
and lets their chunks come in document by document: the first windows warm the observer up, the next are without drift,
and in the last three a tenth of the chunks are another topic's: at random places, or with `--together` as one run of
its neighbouring chunks, as when a few new documents come in at once. The parts of one repeat are disjoint. Between
repeats the same chunks come again in another order, so the windows counted are many more than the collection could
fill at once; `chunks` and `windows` say how many. The far topic is the Rust book for Cranfield's aeronautics (both
English, both technical), and Cranfield for any other collection.

`false_alarm_rate` is the share of windows without drift that were called drift; `false_firing_rate` the share of
three such windows in a row that would have fired a trigger (two of three). `noticed_rate` is the share of repeats in
which any of the three mixed windows was called drift, `fired_rate` that in which two were, `after_renewal_rate` the
share of further mixed windows that are still called drift once the reference was renewed. Costs are CPU seconds
measured in the run, on one thread: all looks and calibrations against embedding chunks of the collection. The last
line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.embedded import Corpus, embedded, opened, seconds_per_thousand
from ragd.domain.index import HalfVectors
from ragd.learn.observe import Lens, Observer

DATA = Path("../shared/data")
RUST_BOOK = DATA / "rust-book-edits.jsonl.gz"
MIXED = 3
LEAST_WINDOWS = 200
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Topic:
    """What is mixed in: a share of rows from another corpus, at random places or in one run."""

    far: Corpus
    share: float
    is_together: bool


@dataclass(slots=True)
class Tally:
    """What the repeats showed so far."""

    clean: list[bool] = field(default_factory=list)
    clean_threes: list[bool] = field(default_factory=list)
    noticed: list[bool] = field(default_factory=list)
    fired: list[bool] = field(default_factory=list)
    renewed: list[bool] = field(default_factory=list)
    cost_s: float = 0.0
    rows: int = 0


def main() -> int:
    """Runs the benchmark; 0 when every target is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collection", type=Path, default=DATA / "cranfield", help="folder in BEIR's layout")
    parser.add_argument("--far", type=Path, help="where the new topic comes from: a collection or a history")
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1_000_000, help="of the first repeat")
    parser.add_argument("--window", type=int, default=100, help="chunks of a window")
    parser.add_argument("--warmup", type=int, default=8, help="windows the observer learns from")
    parser.add_argument("--share", type=float, default=0.1, help="share of the new topic in the mixed windows")
    parser.add_argument("--together", action="store_true", help="the new topic's chunks come in one after the other")
    given = parser.parse_args()
    far_source = given.far or (RUST_BOOK if given.collection.name == "cranfield" else DATA / "cranfield")
    base, far = embedded(given.collection), embedded(far_source)
    lens = Lens(given.window, given.warmup, 2 * given.warmup)
    tally = Tally()
    for seed in range(given.seed, given.seed + given.repeats):
        repeat(base, Topic(far, given.share, given.together), lens, seed, tally)
    figures = {**report(base, far, lens, tally), "share": given.share, "together": given.together}
    print(json.dumps(figures))
    is_met = len(tally.clean) >= LEAST_WINDOWS and rate(tally.clean) <= 0.02 and rate(tally.noticed) >= 0.95
    return 0 if is_met and float(figures["cost_per_1000_chunks_share"]) <= 0.01 else 1


def repeat(base: Corpus, topic: Topic, lens: Lens, seed: int, tally: Tally) -> None:
    """One order of arrival: warm-up, windows without drift, three mixed ones, and as many after a renewal."""
    random = np.random.default_rng(seed)
    windows = arrival(base, random, lens.size)
    if len(windows) < lens.warmup + 2 * MIXED + 1:
        raise SystemExit(f"{base.name} fills {len(windows)} windows only: take a smaller --window or --warmup")
    observer = Observer("documents", "bench", base.vectors.shape[1], lens=lens, seed=seed)
    for window in windows[: lens.warmup]:
        observer.add(window, 0.0)
    clean = seen(observer, windows[lens.warmup : -2 * MIXED])
    drifted = seen(observer, [mixed(w, topic, random) for w in windows[-2 * MIXED : -MIXED]])
    observer.renew()
    again = seen(observer, [mixed(w, topic, random) for w in windows[-MIXED:]])
    tally.clean += clean
    tally.clean_threes += [sum(clean[i : i + MIXED]) >= 2 for i in range(max(0, len(clean) - MIXED + 1))]
    tally.noticed.append(any(drifted))
    tally.fired.append(sum(drifted) >= 2)
    tally.renewed += again
    tally.cost_s += observer.cost_s
    tally.rows += lens.size * len(windows)


def arrival(corpus: Corpus, random: np.random.Generator, size: int) -> list[HalfVectors]:
    """The corpus's chunks in whole windows: documents in random order, the chunks of each together."""
    documents = np.array(corpus.documents)
    place = np.empty(documents.max() + 1, np.int64)
    names = np.unique(documents)
    place[names] = random.permutation(len(names))
    rows = corpus.vectors[np.argsort(place[documents], kind="stable")]
    return [rows[start : start + size] for start in range(0, len(rows) - size + 1, size)]


def mixed(window: HalfVectors, topic: Topic, random: np.random.Generator) -> HalfVectors:
    """The window with a share of its rows from the new topic."""
    changed, far = window.copy(), topic.far.vectors
    rows = max(1, round(topic.share * len(window)))
    if topic.is_together:
        place, first = int(random.integers(len(window) - rows + 1)), int(random.integers(len(far) - rows + 1))
        changed[place : place + rows] = far[first : first + rows]
    else:
        taken = random.choice(len(far), rows, replace=False)
        changed[random.choice(len(window), rows, replace=False)] = far[taken]
    return changed


def seen(observer: Observer, windows: Sequence[HalfVectors]) -> list[bool]:
    """Which of the windows the observer calls drift."""
    return [window.is_drift for rows in windows for window in observer.add(rows, 0.0)]


def report(base: Corpus, far: Corpus, lens: Lens, tally: Tally) -> dict[str, float | int | str]:
    """The figures, with what embedding takes measured now."""
    encoder = opened()
    step = max(1, len(base.texts) // 128)
    embedding_s = seconds_per_thousand(encoder, base.texts[::step])
    encoder.close()
    looking_s = tally.cost_s / tally.rows * 1000
    return {
        "collection": base.name,
        "far": far.name,
        "chunks": len(base.texts),
        "window": lens.size,
        "warmup_windows": lens.warmup,
        "windows": len(tally.clean),
        "repeats": len(tally.noticed),
        "false_alarm_rate": rate(tally.clean),
        "false_firing_rate": rate(tally.clean_threes),
        "noticed_rate": rate(tally.noticed),
        "fired_rate": rate(tally.fired),
        "after_renewal_rate": rate(tally.renewed),
        "look_s_per_1000_chunks": round(looking_s, 4),
        "embed_s_per_1000_chunks": round(embedding_s, 2),
        "cost_per_1000_chunks_share": round(looking_s / embedding_s, 5),
    }


def rate(found: Sequence[bool]) -> float:
    """The share that is true, to four places."""
    return round(sum(found) / len(found), 4) if found else 0.0


if __name__ == "__main__":
    if any(os.environ.get(name) != "1" for name in ONE_THREAD):
        # numpy reads these once, when it is imported.
        os.execve(
            sys.executable,
            [sys.executable, "-m", "bench.triggers", *sys.argv[1:]],
            {**os.environ, **dict.fromkeys(ONE_THREAD, "1")},
        )
    sys.exit(main())
