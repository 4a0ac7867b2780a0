from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ragd.domain.errors import BadRequest, BrokerUnavailable, ModelMismatch, ModelUnavailable
from ragd.domain.index import EmbeddingSpace, EncoderSpec
from ragd.domain.work import ExtractBatch, ExtractItem, ReadLimits, SplitPolicy
from ragd.jobs.broker import Broker
from ragd.jobs.embedded import EmbeddedRedis
from ragd.jobs.hold import Hold
from ragd.jobs.payload import decode
from ragd.jobs.queue import Queues, TextAnswer
from ragd.jobs.settings import WorkerModel, WorkerSettings, publish
from ragd.jobs.worker import key_for, worker_main

SETTINGS = WorkerSettings(
    ReadLimits(),
    SplitPolicy("", 16, 64),
    (WorkerModel(EncoderSpec(threads=1), EmbeddingSpace("another", 384, "minilm", 256)),),
)


def test_a_kind_of_worker_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="unknown kind of worker 'brew'"):
        worker_main("brew", "redis://127.0.0.1:1/0", tmp_path)


def test_a_redis_that_is_away_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(BrokerUnavailable, match=r"redis://127\.0\.0\.1:1/0 cannot be used"):
        worker_main("extract", "redis://127.0.0.1:1/0", tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="no scheduling groups by session here")
def test_a_worker_stands_back_as_a_process_and_as_a_session_but_never_for_a_session_of_others() -> None:
    tell = (
        "import os; from ragd.jobs.worker import stand_back; stand_back(7);"
        "print(os.nice(0), 'nice 7' in open('/proc/self/autogroup').read())"
    )
    for own_session in (True, False):
        told = subprocess.run(
            [sys.executable, "-c", tell], start_new_session=own_session, capture_output=True, text=True, check=True
        )
        assert told.stdout.split() == ["7", str(own_session)]


def test_an_extract_worker_reads_real_files(
    server: EmbeddedRedis, broker: Broker, queues: Queues, tmp_path: Path
) -> None:
    (tmp_path / "note.md").write_text("# Title\n\nWords.\n")
    publish(broker, SETTINGS)
    queues.extract(ExtractBatch("bulk-1", os.fsencode(tmp_path), (ExtractItem(1, 7, b"note.md"),), False))
    assert worker_main("extract", server.url, tmp_path, burst=True) == 0
    taken = Hold(broker.connection, "index", "daemon").take(None)
    assert taken is not None
    (result,) = decode(TextAnswer, taken.task.body).results
    assert (result.document_id, result.version) == (1, 7)
    assert result.extraction is not None
    assert result.extraction.title == "Title"


def test_a_model_that_is_not_the_daemons_is_refused_at_the_start(
    server: EmbeddedRedis, broker: Broker, models: Path
) -> None:
    publish(broker, SETTINGS)
    with pytest.raises(ModelMismatch, match="the daemon's minilm is another") as caught:
        worker_main("embed", server.url, models)
    assert "copy the daemon's model folder" in caught.value.hint


def test_a_key_is_told_to_no_other_endpoint_than_its_own() -> None:
    ours, theirs = EncoderSpec(kind="openai", url="http://h/v1"), EncoderSpec(kind="openai", url="http://evil/v1")
    assert key_for(ours, "geheim", "http://h/v1/") == "geheim"
    assert key_for(EncoderSpec(), "geheim", "http://h/v1") == ""
    assert key_for(theirs, "", "") == ""
    for endpoint in ("http://h/v1", ""):
        with pytest.raises(ModelUnavailable, match="this worker's key is for") as caught:
            key_for(theirs, "geheim", endpoint)
        assert "geheim" not in f"{caught.value}{caught.value.hint}"
