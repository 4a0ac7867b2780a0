"""The seams: Protocols that rooms implement, each with a contract suite in tests/contracts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from ragd.domain.digest import Digest
from ragd.domain.documents import Piece, ReadText
from ragd.domain.index import EmbeddingSpace, EncoderSpec, HalfVectors, Ids, IndexFacts, Vectors


@runtime_checkable
class Encoder(Protocol):
    """Turns texts into unit vectors of one embedding space."""

    @property
    def space(self) -> EmbeddingSpace:
        """The space its vectors live in."""
        ...

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Document vectors, shape (len(texts), dimension), float32, unit length, in the order given.

        Raises EncoderFailed when it cannot now (an endpoint is down), ModelMismatch when it never will.
        """
        ...

    def encode_query(self, text: str) -> Vectors:
        """A query's vector, shape (dimension,), float32, unit length (with the model's query prompt)."""
        ...

    def close(self) -> None:
        """Gives back threads, sessions and connections; safe to call twice."""
        ...


@runtime_checkable
class EncoderKind(Protocol):
    """A way to open encoders, offered by plugins and chosen by its name in `embed.encoder`."""

    @property
    def name(self) -> str: ...

    def open(self, spec: EncoderSpec, models: Path) -> Encoder:
        """An encoder ready to encode; `models` is a folder for what it keeps. Raises ModelUnavailable."""
        ...


@runtime_checkable
class VectorIndex(Protocol):
    """Nearest-neighbour search by inner product over (id, vector) rows, changed in place.

    Ids are int64 >= 0. One writer at a time; searches may run beside it from any thread.
    """

    @property
    def dimension(self) -> int: ...

    def __len__(self) -> int: ...

    def upsert(self, ids: Ids, vectors: Vectors) -> None:
        """Adds rows, replacing those whose id is there. ids (n,), distinct; vectors (n, dimension)."""
        ...

    def remove(self, ids: Ids) -> int:
        """Removes the rows with these ids, unknown ids ignored; returns how many were there."""
        ...

    def search(self, queries: Vectors, k: int, *, allowed: Ids | None = None) -> tuple[Vectors, Ids]:
        """The k best rows of each query: scores (q, k) descending and ids (q, k); -1 fills what is missing.

        With `allowed`, only rows with these ids are considered, inside the search.
        """
        ...

    def ids(self) -> Ids:
        """Every id, sorted, shape (n,)."""
        ...

    def vectors(self, ids: Ids) -> Vectors:
        """The stored vectors of these ids, shape (n, dimension). Raises KeyError for an unknown id."""
        ...

    def facts(self) -> IndexFacts: ...

    def write(self, path: Path) -> None:
        """Writes a file that `read` of the same class restores. Searches go on meanwhile."""
        ...


@runtime_checkable
class Reader(Protocol):
    """Turns the bytes of some kinds of file into Markdown; offered by plugins, run in the sandbox."""

    @property
    def name(self) -> str:
        """A short name, shown where a document's reader is named."""
        ...

    @property
    def version(self) -> str:
        """Changes when its output would; then documents it read are read again."""
        ...

    @property
    def suffixes(self) -> frozenset[str]:
        """Lower-case file suffixes with the dot that it reads, for example {".pdf"}."""
        ...

    def read(self, data: bytes, suffix: str) -> ReadText:
        """The text of a file given its bytes and suffix. Raises ReadFailed with the reason."""
        ...


class Splitter(Protocol):
    """Cuts a text into pieces that fit the encoder, each under its heading path."""

    def pieces(self, text: ReadText) -> tuple[Piece, ...]: ...


class VectorSource(Protocol):
    """Where a generation's vectors are kept for good, so that an index can be rebuilt without embedding."""

    def change_sequence(self) -> int:
        """The newest change of what is live, a number that only grows."""
        ...

    def live_ids(self, generation: int) -> Ids:
        """Every chunk that the index must hold: referenced by a document and with a vector; sorted."""
        ...

    def changed_since(self, generation: int, sequence: int) -> Ids | None:
        """Chunks whose membership changed after `sequence`; None when the log no longer reaches back that far."""
        ...

    def live_vectors(self, generation: int, ids: Ids) -> tuple[Ids, HalfVectors]:
        """Those of `ids` that are live now, with their vectors (n, dimension) as float16."""
        ...

    def digest(self, generation: int) -> Digest:
        """The digest of every live row, kept up to date by whatever changes them."""
        ...


class LiveIndex(Protocol):
    """The index as the ingest way sees it: changed in place beside searches."""

    def apply(
        self, upsert_ids: Ids, vectors: Vectors | HalfVectors, remove_ids: Ids, *, sequence: int | None = None
    ) -> None:
        """Adds or replaces rows and removes others; ids (n,), vectors (n, dimension).

        `sequence` is the catalog's change sequence that the rows stand for from here on.
        """
        ...
