"""A query as its source gives it: what is claimed to answer it, not yet compared with what is indexed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Claim:
    """That a document (a path, or a corpus id) or a passage of text answers a query; grade 0 says it does not.

    `is_document` says that `name` is no passage, `chunk` is a chunk's id where the source knows it (then `name` is "").
    """

    name: str
    grade: float = 1.0
    is_document: bool = False
    chunk: int | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A query with its claims; `place` says where it stands (`pairs.jsonl:17`), for reports without its text.

    `answer` is the answer in words where the source has it, `weight` corrects how likely the claim was to be seen,
    `score` is a graded label, `source` is `file`, `journal` or `heading`, `at` Unix seconds (0: unknown).
    """

    query: str
    claims: tuple[Claim, ...]
    answer: str = ""
    weight: float = 1.0
    score: float | None = None
    source: str = "file"
    at: float = 0.0
    place: str = ""
