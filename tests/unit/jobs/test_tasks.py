from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from ragd.domain.changes import Observation, Presence
from ragd.domain.documents import Extraction, Piece, Stat
from ragd.domain.index import EmbeddingSpace, EncoderSpec, Vectors
from ragd.domain.training import RunOutcome
from ragd.domain.work import EmbedBatch, EmbedResult, ExtractBatch, ExtractItem, ExtractResult
from ragd.embed.halt import Halt, Halted
from ragd.jobs.broker import Broker
from ragd.jobs.encoders import Encoders
from ragd.jobs.hold import Handler
from ragd.jobs.loop import run_worker
from ragd.jobs.options import WorkerOptions
from ragd.jobs.queue import Queues, RunEnded, RunProgress, RunWantsFiles, Trouble
from ragd.jobs.settings import WorkerModel
from ragd.jobs.tasks import embed_handlers, extract_handlers, index_handlers, tell_trouble


@dataclass
class Daemon:
    """Remembers what came back."""

    plans: list[tuple[int, tuple[Observation, ...]]] = field(default_factory=list)
    texts: list[tuple[str, tuple[ExtractResult, ...]]] = field(default_factory=list)
    vectors: list[EmbedResult] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    runs: list[RunProgress | RunEnded | RunWantsFiles] = field(default_factory=list)
    ticks: int = 0

    def plan(self, root_id: int, observations: Sequence[Observation]) -> None:
        self.plans.append((root_id, tuple(observations)))

    def commit_text(self, batch_id: str, results: Sequence[ExtractResult], extracted_at: float) -> None:
        assert extracted_at > 0
        self.texts.append((batch_id, tuple(results)))

    def commit_vectors(self, result: EmbedResult) -> None:
        self.vectors.append(result)

    def trouble(self, trouble: Trouble) -> None:
        self.troubles.append(trouble)

    def run_progress(self, progress: RunProgress) -> None:
        self.runs.append(progress)

    def run_ended(self, ended: RunEnded) -> None:
        self.runs.append(ended)

    def run_wants_files(self, wanted: RunWantsFiles) -> None:
        self.runs.append(wanted)

    def tick(self) -> None:
        self.ticks += 1


class Letters:
    """An encoder that is small and always says the same of the same text."""

    slice_tokens = 8
    space = EmbeddingSpace("letters-1", 8, "letters", 256)

    def __init__(self, before: Callable[[int], None] = lambda _: None) -> None:
        self.calls = 0
        self._before = before

    def encode(self, texts: Sequence[str]) -> Vectors:
        self._before(self.calls)
        self.calls += 1
        rows = np.stack([self.encode_query(text) for text in texts])
        return rows.astype(np.float32)

    def encode_query(self, text: str) -> Vectors:
        raw = np.frombuffer(hashlib.blake2b(text.encode(), digest_size=8).digest(), np.uint8).astype(np.float32)
        unit: Vectors = raw / np.linalg.norm(raw)
        return unit

    def close(self) -> None:
        pass


class Reads:
    """Finds in every file its own path, and fails on those named bad."""

    def extract(self, root: bytes, item: ExtractItem) -> ExtractResult:
        if item.path == b"bad":
            return ExtractResult(item.document_id, item.version, None, reason="it is bad", hint="mend it")
        found = Extraction(b"h" * 16, "txt", item.path.decode(), Stat(1, 2, 3, 4), 1, ())
        return ExtractResult(item.document_id, item.version, found)


def drain(broker: Broker, queues: Queues, daemon: Daemon) -> None:
    run_worker("index", broker, index_handlers(daemon), WorkerOptions(burst=True))


def work(queue: str, broker: Broker, queues: Queues, handlers: dict[str, Handler]) -> None:
    options = WorkerOptions(failed=tell_trouble(queues, queue), burst=True)
    run_worker(queue, broker, handlers, options)


def only(encoder: Letters) -> Encoders:
    """One published model."""
    encoders = Encoders(lambda _spec: encoder)
    encoders.publish([WorkerModel(EncoderSpec(), encoder.space)])
    return encoders


