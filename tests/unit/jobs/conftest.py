"""A real Redis of the tests' own, empty for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ragd.jobs.broker import Broker
from ragd.jobs.embedded import EmbeddedRedis
from ragd.jobs.queue import Queues


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    folder: Path = tmp_path_factory.mktemp("r") / "b"
    server = EmbeddedRedis(folder)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def broker(server: EmbeddedRedis) -> Iterator[Broker]:
    broker = Broker(server.url)
    broker.connection.flushdb()
    yield broker
    broker.close()


@pytest.fixture
def queues(broker: Broker) -> Queues:
    return Queues(broker)
