"""A store with a clock that tests move by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ragd.catalog.learning import Learning
from ragd.catalog.store import Store


@dataclass(slots=True)
class Kept:
    """One store, what it holds as readers see it, and the time."""

    store: Store
    rows: Learning
    now: float = 1_700_000_000.0

    def clock(self) -> float:
        return self.now


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    """An empty catalog."""
    store = Store(tmp_path)
    yield Kept(store, Learning.of(lambda: store.connection))
    store.close()
