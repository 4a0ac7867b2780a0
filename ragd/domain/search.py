"""What a person asks and what ragd answers: queries, filters, hits."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Mode(StrEnum):
    """How to search: by words (BM25), by meaning (`dense`), or both fused (`hybrid`)."""

    HYBRID = "hybrid"
    DENSE = "dense"
    WORDS = "words"


@dataclass(frozen=True, slots=True)
class Filters:
    """Which documents may answer; every given condition must hold, several values of one are alternatives.

    `folders` are prefixes of the path below the root (`guide/install`), `globs` match that path
    (`**/*.md`, gitignore's meaning of `**`), `types` are suffixes without the dot (`md`, `pdf`),
    `modified_after` and `modified_before` are Unix seconds compared with the file's mtime.
    """

    collections: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    globs: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    modified_after: float | None = None
    modified_before: float | None = None

    @property
    def is_empty(self) -> bool:
        """True when every document may answer."""
        return self == Filters()


@dataclass(frozen=True, slots=True)
class Query:
    """One search: the text, how, how many hits (1 to 1000), and which documents may answer."""

    text: str
    mode: Mode = Mode.HYBRID
    limit: int = 10
    filters: Filters = field(default_factory=Filters)


@dataclass(frozen=True, slots=True)
class Hit:
    """One search result: a chunk, where it stands, and how its score came about.

    `path` is the file below its folder `root`; both are text for display (bytes that are not UTF-8
    shown as escapes). `start` and `end` are character offsets in the extracted text, `page` counts
    from 1 or is None, `parts` names the scores behind `score`: `dense` (cosine), `words` (BM25,
    higher is better) and the ranks `dense_rank`, `words_rank` (from 1) where that side found it.
    """

    chunk_id: int
    collection: str
    root: str
    path: str
    title: str
    heading: str
    page: int | None
    start: int
    end: int
    text: str
    score: float
    parts: dict[str, float]
    modified_at: float
    document_id: int = 0


@dataclass(frozen=True, slots=True)
class HitRow:
    """Where a live chunk stands: one row for each document that holds it. Fields as in Hit."""

    chunk_id: int
    document_id: int
    collection: str
    root: str
    path: str
    title: str
    heading: str
    page: int | None
    start: int
    end: int
    text: str
    modified_at: float
