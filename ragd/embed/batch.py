"""Work for an encoder cut into slices: equal lengths together, and a place to yield after each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from ragd.domain.index import Vectors
from ragd.domain.ports import Encoder
from ragd.embed.halt import Halt, Haltable, Halted, asking

# Characters to a token, to cut slices before anything is tokenized; it steers cost, not results.
CHARS_PER_TOKEN = 4


@runtime_checkable
class Paced(Protocol):
    """An encoder that says how many tokens it likes in one slice."""

    @property
    def slice_tokens(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Encoded:
    """What a loop over slices got done: positions in the texts given, their vectors, and what is left.

    `done` (n,) and `left` are positions, `vectors` (n, dimension) in the order of `done`. `encode_s` is the
    encoder's own time in seconds.
    """

    done: tuple[int, ...]
    vectors: Vectors = field(repr=False)
    left: tuple[int, ...]
    encode_s: float
    encoded_chars: int


def slices(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Positions grouped so that each group, padded to its longest, costs at most `budget`; longest group first.

    `lengths` and `budget` are in tokens. A length above the budget stands alone. Every position is in
    exactly one group.
    """
    groups: list[list[int]] = []
    # Descending, so that the first of a group is its longest and decides what each further member costs.
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if groups and (len(groups[-1]) + 1) * max(lengths[groups[-1][0]], 1) <= budget:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def encode_slices(
    encoder: Encoder,
    texts: Sequence[str],
    *,
    should_yield: Callable[[], bool] = lambda: False,
    should_halt: Callable[[], bool] | None = None,
    budget_tokens: int = 0,
) -> Encoded:
    """Encodes slice by slice until all is done, or until `should_yield()` says so between two slices.

    `should_halt` is asked while a slice is encoded, from another thread, where the encoder can leave one: what it did
    of that slice is lost, and nothing at all may be done. Without it at least one slice is done, so that a loop of
    such calls ends. `budget_tokens` 0 means what the encoder likes. Errors of the encoder pass through.
    """
    budget = budget_tokens or (encoder.slice_tokens if isinstance(encoder, Paced) else 256)
    groups = slices([len(text) // CHARS_PER_TOKEN + 2 for text in texts], budget)
    done: list[int] = []
    parts: list[Vectors] = []
    encode_s = 0.0
    halt = Halt()
    haltable = encoder if should_halt and isinstance(encoder, Haltable) else None
    with asking(should_halt, halt) if haltable and should_halt else nullcontext():
        for group in groups:
            if done and should_yield():
                break
            some = [texts[i] for i in group]
            start = time.perf_counter()
            try:
                parts.append(haltable.encode_until(some, halt) if haltable else encoder.encode(some))
            except Halted:
                break
            encode_s += time.perf_counter() - start
            done.extend(group)
    finished = set(done)
    return Encoded(
        done=tuple(done),
        vectors=np.concatenate(parts) if parts else np.empty((0, encoder.space.dimension), dtype=np.float32),
        left=tuple(i for i in range(len(texts)) if i not in finished),
        encode_s=encode_s,
        encoded_chars=sum(len(texts[i]) for i in done),
    )
