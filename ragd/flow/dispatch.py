"""What is handed to the workers: bounded work in flight, fresh edits first, everything else waits in the catalog."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ragd.catalog.documents import Documents, Pending
from ragd.catalog.vectors import Vectors
from ragd.domain.clock import is_due
from ragd.domain.errors import BrokerUnavailable, PayloadInvalid
from ragd.domain.work import EmbedBatch, EmbedResult, ExtractBatch, ExtractItem, ExtractResult, Outbox
from ragd.flow.generations import Generations, Live
from ragd.flow.suspects import Suspects

_SUSPECT_ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may be in flight at once, so that memory stays flat however large the folder is."""

    extract_files: int = 64
    extract_bytes: int = 16 * 1024 * 1024
    extract_batches: int = 3
    embed_chunks: int = 128
    embed_batches: int = 2
    fresh_batches: int = 8
    lost_after_s: float = 5.0
    pause_s: tuple[float, float] = (1.0, 60.0)


@dataclass(slots=True)
class InFlight:
    """One batch that a worker has or will have: documents with the version that was sent, or chunks of a generation.

    `fresh` says that it goes ahead of others in its queue.
    """

    fresh: bool
    sent_at: float
    documents: dict[int, int] = field(default_factory=dict)
    generation: int = 0
    chunks: set[int] = field(default_factory=set)


@dataclass(slots=True)
class Pause:
    """How often in a row a generation's encoder refused a batch, when last, and for how long it is left alone."""

    failures: int = 0
    since: float = 0.0
    wait_s: float = 0.0


