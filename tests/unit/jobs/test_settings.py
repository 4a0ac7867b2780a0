from __future__ import annotations

from dataclasses import replace

import pytest

from ragd.domain.errors import PayloadInvalid
from ragd.domain.index import EmbeddingSpace, EncoderSpec
from ragd.domain.work import ReadLimits, SplitPolicy
from ragd.jobs.broker import Broker
from ragd.jobs.settings import SETTINGS_KEY, WorkerSettings, publish, published

SETTINGS = WorkerSettings(
    ReadLimits(), SplitPolicy("/models/tokenizer.json", 64, 256), EncoderSpec(), EmbeddingSpace("f", 384, "m", 256), 10
)


def test_workers_read_what_the_daemon_published(broker: Broker) -> None:
    assert published(broker) is None
    revision = publish(broker, SETTINGS)
    assert published(broker) == (SETTINGS, revision)


def test_equal_settings_have_one_revision_and_others_another(broker: Broker) -> None:
    assert publish(broker, SETTINGS) == publish(broker, SETTINGS)
    assert publish(broker, SETTINGS) != publish(broker, replace(SETTINGS, nice=0))


def test_settings_of_another_version_are_refused_with_the_remedy(broker: Broker) -> None:
    publish(broker, SETTINGS)
    broker.connection.set(SETTINGS_KEY, b'{"limits": 1}')
    with pytest.raises(PayloadInvalid, match="the daemon's settings cannot be read") as caught:
        published(broker)
    assert "same version" in caught.value.hint
