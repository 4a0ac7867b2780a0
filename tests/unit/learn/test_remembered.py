from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ragd.domain.errors import StateCorrupt
from ragd.learn.observe import Lens, Observer
from ragd.learn.remembered import recalled, remember, restored, state
from tests.unit.learn.topics import DIMENSION, mixed, topical

LENS = Lens(size=50, warmup=4, most=8)


def busy() -> Observer:
    found = Observer("documents", "space", DIMENSION, lens=LENS, clock=lambda: 0.0)
    found.add(topical(50 * 12 + 20, seed=1), 1.0)
    found.add(mixed(50, 0.3, seed=2), 2.0)
    return found


def test_a_restored_observer_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    before = busy()
    remember(before, tmp_path / "documents.safetensors")
    after = recalled(tmp_path / "documents.safetensors", "documents", "space", DIMENSION, lens=LENS)
    assert after.memory.windows == before.memory.windows
    news = mixed(230, 0.2, seed=3)
    told = [(w.novelty, w.histogram, w.mmd_p, w.is_drift) for w in before.add(news, 3.0)]
    assert told == [(w.novelty, w.histogram, w.mmd_p, w.is_drift) for w in after.add(news, 3.0)]
    before.renew()
    after.renew()
    assert all(map(np.array_equal, before.memory.reference, after.memory.reference))


def test_a_new_observer_starts_where_nothing_is_kept(tmp_path: Path) -> None:
    found = recalled(tmp_path / "none", "queries", "space", DIMENSION, lens=LENS)
    assert (found.kind, found.missing) == ("queries", 4)


@pytest.mark.parametrize(
    ("kind", "space", "lens"),
    [("queries", "space", LENS), ("documents", "other", LENS), ("documents", "space", Lens(100))],
)
def test_an_observer_of_something_else_is_not_taken_up(tmp_path: Path, kind: str, space: str, lens: Lens) -> None:
    remember(busy(), tmp_path / "kept")
    assert recalled(tmp_path / "kept", kind, space, DIMENSION, lens=lens).memory.windows == 0


@pytest.mark.parametrize("damage", [b"", b"not tensors at all", b"\x10\0\0\0\0\0\0\0{}"])
def test_a_damaged_file_is_named_with_the_remedy(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "kept"
    path.write_bytes(damage)
    with pytest.raises(StateCorrupt, match="kept") as caught:
        recalled(path, "documents", "space", DIMENSION)
    assert "remove the file" in caught.value.hint


@pytest.mark.parametrize("missing", ["facts", "pending", "reference"])
def test_arrays_that_lack_something_are_refused(missing: str) -> None:
    arrays = state(busy())
    del arrays[missing]
    with pytest.raises(ValueError, match="not what an observer remembers"):
        restored(arrays)


def test_windows_of_another_shape_are_refused() -> None:
    arrays = state(busy())
    arrays["reference"] = arrays["reference"][:, :10]
    with pytest.raises(ValueError, match="windows of another shape"):
        restored(arrays)
