"""The live generations, each with its index: one serves, the others get every change too (filling, or kept)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ragd.domain.index import EmbeddingSpace, EncoderSpec
from ragd.index.generation import Generation


@dataclass(frozen=True, slots=True)
class Live:
    """One live generation: `spec` opens its encoder in a worker, `origin` says how its index came to be.

    `is_embeddable` is false while its encoder cannot be opened: then its work waits.
    """

    id: int
    space: EmbeddingSpace
    spec: EncoderSpec
    index: Generation
    origin: str = ""
    is_embeddable: bool = True


class Generations:
    """What is live now, as one tuple that is replaced whole: read from any thread, changed by the main one."""

    def __init__(self, live: Iterable[Live]) -> None:
        self._all = tuple(live)
        if not self._all:
            raise ValueError("one generation always serves")

    @property
    def all(self) -> tuple[Live, ...]:
        """Every live generation, the serving one first."""
        return self._all

    @property
    def serving(self) -> Live:
        """The generation that receipts, counts and searches are about."""
        return self._all[0]

    @property
    def others(self) -> tuple[Live, ...]:
        """The live generations that do not serve."""
        return self._all[1:]

    @property
    def ids(self) -> tuple[int, ...]:
        """The ids of all, the serving one first."""
        return tuple(live.id for live in self._all)

    def get(self, generation_id: int) -> Live | None:
        """The live generation with this id."""
        return next((live for live in self._all if live.id == generation_id), None)

    def of_space(self, fingerprint: str) -> Live | None:
        """The live generation of this space."""
        return next((live for live in self._all if live.space.fingerprint == fingerprint), None)

    def add(self, live: Live) -> None:
        """One more live generation, in place of one with its id."""
        self._all = (*(each for each in self._all if each.id != live.id), live)

    def serve(self, generation_id: int) -> None:
        """This one serves from now on. Raises KeyError when it is not live."""
        chosen = self.get(generation_id)
        if chosen is None:
            raise KeyError(generation_id)
        self._all = (chosen, *(each for each in self._all if each.id != generation_id))

    def remove(self, generation_id: int) -> None:
        """It gets no changes any more. Raises ValueError for the one that serves."""
        if generation_id == self.serving.id:
            raise ValueError(f"generation {generation_id} serves")
        self._all = tuple(each for each in self._all if each.id != generation_id)