class Dispatch:
    """Tops up the queues from the catalog; knows what is in flight. Lives in the daemon's main thread.

    Embed work goes out in this order: fresh edits of the generation that serves, those of the other live ones, the
    backfill of the serving one, then, while `may_fill()` says so, that of the others.
    """

    def __init__(
        self,
        documents: Documents,
        vectors: Vectors,
        outbox: Outbox,
        *,
        roots: Mapping[int, bytes],
        generations: Generations,
        bounds: Bounds,
        may_fill: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._documents = documents
        self._vectors = vectors
        self._outbox = outbox
        self._roots = roots
        self._generations = generations
        self._bounds = bounds
        self._clock = clock
        self._extracting: dict[str, InFlight] = {}
        self._embedding: dict[str, InFlight] = {}
        self._pauses: dict[int, Pause] = {}
        self._suspects = Suspects(clock)
        self.may_fill = may_fill
        self.embed_workers = 1

    def step(self) -> None:
        """Sends what may be sent now. A broker that is away is tried again at the next step."""
        try:
            self._send_extracts()
            self._send_embeds()
        except BrokerUnavailable:
            return

    @property
    def in_flight(self) -> tuple[int, int]:
        """Documents being extracted and chunks being embedded."""
        return (
            sum(len(batch.documents) for batch in self._extracting.values()),
            sum(len(batch.chunks) for batch in self._embedding.values()),
        )

    def asked_text(self, batch_id: str, results: Sequence[ExtractResult]) -> tuple[ExtractResult, ...]:
        """Those of an answer's results that this batch asked for and that did not come yet: a worker may err."""
        batch = self._extracting.get(batch_id)
        wanted = batch.documents if batch is not None else {}
        return tuple(result for result in results if wanted.get(result.document_id) == result.version)

    def asked_vectors(self, result: EmbedResult) -> EmbedResult | None:
        """What of an answer its batch asked for and did not get yet; None for nothing. Raises PayloadInvalid.

        Vectors of another dimension or generation are refused: stored, they would be refused by the index for ever.
        """
        batch = self._embedding.get(result.batch_id)
        if batch is None:
            return None
        live = self._generations.get(batch.generation)
        if live is not None and (result.generation, result.vectors.shape[1]) != (live.id, live.space.dimension):
            raise PayloadInvalid(
                f"an embed worker answered {result.vectors.shape[1]} numbers a vector for generation "
                f"{result.generation}; generation {live.id} has {live.space.dimension}",
                hint="see that every worker runs this version of ragd with the daemon's model",
            )
        rows = [at for at, chunk_id in enumerate(result.chunk_ids) if chunk_id in batch.chunks]
        if len(rows) == len(result.chunk_ids):
            return result
        if not rows:
            return None
        return replace(
            result, chunk_ids=tuple(result.chunk_ids[at] for at in rows), vectors=result.vectors[rows], encoded_chars=0
        )

    def extracted(self, answered: Iterable[tuple[int, int]]) -> None:
        """These documents came back, each in the version given; a newer one that was sent since stays out."""
        done = set(answered)
        for batch_id, batch in list(self._extracting.items()):
            for document_id, _ in done & batch.documents.items():
                batch.documents.pop(document_id)
            if not batch.documents:
                del self._extracting[batch_id]

    def embedded(self, generation: int, chunk_ids: Iterable[int]) -> None:
        """These chunks came back with vectors of this generation."""
        self._pauses.pop(generation, None)
        gone = set(chunk_ids)
        self._suspects.passed(generation, gone)
        for batch_id, batch in list(self._embedding.items()):
            if batch.generation == generation:
                batch.chunks -= gone
                if not batch.chunks:
                    del self._embedding[batch_id]

    def forget(self, generation: int) -> None:
        """Nothing of this generation is awaited any more: it was retired."""
        self._pauses.pop(generation, None)
        self._suspects.forget(generation)
        self._embedding = {i: batch for i, batch in self._embedding.items() if batch.generation != generation}

    def lost(self, batch_id: str, reason: str) -> None:
        """Workers died over this batch: what is in it goes out again, in smaller parts, in the end one by one."""
        batch = self._extracting.pop(batch_id, None)
        if batch is not None:
            self._documents.attempt(list(batch.documents))
        chunks = self._embedding.pop(batch_id, None)
        if chunks is not None:
            self._suspects.failed(chunks.generation, chunks.chunks, reason)

    def embed_failed(self, batch_id: str, reason: str) -> float | None:
        """The encoder refused a batch: its generation's chunks wait; returns for how many seconds (it grows).

        0 where the one chunk of the batch is to blame, and set aside; None for a batch that is awaited no more, of a
        generation that was retired perhaps: it says nothing of the others.
        """
        batch = self._embedding.pop(batch_id, None)
        if batch is None:
            return None
        if self._suspects.failed(batch.generation, batch.chunks, reason):
            return 0.0
        pause = self._pauses.setdefault(batch.generation, Pause())
        shortest, longest = self._bounds.pause_s
        wait_s = min(longest, shortest * 2**pause.failures)
        pause.failures += 1
        pause.since, pause.wait_s = self._clock(), wait_s
        return float(wait_s)

    def set_aside(self, generation: int) -> Mapping[int, str]:
        """Chunks that failed alone while others passed, and why: for an hour they are left out. Any thread."""
        return self._suspects.aside(generation)

    def find_lost(self, is_alive: Callable[[str], bool]) -> int:
        """Forgets batches that Redis no longer knows, so that they are sent again; returns how many."""
        now = self._clock()
        lost = [
            (flying, batch_id)
            for flying in (self._extracting, self._embedding)
            for batch_id, batch in flying.items()
            if is_due(now, batch.sent_at, self._bounds.lost_after_s) and not is_alive(batch_id)
        ]
        for flying, batch_id in lost:
            del flying[batch_id]
        return len(lost)

    def _send_extracts(self) -> None:
        flying = {document: version for b in self._extracting.values() for document, version in b.documents.items()}
        bulk = sum(not batch.fresh for batch in self._extracting.values())
        fresh = len(self._extracting) - bulk
        if bulk >= self._bounds.extract_batches and fresh >= self._bounds.fresh_batches:
            return
        waiting = self._documents.pending(len(flying) + self._bounds.extract_files * self._bounds.extract_batches)
        free = [p for p in waiting if p.root_id in self._roots and flying.get(p.document_id) != p.version]
        for batch in _batches(free, self._bounds):
            if batch[0].fresh:
                if fresh >= self._bounds.fresh_batches:
                    continue
                fresh += 1
            else:
                if bulk >= self._bounds.extract_batches:
                    continue
                bulk += 1
            self._send_extract(batch)

    def _send_extract(self, batch: list[Pending]) -> None:
        sent = ExtractBatch(
            id=_batch_id(batch[0].fresh),
            root=self._roots[batch[0].root_id],
            items=tuple(ExtractItem(p.document_id, p.version, p.path) for p in batch),
            fresh=batch[0].fresh,
        )
        self._outbox.extract(sent)
        self._extracting[sent.id] = InFlight(
            batch[0].fresh, self._clock(), documents={p.document_id: p.version for p in batch}
        )

    def _send_embeds(self) -> None:
        now = self._clock()
        paused = {id_ for id_, pause in self._pauses.items() if not is_due(now, pause.since, pause.wait_s)}
        ready = [live for live in self._generations.all if live.is_embeddable and live.id not in paused]
        serving = [live for live in ready if live.id == self._generations.serving.id]
        others = [live for live in ready if live.id != self._generations.serving.id]
        for live in serving:
            self._send_embed(live, fresh=True, ahead=True)
        # Nobody waits for these: they go before a backfill, but not ahead of what is fresh where it is searched.
        for live in others:
            self._send_embed(live, fresh=True, ahead=False)
        for live in serving:
            self._send_embed(live, fresh=False, ahead=False)
        if others and self.may_fill():
            for live in others:
                self._send_embed(live, fresh=False, ahead=False)

    def _send_embed(self, live: Live, *, fresh: bool, ahead: bool) -> None:
        allowed = self._bounds.fresh_batches if ahead else self._bounds.embed_batches * max(1, self.embed_workers)
        flying = sum(batch.fresh == ahead for batch in self._embedding.values())
        if flying >= allowed:
            return
        busy = set().union(*(batch.chunks for batch in self._embedding.values() if batch.generation == live.id))
        size = self._bounds.embed_chunks
        passed_over = len(busy) + self._suspects.count(live.id)
        waiting = self._vectors.to_embed(live.id, passed_over + size * (allowed - flying), fresh=fresh)
        aside = self._suspects.aside(live.id)
        free = [chunk_id for chunk_id in waiting if chunk_id not in busy and chunk_id not in aside]
        for together in itertools.islice(self._suspects.batches(live.id, free, size), allowed - flying):
            chunk_ids, texts = self._vectors.texts(together)
            batch = EmbedBatch(_batch_id(ahead), live.id, live.space.fingerprint, chunk_ids, texts, ahead)
            self._outbox.embed(batch)
            self._embedding[batch.id] = InFlight(ahead, self._clock(), generation=live.id, chunks=set(chunk_ids))


def _batches(free: list[Pending], bounds: Bounds) -> Iterator[list[Pending]]:
    """Groups of one root and one urgency; a document that cost workers before travels alone."""
    batch: list[Pending] = []
    size_bytes = 0
    for item in free:
        alone = item.attempts >= _SUSPECT_ATTEMPTS
        fits = (
            batch
            and not alone
            and (item.root_id, item.fresh) == (batch[0].root_id, batch[0].fresh)
            and len(batch) < bounds.extract_files
            and size_bytes + item.size_bytes <= bounds.extract_bytes
        )
        if batch and not fits:
            yield batch
            batch, size_bytes = [], 0
        batch.append(item)
        size_bytes += item.size_bytes
        if alone:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch


def _batch_id(fresh: bool) -> str:
    return f"{'fresh' if fresh else 'bulk'}-{uuid.uuid4().hex}"
