"""Chunks whose batch was given up: they travel in ever smaller company, until the one that fails stands alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ragd.domain.clock import is_due

_ASIDE_S = 3600.0
_PARTS = 4
_MOST = 10_000  # beyond so many it is not single texts that fail


@dataclass(slots=True)
class _Doubt:
    """A chunk that failed in a `company` of so many; `passed` counts what of its generation had passed before."""

    passed: int
    company: int = 0
    reason: str = ""
    since: float = 0.0
    is_aside: bool = False


class Suspects:
    """What is remembered of chunks that failed, by generation; lives in memory, in the daemon's main thread.

    A batch that fails is a quarter as large the next time. A chunk that fails alone while others pass is set aside for
    an hour. Where nothing passes the encoder is to blame, and no chunk is.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._doubts: dict[int, dict[int, _Doubt]] = {}
        self._passed: Counter[int] = Counter()

    def failed(self, generation: int, chunk_ids: Iterable[int], reason: str) -> bool:
        """A batch of these chunks was given up; true when it was one chunk alone, and that is set aside now."""
        together = list(chunk_ids)
        doubts = self._doubts.setdefault(generation, {})
        if len(doubts) + len(together) > _MOST:
            doubts.clear()
        passed = self._passed[generation]
        for chunk_id in together:
            doubt = doubts.setdefault(chunk_id, _Doubt(passed))
            doubt.company, doubt.reason, doubt.since = len(together), reason, self._clock()
            doubt.is_aside = len(together) == 1 and passed > doubt.passed
        return any(doubts[chunk_id].is_aside for chunk_id in together)

    def passed(self, generation: int, chunk_ids: Iterable[int]) -> None:
        """These chunks have vectors."""
        self._passed[generation] += 1
        if doubts := self._doubts.get(generation):
            for chunk_id in chunk_ids:
                doubts.pop(chunk_id, None)

    def forget(self, generation: int) -> None:
        """Nothing of this generation is wanted any more."""
        self._doubts.pop(generation, None)
        self._passed.pop(generation, None)

    def count(self, generation: int) -> int:
        """How many chunks are in doubt or set aside."""
        return len(self._doubts.get(generation, ()))

    def aside(self, generation: int) -> Mapping[int, str]:
        """Chunks that are not to be sent now, with the reason. Any thread."""
        now = self._clock()
        return {
            chunk_id: doubt.reason
            for chunk_id, doubt in list(self._doubts.get(generation, {}).items())
            if doubt.is_aside and not is_due(now, doubt.since, _ASIDE_S)
        }

    def batches(self, generation: int, chunk_ids: Sequence[int], size: int) -> Iterator[list[int]]:
        """The chunks, in order, in batches of at most `size`; those that failed come last, in ever smaller ones."""
        doubts = self._doubts.get(generation, {})
        by_size: dict[int, list[int]] = {size: []}
        for chunk_id in chunk_ids:
            few = max(1, doubts[chunk_id].company // _PARTS) if chunk_id in doubts else size
            by_size.setdefault(few, []).append(chunk_id)
        for few, together in sorted(by_size.items(), reverse=True):
            for at in range(0, len(together), few):
                yield together[at : at + few]
