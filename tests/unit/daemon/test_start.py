"""A daemon that starts on a Redis which others use too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ragd.config.schema import Config
from ragd.daemon import run
from ragd.disk.lock import StateLock
from ragd.domain.errors import ModelUnavailable
from ragd.jobs.broker import OWNER_KEY, Broker
from ragd.jobs.embedded import EmbeddedRedis


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    server = EmbeddedRedis(tmp_path / "b")
    server.start()
    broker = Broker(server.url)
    yield broker
    broker.close()
    server.stop()


def test_the_database_is_its_own_while_it_opens_model_and_index(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_ms: list[int] = []

    def opened(config: Config) -> None:  # an encoder is exported here, and then an index built: minutes, perhaps
        left_ms.append(broker.connection.pttl(OWNER_KEY))
        raise ModelUnavailable("no model")

    monkeypatch.setattr("ragd.app.open_model", opened)
    config = Config.model_validate({"state": tmp_path / "state", "redis": {"url": broker.url}})
    with ExitStack() as stack, pytest.raises(ModelUnavailable):
        run.Daemon(config, stack, stack.enter_context(StateLock(config.state)), None, says=False)
    (left,) = left_ms
    assert left > 120_000
    assert not broker.connection.exists(OWNER_KEY)  # given back
