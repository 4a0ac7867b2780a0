"""How well ragd finds: a test collection with judgements, each document dropped as a file, asked over the socket.

    python -m bench.quality --collection ../shared/data/cranfield

The collection has BEIR's layout: `corpus.jsonl` (or .gz) with _id, title, text; `queries.jsonl` with _id, text;
`qrels.tsv` with query-id, corpus-id, score. A document's score is that of its best chunk. The last line is one
JSON object with nDCG@10 and recall@10 for each mode.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragd.cli.client import Client
from ragd.domain.errors import RagdError

MODES = ("words", "dense", "hybrid")
CHUNKS_ASKED = 100
FILES_A_FOLDER = 1000
Judgements = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Collection:
    """A test collection: (id, title, text) of documents, queries by id, judgements by query and document id."""

    documents: tuple[tuple[str, str, str], ...]
    queries: Mapping[str, str]
    judgements: Mapping[str, Judgements]


def main() -> int:
    """Runs the benchmark; 0 when every document was indexed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collection", type=Path, required=True, help="folder in BEIR's layout")
    parser.add_argument("--queries", type=int, default=0, metavar="N", help="ask N of the queries, evenly spread")
    parser.add_argument("--timeout", type=float, default=3600, metavar="S", help="seconds that indexing may take")
    given = parser.parse_args()
    collection = load(given.collection)
    judged = [
        query for query in collection.queries if any(s > 0 for s in collection.judgements.get(query, {}).values())
    ]
    asked = judged[:: max(1, len(judged) // given.queries)] if given.queries else judged
    with tempfile.TemporaryDirectory(prefix="ragd-quality-") as scratch:
        folder = Path(scratch) / "documents"
        ids = drop(collection, folder)
        with daemon(folder, Path(scratch) / "state") as client:
            started = time.monotonic()
            status = indexed(client, len(ids), given.timeout)
            print(f"indexed {len(ids)} documents in {time.monotonic() - started:.0f} s", flush=True)
            figures = {mode: measure(client, collection, asked, ids, mode) for mode in MODES}
    report = {
        "collection": given.collection.name,
        "documents": len(ids),
        "failed": status["documents"]["failed"],
        "chunks": status["chunks"]["total"],
        "queries": len(asked),
        **{name: {mode: figures[mode][name] for mode in MODES} for name in ("ndcg10", "recall10", "query_ms_p50")},
    }
    print(json.dumps(report))
    return 1 if report["failed"] else 0


def load(folder: Path) -> Collection:
    """Reads a collection."""
    documents = tuple((d["_id"], d.get("title", ""), d["text"]) for d in _lines(folder, "corpus.jsonl"))
    queries = {q["_id"]: q["text"] for q in _lines(folder, "queries.jsonl")}
    judgements: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        query, document, score = line.split("\t")
        judgements.setdefault(query, {})[document] = int(score)
    return Collection(documents, queries, judgements)


def _lines(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    path = folder / name
    packed = path.with_name(f"{name}.gz")
    with gzip.open(packed, "rt", encoding="utf-8") if packed.exists() else path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def drop(collection: Collection, folder: Path) -> dict[str, str]:
    """Writes each document as a Markdown file; returns document ids by path below the folder."""
    ids: dict[str, str] = {}
    for number, (document, title, text) in enumerate(collection.documents):
        path = f"{number // FILES_A_FOLDER:03}/{number:06}.md"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(f"# {title}\n\n{text}\n" if title else f"{text}\n", encoding="utf-8")
        ids[path] = document
    return ids


@contextmanager
def daemon(folder: Path, state: Path) -> Iterator[Client]:
    """A daemon on a folder, and a client of it."""
    command = [sys.executable, "-m", "ragd", "run", str(folder), "--state", str(state), "--quiet"]
    with subprocess.Popen(command) as process:
        client = Client(state / "ragd.sock")
        try:
            while True:
                try:
                    client.status()
                    break
                except RagdError:
                    if process.poll() is not None:
                        raise
                    time.sleep(0.1)
            yield client
        finally:
            client.close()
            process.send_signal(signal.SIGTERM)


def indexed(client: Client, documents: int, timeout_s: float) -> dict[str, Any]:
    """The status once every document is searchable by meaning, or failed."""
    deadline = time.monotonic() + timeout_s
    while True:
        status = client.status()
        counts = status["documents"]
        if counts["searchable"] + counts["failed"] >= documents:
            return status
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {timeout_s:g} s: {counts}")
        time.sleep(0.5)


def measure(
    client: Client, collection: Collection, asked: Sequence[str], ids: Mapping[str, str], mode: str
) -> dict[str, float]:
    """Mean nDCG@10 and recall@10 of one mode, and the median milliseconds of a query."""
    gains: list[float] = []
    recalls: list[float] = []
    took_ms: list[float] = []
    for query in asked:
        answer = client.search(q=collection.queries[query], mode=mode, limit=CHUNKS_ASKED)
        ranked = list(dict.fromkeys(ids[hit["path"]] for hit in answer["hits"]))
        gains.append(ndcg(ranked, collection.judgements[query]))
        recalls.append(recall(ranked, collection.judgements[query]))
        took_ms.append(answer["took_ms"])
    figures = {
        "ndcg10": round(statistics.fmean(gains), 4),
        "recall10": round(statistics.fmean(recalls), 4),
        "query_ms_p50": round(statistics.median(took_ms), 2),
    }
    print(f"{mode}: {figures}", flush=True)
    return figures


def ndcg(ranked: Sequence[str], judgements: Judgements, k: int = 10) -> float:
    """Normalised discounted cumulative gain of the first k documents (Järvelin and Kekäläinen, TOIS 2002)."""

    def discounted(gains: Sequence[int]) -> float:
        return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains[:k], start=1))

    ideal = discounted(sorted((max(score, 0) for score in judgements.values()), reverse=True))
    return discounted([max(judgements.get(document, 0), 0) for document in ranked]) / ideal


def recall(ranked: Sequence[str], judgements: Judgements, k: int = 10) -> float:
    """The share of the relevant documents that the first k hold."""
    relevant = {document for document, score in judgements.items() if score > 0}
    return len(relevant.intersection(ranked[:k])) / len(relevant)


if __name__ == "__main__":
    sys.exit(main())
