"""The tables of one catalog, opened together over its one writing connection."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ragd.catalog.contents import Contents
from ragd.catalog.documents import Documents
from ragd.catalog.found import Found
from ragd.catalog.models import Models
from ragd.catalog.receipts import Receipts
from ragd.catalog.store import Store
from ragd.catalog.vectors import Vectors


@dataclass(frozen=True, slots=True)
class Tables:
    """The catalog as whoever writes it sees it."""

    store: Store
    documents: Documents
    contents: Contents
    vectors: Vectors
    receipts: Receipts
    models: Models
    found: Found

    @classmethod
    def of(cls, store: Store, clock: Callable[[], float] = time.time) -> Tables:
        """All tables over one store."""
        return cls(
            store,
            Documents(store),
            Contents(store, clock),
            Vectors(store, clock),
            Receipts(store),
            Models(store, clock),
            Found(store, clock),
        )
