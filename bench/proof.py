"""How long a proof takes that the index equals the catalog, by depth and size, and what it finds.

    python -m bench.proof [--chunks 100000 1000000]

A catalog is filled through the daemon's own ingest, with short texts and random unit vectors, in a folder that is
removed at the end. Then, in one process with one thread:

- `digest_ms`: both digests as they were kept (`ragd verify`, and what a start needs); the median of many.
- `rows_ms`: the index's digest counted anew from memory (every hour).
- `full_s`: every row compared (`ragd verify --full`).
- `apply256_us`: what a commit of 256 replaced rows costs the index, its digest included.
- `found`: one bit was flipped in memory, one row taken away and one brought in unseen; `repair_s` mends them.

`digest_ms` of the largest size is the figure that must stay below 50.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.filled import Nobody, answer_vectors
from bench.index import say, timed
from ragd import app
from ragd.app import App
from ragd.config.schema import Collection, Config
from ragd.domain.changes import Observation, Presence
from ragd.domain.documents import Extraction, Piece, Stat, content_hash
from ragd.domain.index import Depth
from ragd.domain.work import ExtractResult
from ragd.index.threads import faiss_threads
from ragd.index.verify import verify

CHUNKS_A_DOCUMENT = 1000
DOCUMENTS_AT_ONCE = 10
Figures = dict[str, Any]


def main(argv: list[str] | None = None) -> int:
    """Measures every size and prints the JSON line; 0 when every damage was found and mended."""
    parser = argparse.ArgumentParser(prog="bench.proof", description=__doc__.partition("\n")[0])
    parser.add_argument("--chunks", type=int, nargs="+", default=[100_000, 1_000_000], metavar="N")
    options = parser.parse_args(argv)
    by_size = {}
    for chunks in sorted(options.chunks):
        with tempfile.TemporaryDirectory(prefix="ragd-proof-") as name, faiss_threads(1):
            by_size[str(chunks)] = measured(Path(name), chunks)
            say(json.dumps(by_size[str(chunks)]))
    largest = by_size[str(max(options.chunks))]
    is_right = all(figures["found"] == 3 and figures["is_equal_after"] for figures in by_size.values())
    print(json.dumps({"digest_ms": largest["digest_ms"], "all_found": is_right, "sizes": by_size}))
    return 0 if is_right else 1


def measured(state: Path, chunks: int) -> Figures:
    """Every figure at one size."""
    say(f"{chunks} chunks: filling a catalog")
    opened = filled(state, chunks)
    try:
        live, source = opened.generations.serving, opened.reader.replay
        live.index.maintain()
        live.index.wait_settled(600)
        figures: Figures = {"kind": live.index.facts().kind}
        quick = [timed(verify, live.index, source, live.id)[0] for _ in range(51)]
        figures["digest_ms"] = round(1e3 * statistics.median(quick), 3)
        rows = [timed(verify, live.index, source, live.id, depth=Depth.ROWS)[0] for _ in range(5)]
        figures["rows_ms"] = round(1e3 * statistics.median(rows), 1)
        seconds, report = timed(verify, live.index, source, live.id, depth=Depth.FULL)
        assert report.is_clean
        assert report.catalog_chunks == chunks
        figures["full_s"] = round(seconds, 2)
        ids, vectors = source.live_vectors(live.id, live.index.ids()[:: chunks // 256][:256])
        applied = [timed(live.index.apply, ids, vectors, ids[:0])[0] for _ in range(9)]
        figures["apply256_us"] = round(1e6 * statistics.median(applied))
        return figures | damaged(opened)
    finally:
        opened.close()


def filled(state: Path, chunks: int) -> App:
    """An app whose catalog and index hold this many chunks."""
    config = Config.model_validate({"state": state, "collections": (Collection(name="b", folders=(state / "kb",)),)})
    opened = app.build(config, app.open_model(config), Nobody(), recheck=lambda _root, _path: None)
    ((root_id, _),) = opened.roots.items()
    documents = -(-chunks // CHUNKS_A_DOCUMENT)
    for start in range(0, documents, DOCUMENTS_AT_ONCE):
        numbers = range(start, min(start + DOCUMENTS_AT_ONCE, documents))
        opened.ingest.observe(root_id, [_seen(number) for number in numbers])
        waiting = opened.tables.documents.pending(DOCUMENTS_AT_ONCE)
        results = [ExtractResult(w.document_id, w.version, _read(w.path, chunks)) for w in waiting]
        opened.ingest.commit_text(results, time.time())
        answer_vectors(opened, seed=start)
    return opened


def damaged(opened: App) -> Figures:
    """Three damages that nobody is told of: how many a proof of the rows finds, and whether it mends them."""
    index: Any = opened.index
    ids = index.ids()
    served = index._index
    if index.facts().kind == "exact":
        served._codes()[0, 3] ^= 8
    else:
        import faiss

        lists = served._faiss.invlists
        number = next(n for n in range(served._faiss.nlist) if lists.list_size(n))
        faiss.rev_swig_ptr(lists.get_codes(number), served._faiss.code_size)[3] ^= 8
    served.remove(ids[-1:])
    served.upsert(ids[-1:] + 7, np.ones((1, index.dimension), np.float16))
    seconds, (report, is_mended) = timed(opened.prover.prove, Depth.ROWS, should_repair=True)
    clean = verify(index, opened.reader.replay, opened.generation_id, depth=Depth.FULL).is_clean
    wrong = len(report.missing) + len(report.ghosts) + len(report.differing)
    return {"found": wrong, "repair_s": round(seconds, 2), "is_equal_after": bool(is_mended and clean)}


def _seen(number: int) -> Observation:
    name = str(number).encode()
    return Observation(name, Presence.PRESENT, Stat(1, 1, 1, 1 + number), content_hash(name), seen_at=time.time())


def _read(path: bytes, chunks: int) -> Extraction:
    number = int(path)
    first = number * CHUNKS_A_DOCUMENT
    last = min(first + CHUNKS_A_DOCUMENT, chunks)
    pieces = tuple(Piece(f"chunk {at}", "", at - first, at - first + 1) for at in range(first, last))
    return Extraction(content_hash(path), "md", "", Stat(1, 1, 1, 1 + number), CHUNKS_A_DOCUMENT, pieces)


if __name__ == "__main__":
    sys.exit(main())