def test_files_are_answered_in_parts_so_that_the_first_are_found_early(broker: Broker, queues: Queues) -> None:
    items = tuple(ExtractItem(i, 1, b"bad" if i == 3 else b"%d" % i) for i in range(40))
    queues.extract(ExtractBatch("bulk-1", b"/root", items, False))
    daemon = Daemon()
    work("extract", broker, queues, dict(extract_handlers(queues, Reads(), clock=lambda: 0.0)))
    drain(broker, queues, daemon)
    assert [len(results) for _, results in daemon.texts] == [16, 16, 8]
    answered = [result for _, results in daemon.texts for result in results]
    assert [result.document_id for result in answered] == list(range(40))
    assert (answered[3].extraction, answered[3].reason) == (None, "it is bad")


def test_a_job_for_a_folder_that_is_not_this_workers_is_refused(broker: Broker, queues: Queues) -> None:
    daemon = Daemon()
    for root in (b"/etc", b"/root/../etc", b"/roo", b"/root/"):
        queues.extract(ExtractBatch("foreign", root, (ExtractItem(1, 1, b"shadow"),), False))
    work("extract", broker, queues, dict(extract_handlers(queues, Reads(), roots=[b"/root"])))
    drain(broker, queues, daemon)
    assert daemon.texts == []
    assert len(daemon.troubles) == 4
    assert all("none of this worker's folders" in trouble.reason for trouble in daemon.troubles)
    queues.extract(ExtractBatch("own", b"/root", (ExtractItem(1, 1, b"a"),), False))
    work("extract", broker, queues, dict(extract_handlers(queues, Reads(), roots=[b"/root"])))
    drain(broker, queues, daemon)
    assert len(daemon.texts) == 1


def test_slow_files_are_answered_after_a_second_each(broker: Broker, queues: Queues) -> None:
    now = iter(range(100))
    queues.extract(ExtractBatch("bulk-1", b"/root", tuple(ExtractItem(i, 1, b"a") for i in range(3)), False))
    daemon = Daemon()
    work("extract", broker, queues, dict(extract_handlers(queues, Reads(), clock=lambda: float(next(now)))))
    drain(broker, queues, daemon)
    assert [len(results) for _, results in daemon.texts] == [1, 1, 1]


def test_a_backfill_of_files_makes_way_for_a_fresh_one(broker: Broker, queues: Queues) -> None:
    class Interrupted(Reads):
        def extract(self, root: bytes, item: ExtractItem) -> ExtractResult:
            if item.document_id == 2:
                queues.extract(ExtractBatch("fresh-1", b"/root", (ExtractItem(99, 1, b"now"),), True))
            return super().extract(root, item)

    items = tuple(ExtractItem(i, 1, b"%d" % i) for i in range(6))
    queues.extract(ExtractBatch("bulk-1", b"/root", items, False))
    daemon, now = Daemon(), iter(range(1000))
    work("extract", broker, queues, dict(extract_handlers(queues, Interrupted(), clock=lambda: next(now) / 50)))
    drain(broker, queues, daemon)
    answered = [result.document_id for _, results in daemon.texts for result in results]
    assert sorted(answered) == [0, 1, 2, 3, 4, 5, 99]
    assert "fresh-1" in [batch_id for batch_id, _ in daemon.texts[:2]]


def test_many_chunks_are_answered_at_once_so_that_no_commit_takes_long(broker: Broker, queues: Queues) -> None:
    class Large(Reads):
        def extract(self, root: bytes, item: ExtractItem) -> ExtractResult:
            pieces = tuple(Piece(f"{item.document_id} {n}", "", n, n + 1) for n in range(100))
            found = Extraction(b"h" * 16, "txt", "", Stat(1, 2, 3, 4), 100, pieces)
            return ExtractResult(item.document_id, item.version, found)

    items = tuple(ExtractItem(i, 1, b"%d" % i) for i in range(5))
    queues.extract(ExtractBatch("bulk-1", b"/root", items, False))
    daemon = Daemon()
    work("extract", broker, queues, dict(extract_handlers(queues, Large(), clock=lambda: 0.0)))
    drain(broker, queues, daemon)
    assert [len(results) for _, results in daemon.texts] == [2, 2, 1]


