from __future__ import annotations

from dataclasses import replace

import pytest

from ragd.domain.errors import PayloadInvalid
from ragd.domain.index import EmbeddingSpace, EncoderSpec
from ragd.domain.work import ExtractBatch, ReadLimits, SplitPolicy
from ragd.jobs.broker import SETTINGS_KEY, Broker
from ragd.jobs.loop import run_worker
from ragd.jobs.options import Ending, WorkerOptions
from ragd.jobs.queue import Queues
from ragd.jobs.settings import WorkerModel, WorkerSettings, publish, published

SETTINGS = WorkerSettings(
    ReadLimits(),
    SplitPolicy("/models/tokenizer.json", 64, 256),
    (WorkerModel(EncoderSpec(), EmbeddingSpace("f", 384, "m", 256)),),
    10,
)


def test_workers_read_what_the_daemon_published(broker: Broker) -> None:
    assert published(broker) is None
    revision = publish(broker, SETTINGS)
    assert published(broker) == (SETTINGS, revision)


def test_equal_settings_have_one_revision_and_others_another(broker: Broker) -> None:
    assert publish(broker, SETTINGS) == publish(broker, SETTINGS)
    assert publish(broker, SETTINGS) != publish(broker, replace(SETTINGS, nice=0))


def test_a_daemon_that_starts_makes_workers_wait_for_its_own_settings(broker: Broker, queues: Queues) -> None:
    revision = publish(broker, SETTINGS)
    broker.reset()
    queues.extract(ExtractBatch("bulk-1", b"/", (), False))
    assert published(broker) is None
    options = WorkerOptions(revision=revision, burst=True)
    assert run_worker("extract", broker, {}, options) is Ending.SETTINGS_CHANGED
    assert queues.lengths()["extract"] == 1


def test_settings_of_another_version_are_refused_with_the_remedy(broker: Broker) -> None:
    publish(broker, SETTINGS)
    broker.connection.set(SETTINGS_KEY, b'{"limits": 1}')
    with pytest.raises(PayloadInvalid, match="the daemon's settings cannot be read") as caught:
        published(broker)
    assert "same version" in caught.value.hint
