from __future__ import annotations

import itertools

import numpy as np
import pytest

from ragd.domain.index import Vectors
from ragd.learn.observe import Lens, Observer, spread_blocks
from tests.unit.learn.topics import DIMENSION, mixed, topical

LENS = Lens(size=50, warmup=6, most=12)


def observer(lens: Lens = LENS) -> Observer:
    ticks = itertools.count()
    return Observer("documents", "space", DIMENSION, lens=lens, clock=lambda: next(ticks) / 1000)


def warmed(lens: Lens = LENS) -> Observer:
    found = observer(lens)
    for number in range(lens.warmup):
        assert found.add(topical(lens.size, seed=number), 1.0) == ()
    return found


def test_it_says_how_many_windows_it_still_needs() -> None:
    found = observer()
    assert found.missing == 6
    found.add(topical(149, seed=0), 1.0)
    assert found.missing == 4
    found.add(topical(151, seed=1), 1.0)
    assert found.missing == 0


def test_windows_are_disjoint_and_in_arrival_order_whatever_the_batches() -> None:
    rows = np.concatenate([topical(500, seed=1), mixed(100, 0.3, seed=2)])
    whole, pieces = observer(), observer()
    at_once = whole.add(rows, 5.0)
    bit_by_bit = [window for row in rows for window in pieces.add(row[None], 5.0)]
    assert [(w.novelty, w.histogram, w.mmd_p) for w in at_once] == [
        (w.novelty, w.histogram, w.mmd_p) for w in bit_by_bit
    ]
    assert [w.size for w in at_once] == [50] * 6
    assert at_once[-1].is_drift


def test_a_new_topic_is_drift_until_the_reference_is_renewed() -> None:
    found = warmed()
    assert not any(w.is_drift for w in found.add(topical(200, seed=50), 2.0))
    drifted = found.add(mixed(150, 0.2, seed=51), 3.0)
    assert all(w.is_drift for w in drifted)
    assert {(w.kind, w.at) for w in drifted} == {("documents", 3.0)}
    found.renew()
    assert found.missing == 0
    assert not any(w.is_drift for w in found.add(mixed(150, 0.2, seed=52), 4.0))


def test_without_renewal_the_reference_stays_so_that_slow_drift_adds_up() -> None:
    found = warmed()
    before = [window.copy() for window in found.memory.reference]
    found.add(mixed(1500, 0.1, seed=1), 2.0)
    assert all(np.array_equal(a, b) for a, b in zip(before, found.memory.reference, strict=True))


def test_what_it_keeps_is_bounded() -> None:
    found = warmed()
    for number in range(40):
        found.add(topical(100, seed=number), 2.0)
    found.renew()
    assert len(found.memory.reference) == LENS.most
    for number in range(40):
        found.add(topical(100, seed=number), 2.0)
    memory = found.memory
    assert len(memory.older) <= LENS.most // 2
    assert len(memory.latest) <= LENS.most // 2
    assert len(memory.reference) <= LENS.most


def test_a_renewed_reference_holds_the_latest_windows_and_some_older_ones() -> None:
    found = warmed()
    first = {window.tobytes() for window in found.memory.reference}
    found.add(topical(50 * 30, seed=8), 2.0)
    latest = [window.tobytes() for window in found.memory.latest]
    found.renew()
    kept = [window.tobytes() for window in found.memory.reference]
    assert kept[-6:] == latest
    assert not first.isdisjoint(kept[:-6]) or len(set(kept)) == 12


def test_renewing_without_anything_new_changes_nothing() -> None:
    found = warmed()
    before = list(found.memory.reference)
    found.renew()
    assert all(a is b for a, b in zip(before, found.memory.reference, strict=True))


def test_it_knows_what_it_costs() -> None:
    found = warmed()
    windows = found.add(topical(100, seed=9), 2.0)
    assert all(window.cost_s > 0 for window in windows)
    assert found.cost_s >= sum(window.cost_s for window in windows)


@pytest.mark.parametrize("shape", [(3, DIMENSION + 1), (DIMENSION,)])
def test_vectors_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="do not suit an observer of dimension 64"):
        observer().add(_zeros(shape), 1.0)


@pytest.mark.parametrize(
    ("rows", "starts"), [(49, []), (100, [0, 50]), (300, [0, 50, 100, 150, 200, 250]), (5000, None)]
)
def test_blocks_to_warm_up_with_are_whole_disjoint_and_spread(rows: int, starts: list[int] | None) -> None:
    blocks = spread_blocks(rows, LENS)
    assert all(len(block) == LENS.size for block in blocks)
    assert all(one.stop <= other.start for one, other in itertools.pairwise(blocks))
    if starts is None:
        assert len(blocks) == LENS.warmup
        assert (blocks[0].start, blocks[-1].stop) == (0, 5000)
    else:
        assert [block.start for block in blocks] == starts


def _zeros(shape: tuple[int, ...]) -> Vectors:
    return np.zeros(shape, np.float32)