def test_every_text_gets_the_vector_of_its_own_chunk(broker: Broker, queues: Queues) -> None:
    texts = tuple("word " * (n % 7 + 1) for n in range(20))
    queues.embed(EmbedBatch("bulk-1", 4, "letters-1", tuple(range(100, 120)), texts))
    daemon, encoder = Daemon(), Letters()
    work("embed", broker, queues, dict(embed_handlers(queues, only(encoder))))
    drain(broker, queues, daemon)
    (result,) = daemon.vectors
    assert (result.batch_id, result.generation, result.encoded_chars) == ("bulk-1", 4, sum(map(len, texts)))
    for chunk_id, vector in zip(result.chunk_ids, result.vectors, strict=True):
        assert np.allclose(vector, encoder.encode_query(texts[chunk_id - 100]), atol=1e-3)


def test_a_backfill_makes_way_for_a_fresh_edit_and_loses_nothing(broker: Broker, queues: Queues) -> None:
    def interrupt(call: int) -> None:
        if call == 1:
            queues.embed(EmbedBatch("fresh-1", 1, "letters-1", (999,), ("new",), True))

    chunk_ids = tuple(range(30))
    queues.embed(EmbedBatch("bulk-1", 1, "letters-1", chunk_ids, tuple(f"text {n}" for n in chunk_ids)))
    queues.embed(EmbedBatch("bulk-2", 1, "letters-1", (77,), ("later",)))
    daemon = Daemon()
    work("embed", broker, queues, dict(embed_handlers(queues, only(Letters(interrupt)))))
    drain(broker, queues, daemon)
    assert [result.batch_id for result in daemon.vectors] == ["fresh-1", "bulk-1", "bulk-1", "bulk-2"]
    done = [chunk_id for result in daemon.vectors if result.batch_id == "bulk-1" for chunk_id in result.chunk_ids]
    assert sorted(done) == list(chunk_ids)


def test_a_backfill_gets_on_however_fast_fresh_edits_come(broker: Broker, queues: Queues) -> None:
    class Interrupted(Letters):
        halted = 0

        def encode_until(self, texts: Sequence[str], halt: Halt) -> Vectors:
            if self.halted >= 12:
                return self.encode(texts)
            self.halted += 1
            told = threading.Event()
            halt.listen(told.set)
            queues.embed(EmbedBatch(f"fresh-{self.halted}", 1, "letters-1", (500 + self.halted,), ("new",), True))
            assert told.wait(10)
            raise Halted

    queues.embed(EmbedBatch("bulk-1", 1, "letters-1", (1, 2), ("one " * 20, "two " * 20)))
    daemon = Daemon()
    work("embed", broker, queues, dict(embed_handlers(queues, only(Interrupted()))))
    drain(broker, queues, daemon)
    order = [result.batch_id for result in daemon.vectors]
    assert order.count("bulk-1") == 1
    assert [batch_id for batch_id in order if batch_id != "bulk-1"] == [f"fresh-{n}" for n in range(1, 9)]


def test_a_fresh_edit_never_makes_way(broker: Broker, queues: Queues) -> None:
    def interrupt(call: int) -> None:
        if call == 0:
            queues.embed(EmbedBatch("fresh-2", 1, "letters-1", (1,), ("two",), True))

    queues.embed(EmbedBatch("fresh-1", 1, "letters-1", tuple(range(9)), tuple(f"text {n}" for n in range(9)), True))
    daemon = Daemon()
    work("embed", broker, queues, dict(embed_handlers(queues, only(Letters(interrupt)))))
    drain(broker, queues, daemon)
    assert [len(result.chunk_ids) for result in daemon.vectors] == [9, 1]


