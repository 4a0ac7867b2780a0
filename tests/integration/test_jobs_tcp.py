"""Workers started by hand against a Redis on a TCP port with a password, as on another machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ragd.domain.errors import BrokerUnavailable
from ragd.domain.index import EmbeddingSpace, EncoderSpec
from ragd.domain.work import EmbedBatch, EmbedResult, ExtractBatch, ExtractItem, ReadLimits, SplitPolicy
from ragd.embed.encoder import open_encoder
from ragd.jobs.broker import Broker
from ragd.jobs.embedded import find_server
from ragd.jobs.hold import Hold, Task
from ragd.jobs.payload import decode, decode_vectors
from ragd.jobs.queue import Queues, TextAnswer
from ragd.jobs.roll import workers
from ragd.jobs.settings import WorkerModel, WorkerSettings, publish

BY_HAND = "import sys; from pathlib import Path; from ragd.jobs.worker import worker_main; "
BY_HAND += "import logging; logging.basicConfig(level=logging.INFO); "
BY_HAND += "sys.exit(worker_main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))"
SPEC = EncoderSpec(threads=1)
MODEL = WorkerModel(SPEC, EmbeddingSpace("f", 384, "m", 256))
SETTINGS = WorkerSettings(ReadLimits(), SplitPolicy("", 16, 64), (MODEL,))


def until(claim: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Waits until the claim holds, and fails when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not claim():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.01)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--requirepass", "p@ss word", "--save", ""]
    with (tmp_path / "redis.log").open("wb") as log:
        server = subprocess.Popen([find_server(), *options, "--dir", str(tmp_path)], stdout=log, stderr=log)
    broker = Broker(f"redis://:p%40ss%20word@127.0.0.1:{port}/3")

    def answers() -> bool:
        try:
            return bool(broker.check())
        except BrokerUnavailable:
            return False

    until(answers)
    yield broker
    broker.close()
    server.terminate()
    server.wait()


@pytest.fixture
def by_hand(broker: Broker, tmp_path: Path, models: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def start(kind: str) -> subprocess.Popen[bytes]:
        with (tmp_path / f"{kind}.log").open("wb") as log:
            started.append(
                subprocess.Popen([sys.executable, "-c", BY_HAND, kind, broker.url, str(models)], stderr=log, stdout=log)
            )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def answer(broker: Broker) -> Task:
    """The next answer for the daemon."""
    index = Hold(broker.connection, "index", "daemon")
    found: list[Task] = []

    def came() -> bool:
        taken = index.take(None)
        if taken is not None:
            index.finish(taken.task)
            found.append(taken.task)
        return bool(found)

    until(came)
    return found[0]


def embedded(broker: Broker, queues: Queues, fingerprint: str, batch_id: str) -> EmbedResult:
    queues.embed(EmbedBatch(batch_id, 1, fingerprint, (5, 6), ("a short text", "quite another, longer text"), False))
    return decode_vectors(answer(broker).body)


@pytest.mark.parametrize("secret", ["", ":guess@"])
def test_without_the_password_nothing_is_reached(broker: Broker, secret: str) -> None:
    with pytest.raises(BrokerUnavailable, match="cannot be used: the password is missing or wrong"):
        Broker(broker.url.replace(":p%40ss%20word@", secret)).check()


def test_files_are_read_by_a_worker_that_was_there_before_the_daemon(
    broker: Broker, by_hand: Callable[[str], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    (tmp_path / "kb").mkdir()
    (tmp_path / "kb" / "note.md").write_text("# A title\n\nSome words to find.\n")
    queues = Queues(broker)
    process = by_hand("extract")
    until(lambda: b"worker_waits what=daemon" in (tmp_path / "extract.log").read_bytes())
    assert b"ss word" not in (tmp_path / "extract.log").read_bytes()
    publish(broker, SETTINGS)
    root = os.fsencode(tmp_path / "kb")
    items = (ExtractItem(1, 1, b"note.md"), ExtractItem(2, 1, b"gone.md"))
    queues.extract(ExtractBatch("fresh-1", root, items, True))
    results = decode(TextAnswer, answer(broker).body).results
    assert results[0].extraction is not None
    assert "Some words to find." in results[0].extraction.pieces[0].text
    assert results[1].is_gone
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert workers(broker) == ()


def test_a_worker_starts_anew_when_the_daemon_comes_back_with_another_model(
    broker: Broker, by_hand: Callable[[str], subprocess.Popen[bytes]], models: Path
) -> None:
    queues = Queues(broker)
    specs = (SPEC, replace(SPEC, document_prompt="passage: "))
    encoders = [open_encoder(spec, models) for spec in specs]
    assert encoders[0].space.fingerprint != encoders[1].space.fingerprint
    process = by_hand("embed")
    for number, (spec, encoder) in enumerate(zip(specs, encoders, strict=True)):
        publish(broker, replace(SETTINGS, models=(WorkerModel(spec, encoder.space),)))
        result = embedded(broker, queues, encoder.space.fingerprint, f"bulk-{number}")
        wanted = encoder.encode(["a short text", "quite another, longer text"])
        found = np.stack([result.vectors[result.chunk_ids.index(chunk_id)] for chunk_id in (5, 6)])
        assert np.allclose(found, wanted, atol=2e-3)
        encoder.close()
    assert process.poll() is None
