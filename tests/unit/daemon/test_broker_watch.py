from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ragd.daemon.broker_watch import HUNG_S, BrokerWatch
from ragd.domain.errors import BrokerInUse, BrokerUnavailable
from ragd.domain.work import ReadLimits, SplitPolicy
from ragd.jobs.broker import SETTINGS_KEY, Broker
from ragd.jobs.embedded import EmbeddedRedis
from ragd.jobs.settings import WorkerSettings, published

SETTINGS = WorkerSettings(ReadLimits(), SplitPolicy("", 100, 256), ())


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Site:
    """A private Redis, watched; what was forgotten and how often the server was to end is counted."""

    def __init__(self, folder: Path) -> None:
        self.server = EmbeddedRedis(folder / "b")
        self.server.start()
        self.broker = Broker(self.server.url, timeout_s=0.2)
        self.clock = Clock()
        self.forgotten = self.ended = 0
        self.watch = BrokerWatch(
            self.broker, "mine", lambda: SETTINGS, self.forget, end_server=self.end, clock=self.clock
        )

    def forget(self) -> None:
        self.forgotten += 1

    def end(self) -> None:
        self.ended += 1

    def told(self) -> bool:
        found = published(self.broker)
        return found is not None and found[0] == SETTINGS


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.broker.close()
    made.server.stop()


def test_workers_are_told_and_folders_walked_again_whatever_redis_forgot(site: Site) -> None:
    site.watch.step()
    assert site.told()
    assert site.forgotten == 0
    site.watch.step()
    assert site.forgotten == 0
    site.broker.connection.flushall()
    site.watch.step()
    assert (site.told(), site.forgotten) == (True, 1)
    site.broker.connection.set(SETTINGS_KEY, b"\xff rubbish")
    site.watch.step()
    assert (site.told(), site.forgotten) == (True, 2)
    site.broker.connection.set("rq:queue:extract", "rubbish")
    site.watch.step()
    assert (site.told(), site.forgotten) == (True, 3)


def test_a_full_redis_is_named_with_its_remedy_until_there_is_room(site: Site) -> None:
    site.watch.step()
    site.broker.connection.config_set("maxmemory", "1000")
    with pytest.raises(BrokerUnavailable, match="memory is full"):
        site.watch.step()
    assert "redis-cli CONFIG SET maxmemory" in site.watch.problem
    site.clock.now += HUNG_S + 1
    with pytest.raises(BrokerUnavailable):
        site.watch.step()
    assert site.ended == 0  # it answers
    site.broker.connection.config_set("maxmemory", "0")
    site.watch.step()
    assert site.watch.problem == ""


def test_a_redis_that_may_throw_jobs_away_is_named(site: Site) -> None:
    site.broker.connection.config_set("maxmemory-policy", "allkeys-lru")
    assert site.broker.check().problem == ""  # without a limit nothing is thrown away
    site.broker.connection.config_set("maxmemory", "64mb")
    assert "maxmemory-policy noeviction" in site.broker.check().problem


def test_another_owner_is_named(site: Site) -> None:
    site.broker.claim("another")
    with pytest.raises(BrokerInUse):
        site.watch.step()
    assert "in use by another ragd daemon" in site.watch.problem


def test_a_server_that_answers_nothing_for_long_is_ended(site: Site) -> None:
    site.watch.step()
    site.server.stop()
    for _ in range(3):
        with pytest.raises(BrokerUnavailable):
            site.watch.step()
        site.clock.now += HUNG_S / 2
    assert site.ended == 1
    site.server.start()
    site.watch.step()
    assert (site.watch.problem, site.forgotten) == ("", 1)
