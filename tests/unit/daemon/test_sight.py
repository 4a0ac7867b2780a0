"""What the daemon tells of itself besides its parts' words: over a real app, with Redis and children away."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from ragd.catalog.spend import Spend
from ragd.daemon.heartbeat import Heartbeat
from ragd.daemon.sight import Sight, SightDoor
from ragd.daemon.supervisor import Supervisor
from ragd.domain.deciding import Cost
from ragd.domain.errors import StateCorrupt
from ragd.domain.index import IndexPolicy
from ragd.flow.generations import Generations
from ragd.index.exact import ExactIndex
from ragd.index.generation import Generation
from ragd.index.snapshot import write_snapshot
from ragd.jobs.broker import Broker
from tests.unit.flow.house import House

HEADER_PARTS = [
    *("application/openmetrics-text", "text/plain", "*/*", ";", ",", "=", ";version=", "1.0.0", "0.0.4", "none"),
    *(";escaping=", "values", "allow-utf-8", ";q=", "0.5", " ", "\xff", "\r\n"),
]


class Nobody:
    """Reclaims nothing."""

    def process_died(self, queue: str, pid: int) -> int:
        return 0

    def step(self) -> int:
        return 0

    def beats(self) -> dict[tuple[str, int], bytes]:
        return {}


class Desk:
    """A sight over a house, and the door to it; `answer` is what its status says, or raises."""

    def __init__(self, folder: Path) -> None:
        self.house = House(folder)
        self.house.write("river.txt", "otters swim upstream", "beavers build dams")
        self.now = 100.0
        self.heartbeat = Heartbeat(60.0, lambda: self.now)
        self.supervisor = Supervisor({"embed": 2, "extract": 1}, lambda kind: (kind,), Nobody())
        self.broker = Broker(f"unix://{folder}/nobody.sock")
        self.sight = self.over(self.house.app)
        self.answer: dict[str, Any] | Exception = {"state": "indexing", "reasons": []}
        self.door = SightDoor(self.sight, self.status)

    def over(self, app: Any) -> Sight:
        return Sight(app, self.broker, self.supervisor, self.heartbeat, self.clock)

    def clock(self) -> float:
        """Days after what the house did."""
        return self.house.clock() + 1e6

    def status(self) -> dict[str, Any]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.broker.close()
    made.house.app.close()


def test_facts_are_told_while_redis_is_away_and_a_change_waits(desk: Desk) -> None:
    facts = desk.sight.facts(is_redis_up=True)
    assert facts["queue_ages_s"] == {}  # it went away in between
    assert facts["workers_wanted"] == {"embed": 2, "extract": 1}
    assert facts["deaths"] == {"embed": 0, "extract": 0}
    assert facts["oldest_change_s"] > 0
    assert facts["disk"]["free_bytes"] <= facts["disk"]["size_bytes"]
    assert facts["disk"]["catalog_bytes"] > 4096
    assert facts["process"]["memory_bytes"] > 1e7
    assert facts["process"]["threads"] >= 1
    assert facts["process"]["open_fds"] >= 3
    desk.house.work()
    assert desk.sight.facts(is_redis_up=False)["oldest_change_s"] == 0


def test_spending_is_told_for_a_day_and_for_ever(desk: Desk) -> None:
    spend = Spend(desk.house.app.tables.store, lambda: desk.clock() - 2 * 86400)
    spend.charge("train", Cost(7.0, 2.0))
    Spend(desk.house.app.tables.store, desk.clock).charge("observe", Cost(0.5, 0.0))
    told = desk.sight.facts(is_redis_up=False)["spend"]
    assert told["day"] == {"observe": {"cpu_s": 0.5, "gpu_s": 0.0}}
    assert told["total"] == {"observe": {"cpu_s": 0.5, "gpu_s": 0.0}, "train": {"cpu_s": 7.0, "gpu_s": 2.0}}


def test_a_snapshot_has_an_age_and_how_far_it_is_behind(desk: Desk) -> None:
    desk.house.work()
    live = desk.house.app.generations.serving
    assert desk.sight.index_facts(live.id, 12)["snapshot_age_s"] is None
    assert desk.sight.index_facts(live.id, 12)["snapshot_behind"] == 12
    write_snapshot(desk.house.app.places.generation(live.id), live.space, live.index)
    told = desk.sight.index_facts(live.id, live.index.sequence + 3)
    assert told["snapshot_behind"] == 3
    assert told["snapshot_age_s"] is not None
    assert told["ann_recall"] is None


def test_ann_recall_is_sampled_of_inexact_indexes_alone_and_rarely(desk: Desk) -> None:
    now = [desk.house.clock()]
    live = desk.house.app.generations.serving
    index = Generation(ExactIndex(16), IndexPolicy(ivf_above=200, exact_below=100, nprobe=2))
    vectors = np.random.default_rng(0).standard_normal((600, 16), np.float32)
    index.apply(np.arange(600), vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.empty(0, np.int64))
    app = replace(desk.house.app, generations=Generations([replace(live, index=index)]))
    sight = Sight(app, desk.broker, desk.supervisor, desk.heartbeat, lambda: now[0])

    def sampled() -> float | None:
        sight.step()
        if sight._sampling is not None:
            sight._sampling.join()
        found: float | None = sight.index_facts(live.id, 0)["ann_recall"]
        return found

    now[0] += 3601
    assert sampled() is None  # exact still
    index.maintain()
    index.wait_settled(60)
    assert sampled() is None  # not due
    now[0] += 3601
    recall = sampled()
    assert recall is not None
    assert 0.1 < recall < 1
    index.close()


def test_the_door_says_ready_while_it_indexes_and_not_before_it_began_or_after_it_ended(desk: Desk) -> None:
    desk.answer = StateCorrupt("catalog.db is damaged")
    assert desk.door.readiness() == (
        "failed",
        ("the catalog cannot be read: catalog.db is damaged", "the daemon is starting"),
    )
    desk.sight.began()
    desk.answer = {"state": "indexing", "reasons": []}
    assert desk.door.readiness() == ("ready", ())
    assert desk.sight.decided({"reasons": []}).state == "ready"
    assert desk.sight.decided({"reasons": [], "proof": {"is_equal": True}}).state == "ready"
    assert desk.sight.decided({"reasons": [], "proof": {"is_equal": False}}).state == "failed"
    desk.sight.ended()
    assert desk.sight.decided({"reasons": []}).state == "failed"


def test_a_main_thread_that_stands_still_fails_both_probes(desk: Desk) -> None:
    desk.sight.began()
    desk.now += 59
    assert desk.door.is_alive()
    desk.now += 2
    assert not desk.door.is_alive()
    assert desk.sight.decided({"reasons": ["the committing thread has not moved"]}).state == "failed"


@pytest.mark.parametrize("error", [StateCorrupt("it is damaged"), sqlite3.OperationalError("disk I/O error")])
def test_whatever_keeps_the_status_from_being_told_fails_it_and_figures_are_told_on(
    desk: Desk, error: Exception
) -> None:
    desk.sight.began()
    desk.sight.meters.searched("words", 0.01)
    desk.answer = error
    state, reasons = desk.door.readiness()
    assert state == "failed"
    assert str(error) in reasons[0]
    body, content_type = desk.door.metrics("text/plain")
    assert content_type.startswith("text/plain")
    assert b'ragd_state{state="failed"} 1.0' in body
    assert b'ragd_search_seconds_count{mode="words"} 1.0' in body
    assert b"_created" not in body


def test_openmetrics_is_told_to_who_asks_for_it(desk: Desk) -> None:
    asked = "text/html, Application/OpenMetrics-Text ; version=1.0.0;q=0.5,*/*;q=0.1"
    body, content_type = desk.door.metrics(asked)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")


@given(st.lists(st.sampled_from(HEADER_PARTS), max_size=9).map("".join))
@settings(max_examples=300, deadline=None)
def test_no_accept_header_keeps_figures_from_being_told(accept: str) -> None:
    registry = SimpleNamespace(registry=CollectorRegistry())
    body, content_type = SightDoor(cast(Sight, registry), lambda: {"state": "ready", "reasons": []}).metrics(accept)
    assert b'ragd_state{state="ready"} 1.0' in body
    assert content_type.encode("ascii").partition(b";")[0] in (b"text/plain", b"application/openmetrics-text")