def test_a_batch_for_another_model_is_refused_where_everyone_sees_it(
    broker: Broker, queues: Queues, caplog: pytest.LogCaptureFixture
) -> None:
    queues.embed(EmbedBatch("bulk-1", 1, "other-1", (1,), ("text",)))
    daemon, encoder = Daemon(), Letters()
    work("embed", broker, queues, dict(embed_handlers(queues, only(encoder))))
    drain(broker, queues, daemon)
    assert encoder.calls == 0
    assert daemon.vectors == []
    (trouble,) = daemon.troubles
    assert (trouble.queue, trouble.batch_id, trouble.is_lost) == ("embed", "bulk-1", False)
    assert "is for the model other-1; the daemon published letters-1" in trouble.reason
    assert "job_failed task=embed batch=bulk-1" in caplog.text


def test_what_was_seen_reaches_the_daemon(broker: Broker, queues: Queues) -> None:
    seen = (Observation(b"a\xff", Presence.PRESENT, Stat(1, 2, 3, 4), fresh=True), Observation(b"b", Presence.GONE))
    queues.plan(7, seen, is_fresh=True)
    queues.tick()
    daemon = Daemon()
    drain(broker, queues, daemon)
    assert daemon.plans == [(7, seen)]
    assert daemon.ticks == 1


def test_a_body_that_is_not_ours_is_refused_and_told(broker: Broker, queues: Queues) -> None:
    queues.extract(ExtractBatch("bulk-1", b"/root", (), False))
    broker.connection.set("ragd:in:bulk-1", b"\x80\x04.")
    daemon = Daemon()
    work("extract", broker, queues, dict(extract_handlers(queues, Reads())))
    drain(broker, queues, daemon)
    assert "ExtractBatch: not JSON" in daemon.troubles[0].reason


def test_a_worker_that_is_to_stop_hands_back_what_it_has_not_done(broker: Broker, queues: Queues) -> None:
    queues.extract(ExtractBatch("bulk-1", b"/root", tuple(ExtractItem(i, 1, b"a") for i in range(3)), False))
    queues.embed(EmbedBatch("bulk-2", 1, "letters-1", tuple(range(9)), tuple(f"text {n}" for n in range(9))))
    daemon = Daemon()
    work("extract", broker, queues, dict(extract_handlers(queues, Reads(), is_stopping=lambda: True)))
    work("embed", broker, queues, dict(embed_handlers(queues, only(Letters()), is_stopping=lambda: True)))
    drain(broker, queues, daemon)
    assert [len(results) for _, results in daemon.texts] == [1, 1, 1]
    assert len(daemon.vectors) > 1
    assert sorted(i for result in daemon.vectors for i in result.chunk_ids) == list(range(9))


def test_vectors_that_are_not_numbers_never_reach_the_catalog(broker: Broker, queues: Queues) -> None:
    class Broken(Letters):
        def encode(self, texts: Sequence[str]) -> Vectors:
            return np.full_like(super().encode(texts), np.nan)

    queues.embed(EmbedBatch("bulk-1", 1, "letters-1", (1,), ("text",)))
    daemon = Daemon()
    work("embed", broker, queues, dict(embed_handlers(queues, only(Broken()))))
    drain(broker, queues, daemon)
    assert daemon.vectors == []
    assert ["not finite" in trouble.reason for trouble in daemon.troubles] == [True]


def test_what_is_told_of_runs_comes_to_the_daemon_as_it_was_told(queues: Queues, broker: Broker) -> None:
    told = (
        RunProgress("run-1", 1, 5.0, 3, 10, {"loss": 0.25}),
        RunWantsFiles("run-1", ("encoder",)),
        RunEnded("run-1", RunOutcome("trained", files={"a.safetensors": "0" * 64}, loss=0.125), is_remote=True),
    )
    queues.run_progress(told[0])
    queues.run_wants_files(told[1])
    queues.run_ended(told[2])
    daemon = Daemon()
    run_worker("index", broker, index_handlers(daemon), WorkerOptions(burst=True))
    assert sorted(map(str, daemon.runs)) == sorted(map(str, told))
