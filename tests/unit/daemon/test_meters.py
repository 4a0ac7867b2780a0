"""Counts of freshness, encoding and searches, as Prometheus and as the status tell them."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from ragd.daemon.meters import RECENT_S, Meters, percentile
from ragd.domain.landing import Landing, Waited


class Desk:
    """Meters with a clock that a test turns."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.registry = CollectorRegistry()
        self.meters = Meters(self.registry, lambda: self.now)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_every_change_counts_in_its_lane_once_by_words_and_once_by_meaning(desk: Desk) -> None:
    edit, flood = Waited(0.4, is_fresh=True), Waited(70.0, is_fresh=False)
    desk.meters.landed(Landing(by_words=(edit, flood), edited_chars=1200))
    desk.meters.landed(Landing(by_meaning=(Waited(1.5, is_fresh=True),)))
    name = "ragd_freshness_seconds"
    assert desk.value(f"{name}_count", step="words", lane="fresh") == 1
    assert desk.value(f"{name}_sum", step="words", lane="bulk") == 70.0
    assert desk.value(f"{name}_bucket", step="words", lane="fresh", le="0.25") == 0
    assert desk.value(f"{name}_bucket", step="words", lane="fresh", le="0.5") == 1
    assert desk.value(f"{name}_count", step="meaning", lane="fresh") == 1
    assert desk.value(f"{name}_count", step="meaning", lane="bulk") == 0
    assert desk.value("ragd_edited_chars_total") == 1200


def test_encoding_for_changes_and_for_another_space_are_told_apart(desk: Desk) -> None:
    desk.meters.landed(Landing(encoded_chars=5000, chunks=10, encode_s=0.5))
    desk.meters.landed(Landing(encoded_chars=90_000, chunks=128, encode_s=4.0, is_fill=True))
    assert desk.value("ragd_encoded_chars_total", why="change") == 5000
    assert desk.value("ragd_encoded_chunks_total", why="fill") == 128
    assert desk.value("ragd_encode_seconds_total", why="fill") == 4.0


def test_the_last_minutes_are_told_and_what_is_older_is_forgotten(desk: Desk) -> None:
    for hundredths in range(1, 101):
        desk.meters.searched("hybrid", hundredths / 100)
    desk.meters.landed(Landing(by_words=(Waited(0.3, is_fresh=True), Waited(500.0, is_fresh=False)), chunks=60))
    desk.now += 30
    told = desk.meters.recent()
    assert told["freshness"]["words"] == {"count": 1, "p50_s": 0.3, "p95_s": 0.3}
    assert told["freshness"]["meaning"] == {"count": 0, "p50_s": None, "p95_s": None}
    assert told["rates"]["encoded_chunks_per_s"] == 2.0
    assert told["rates"]["searches_per_s"] == pytest.approx(100 / 30)
    assert (told["rates"]["search_p50_s"], told["rates"]["search_p99_s"]) == (0.5, 0.99)
    desk.now += RECENT_S
    assert desk.meters.recent()["rates"]["search_p99_s"] is None
    assert desk.value("ragd_search_seconds_count", mode="hybrid") == 100


def test_a_day_of_searches_takes_no_more_room_than_some_thousands(desk: Desk) -> None:
    for _ in range(10_000):
        desk.now += 0.01
        desk.meters.searched("words", 0.002)
    rate = desk.meters.recent()["rates"]["searches_per_s"]
    assert rate == pytest.approx(100, rel=0.01)
    assert len(desk.meters._recent["search"]._values) < 5000


def test_a_failed_search_is_counted_by_its_code(desk: Desk) -> None:
    desk.meters.search_failed("encoder_failed")
    assert desk.value("ragd_search_failures_total", code="encoder_failed") == 1


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (0.5, 2.0), (0.75, 3.0), (0.76, 4.0), (1.0, 4.0)])
def test_a_percentile_is_a_value_that_occurred(share: float, expected: float) -> None:
    assert percentile([1.0, 2.0, 3.0, 4.0], share) == expected
    assert percentile([], share) is None
