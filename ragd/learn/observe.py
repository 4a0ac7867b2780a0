"""Watches the vectors that come in: cuts them into windows in arrival order, and looks at each against the past.

The reference is made of whole windows, never of single rows, so that its limits know how windows of this folder
differ. It stays as it is until it is renewed, so that slow drift adds up; renewing takes in the latest windows and a
fair sample of the older ones. One thread may use an observer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ragd.domain.deciding import Window
from ragd.domain.index import HalfVectors, Vectors
from ragd.learn.drift import Reference, calibrated, look

_PROVING_WINDOWS = 2  # windows before the newest that may take part in the test


@dataclass(frozen=True, slots=True)
class Lens:
    """How an observer looks: rows of a window (50 to 400 were tried), windows to warm up with, the most it keeps."""

    size: int = 100
    warmup: int = 8
    most: int = 16


@dataclass(slots=True)
class Memory:
    """All that an observer keeps, float16: the row buffer, the reference, a sample of windows since, and the latest.

    `windows` counts every full window ever seen, `sampled` those that were offered to `older` since the last
    renewal; `beyond` are how many of the latest were beyond a limit in a row.
    """

    pending: HalfVectors
    reference: list[HalfVectors] = field(default_factory=list)
    older: list[HalfVectors] = field(default_factory=list)
    latest: list[HalfVectors] = field(default_factory=list)
    windows: int = 0
    sampled: int = 0
    beyond: int = 0
    cost_s: float = 0.0


class Observer:
    """Looks at vectors of one `kind` (`documents` or `queries`) in one embedding `space` (its fingerprint).

    Until it has seen `lens.warmup` windows it learns what is usual, and sees no drift; `missing` says how many it
    still needs. Equal vectors in equal order give equal windows, whatever the sizes of the batches. `clock` measures
    its own cost, in seconds of this thread's CPU.
    """

    def __init__(
        self,
        kind: str,
        space: str,
        dimension: int,
        *,
        lens: Lens | None = None,
        seed: int = 0,
        memory: Memory | None = None,
        clock: Callable[[], float] = time.thread_time,
    ) -> None:
        self.kind, self.space, self.dimension, self.seed = kind, space, dimension, seed
        self.lens = lens or Lens()
        self.memory = memory or Memory(np.empty((0, dimension), np.float16))
        self._clock = clock
        self._reference: Reference | None = None

    @property
    def missing(self) -> int:
        """How many full windows it must still see before it can tell drift; 0 when it can."""
        return max(0, self.lens.warmup - len(self.memory.reference))

    @property
    def cost_s(self) -> float:
        """What all looks and calibrations took so far, in seconds of CPU."""
        return self.memory.cost_s

    def add(self, vectors: Vectors | HalfVectors, at: float) -> tuple[Window, ...]:
        """Takes unit vectors (n, d) that came in at `at` (Unix seconds); gives the windows they filled, oldest first.

        Windows of the warm-up are not given: there is nothing to compare them with. Raises ValueError for another
        dimension.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.dimension:
            raise ValueError(f"vectors of shape {vectors.shape} do not suit an observer of dimension {self.dimension}")
        memory, size = self.memory, self.lens.size
        rows = np.concatenate([memory.pending, np.asarray(vectors, np.float16)])
        full = len(rows) // size
        memory.pending = rows[full * size :].copy()
        found = (self._window(rows[number * size : (number + 1) * size].copy(), at) for number in range(full))
        return tuple(window for window in found if window is not None)

    def renew(self) -> None:
        """Makes the latest windows part of what is usual: after a model was trained or drift was acted on.

        Half of the new reference are the latest windows since the last renewal, the other half a fair sample of the
        older ones with what was the reference before. Without new windows nothing changes.
        """
        memory, half = self.memory, self.lens.most // 2
        if self.missing or not memory.latest:
            return
        room = max(self.lens.most - min(len(memory.latest), half), half)
        before = [*memory.reference, *memory.older]
        chosen = np.random.default_rng((self.seed, memory.windows)).permutation(len(before))[:room]
        memory.reference = [before[place] for place in sorted(chosen)] + memory.latest[-half:]
        memory.older, memory.latest, memory.sampled, memory.beyond = [], [], 0, 0
        self._reference = None

    def _window(self, rows: HalfVectors, at: float) -> Window | None:
        """One full window: part of the reference while that is not complete, afterwards looked at."""
        started, memory = self._clock(), self.memory
        memory.windows += 1
        if self.missing:
            memory.reference.append(rows)
            if not self.missing:
                self._calibrated()
            memory.cost_s += max(0.0, self._clock() - started)
            return None
        before = memory.latest[len(memory.latest) - min(memory.beyond, _PROVING_WINDOWS, len(memory.latest)) :]
        seen = look(
            self._calibrated(),
            rows.astype(np.float32),
            seed=memory.windows,
            before=[window.astype(np.float32) for window in reversed(before)],
        )
        memory.beyond = memory.beyond + 1 if seen.is_beyond else 0
        self._keep(rows)
        cost_s = max(0.0, self._clock() - started)
        memory.cost_s += cost_s
        return Window(self.kind, at, len(rows), seen.novelty, seen.histogram, seen.mmd_p, seen.is_drift, cost_s)

    def _keep(self, rows: HalfVectors) -> None:
        """Keeps the latest windows; one that is no longer among them may enter the sample (Vitter's algorithm R)."""
        memory, half = self.memory, self.lens.most // 2
        memory.latest.append(rows)
        if len(memory.latest) <= half:
            return
        leaving = memory.latest.pop(0)
        memory.sampled += 1
        if len(memory.older) < half:
            memory.older.append(leaving)
            return
        place = int(np.random.default_rng((self.seed, memory.windows)).integers(memory.sampled))
        if place < half:
            memory.older[place] = leaving

    def _calibrated(self) -> Reference:
        if self._reference is None:
            self._reference = calibrated(_singles(self.memory.reference), seed=self.seed)
        return self._reference


def spread_blocks(rows: int, lens: Lens) -> tuple[range, ...]:
    """Which of `rows` stored vectors, in arrival order, to show an observer that starts beside a full catalog.

    Whole windows spread evenly over the past, as many as warm it up, all of them when there are fewer.
    """
    windows = rows // lens.size
    chosen = min(windows, lens.warmup)
    starts = (round(number * (windows - 1) / max(chosen - 1, 1)) for number in range(chosen))
    return tuple(range(start * lens.size, (start + 1) * lens.size) for start in starts)


def _singles(windows: Iterable[HalfVectors]) -> Sequence[Vectors]:
    return [window.astype(np.float32) for window in windows]
