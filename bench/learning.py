"""What the benchmarks of the model side share: a collection as a user has it, a constant load, runs awaited."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.quality import CHUNKS_ASKED, Collection, drop, ndcg
from ragd.cli.client import Client
from ragd.domain.errors import RagdError

ENDED = frozenset({"done", "failed", "stopped"})


@dataclass(frozen=True, slots=True)
class Laid:
    """A collection laid out for a daemon: the watched folder, document ids by path, and paths by document id."""

    folder: Path
    ids: Mapping[str, str]
    paths: Mapping[str, str]


def lay_out(collection: Collection, folder: Path) -> Laid:
    """Writes every document as a file."""
    ids = drop(collection, folder)
    return Laid(folder, ids, {document: path for path, document in ids.items()})


def split_queries(collection: Collection, share: float) -> tuple[list[str], list[str]]:
    """Judged queries in two parts that share no relevant document: those ragd is told, and those it never sees.

    `share` is about how many of the documents are for ragd. A query belongs to the side of its most relevant document
    (the first in order of the judgements); documents are put on a side by the hash of their id.
    """
    told: list[str] = []
    kept: list[str] = []
    for query, judgements in collection.judgements.items():
        relevant = [document for document, score in judgements.items() if score > 0]
        if query in collection.queries and relevant:
            best = max(relevant, key=lambda document: judgements[document])
            (told if _place(best) < share else kept).append(query)
    return told, kept


def _place(text: str) -> float:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) / 2**64


def write_pairs(collection: Collection, laid: Laid, queries: Sequence[str], path: Path) -> int:
    """A JSONL file of questions and the documents that answer them, a line a judgement; returns how many."""
    lines = [
        json.dumps({"id": query, "query": collection.queries[query], "document": laid.paths[document]})
        for query in queries
        for document, score in collection.judgements[query].items()
        if score > 0 and document in laid.paths
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(lines)


def gains(client: Client, collection: Collection, laid: Laid, queries: Sequence[str]) -> list[float]:
    """nDCG@10 of each query, asked by meaning alone over the socket."""
    found = []
    for query in queries:
        answer = client.search(q=collection.queries[query], mode="dense", limit=CHUNKS_ASKED)
        ranked = list(dict.fromkeys(laid.ids[hit["path"]] for hit in answer["hits"] if hit["path"] in laid.ids))
        found.append(ndcg(ranked, collection.judgements[query]))
    return found


@dataclass(slots=True)
class Load:
    """A constant load of searches by meaning: when each was answered, how long it took, and what failed."""

    at: list[float] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    answers: list[tuple[float, str, tuple[int, ...]]] = field(default_factory=list)


@contextmanager
def load_of(socket: Path, texts: Sequence[str], per_second: float) -> Iterator[Load]:
    """Asks the texts in turn, at this pace, until the block ends."""
    load = Load()
    ending = threading.Event()

    def ask() -> None:
        client, number = Client(socket, timeout_s=10.0), 0
        while not ending.wait(1 / per_second):
            text, begun = texts[number % len(texts)], time.perf_counter()
            number += 1
            try:
                hits = client.search(q=text, mode="dense", limit=10)["hits"]
            except RagdError as error:
                load.failed.append(f"{type(error).__name__}: {error}")
                continue
            load.at.append(time.time())
            load.took_s.append(time.perf_counter() - begun)
            load.answers.append((time.time(), text, tuple(hit["chunk_id"] for hit in hits)))
        client.close()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield load
    finally:
        ending.set()
        thread.join()


def await_run(client: Client, run: str, timeout_s: float) -> dict[str, Any]:
    """The run, once it ended."""
    deadline = time.monotonic() + timeout_s
    while True:
        found: dict[str, Any] = client.learn("GET", f"runs/{run}")
        if found["state"] in ENDED:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"run {run} after {timeout_s:g} s: {found}")
        time.sleep(0.2)


def await_firing(client: Client, trainer: str, timeout_s: float) -> dict[str, Any]:
    """The first run of a trainer, once it ended; the daemon begins it by itself."""
    deadline = time.monotonic() + timeout_s
    while True:
        runs = client.learn("GET", "runs", trainer=trainer)["runs"]
        if runs:
            return await_run(client, str(runs[-1]["id"]), max(1.0, deadline - time.monotonic()))
        if time.monotonic() > deadline:
            raise TimeoutError(f"{trainer} did not fire: {client.learn('GET', f'triggers/{trainer}')}")
        time.sleep(0.2)
