"""What answers queries by meaning now: encoder, transforms and index as one value, behind one name replaced whole."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ragd.domain.errors import ModelUnavailable
from ragd.domain.index import Vectors
from ragd.domain.ports import Encoder
from ragd.search.ports import Neighbours

Transform = Callable[[Vectors], Vectors]


@dataclass(frozen=True, slots=True)
class Route:
    """The way from a query to its neighbours; without `encoder` or `index` there is none.

    `adapter` changes a query's vector inside the encoder's space, `bridge` leads it from there into the space of an
    older `index` while the encoder's own is being filled. `space` is the fingerprint of the index, `encoder_id`,
    `adapter_id` are ids of the registry (None: what is configured, or none).
    """

    encoder: Encoder | None = field(repr=False)
    index: Neighbours | None = field(repr=False)
    generation: int = 0
    space: str = ""
    adapter: Transform | None = field(default=None, repr=False)
    bridge: Transform | None = field(default=None, repr=False)
    encoder_id: int | None = None
    adapter_id: int | None = None

    def query_vector(self, text: str) -> Vectors:
        """The vector that the index is asked for, (dimension,), float32, unit length.

        Raises ModelUnavailable without an encoder, EncoderFailed when it cannot now.
        """
        return self.led(self.encoded(text))

    def encoded(self, text: str) -> Vectors:
        """What the encoder alone makes of a query, in its own space. Raises as `query_vector`."""
        if self.encoder is None:
            raise ModelUnavailable("there is no encoder", hint="search with mode=words, or set embed.encoder")
        return self.encoder.encode_query(text)

    def led(self, vector: Vectors) -> Vectors:
        """An encoded query as the index is asked for it: adapted, then led into the space of the index."""
        if self.adapter is not None:
            vector = self.adapter(vector)
        return self.bridge(vector) if self.bridge is not None else vector


class Asking:
    """One search's use of a route: its query is encoded once, and what the encoder made of it can be told after."""

    def __init__(self, route: Route) -> None:
        self.route = route
        self.vector: Vectors | None = None

    @property
    def space(self) -> str:
        """The fingerprint of the space of `vector`."""
        return self.route.encoder.space.fingerprint if self.route.encoder is not None else ""

    def query_vector(self, text: str) -> Vectors:
        """As `Route.query_vector`."""
        if self.vector is None:
            self.vector = self.route.encoded(text)
        return self.route.led(self.vector)


class Routes:
    """The route that serves. A search takes it once and keeps it, so that it may be replaced at any moment."""

    def __init__(self, route: Route) -> None:
        self._current = route
        self._lock = threading.Lock()
        self._used: Counter[int] = Counter()

    @property
    def current(self) -> Route:
        """The route that serves now."""
        return self._current

    def replace(self, route: Route) -> None:
        """Searches that begin from now on take this one."""
        with self._lock:
            self._current = route

    @contextmanager
    def taken(self) -> Iterator[Route]:
        """The current route, for one search: until the block ends its encoder counts as used."""
        with self._lock:
            route = self._current
            self._used[id(route.encoder)] += 1
        try:
            yield route
        finally:
            with self._lock:
                self._used[id(route.encoder)] -= 1
                self._used += Counter()  # without those at zero

    def is_used(self, encoder: Encoder) -> bool:
        """True while the current route or a search that took an earlier one needs this encoder."""
        with self._lock:
            return self._current.encoder is encoder or self._used[id(encoder)] > 0
