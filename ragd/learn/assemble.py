"""Questions become pairs of the snapshot: chunks that answer, best first, and hard negatives that do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ragd.domain.index import HalfVectors, Ids, Vectors
from ragd.domain.learning import Chunk, Pair
from ragd.learn.likeness import normalised
from ragd.learn.negatives import Mining, mined
from ragd.learn.resolve import Question

MOST_POSITIVES: Final = 16
_NOTHING: Final = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Shelf:
    """The snapshot's chunks with their vectors (n, dimension), and the chunk ids of every document that is not out."""

    chunks: Sequence[Chunk]
    vectors: HalfVectors
    chunks_of: Mapping[int, Sequence[int]]

    def rows(self) -> dict[int, int]:
        """Where each chunk stands, by its id."""
        return {chunk.id: row for row, chunk in enumerate(self.chunks)}


def assembled(questions: Sequence[Question], queries: Vectors, shelf: Shelf, mining: Mining | None) -> list[Pair]:
    """A pair for each question that has a chunk on the shelf; `queries` (q, dimension) are the questions' vectors.

    Positives are known passages first, then chunks that hold the answer in words, then by grade and similarity, at
    most sixteen. Negatives are those that labels name, then mined ones (none where `mining` is None). A pair whose
    score says that it is no answer has the weight 0.
    """
    row_of = shelf.rows()
    forms = {row: normalised(shelf.chunks[row].text) for row in _with_answers(questions, shelf, row_of)}
    positives = [_positives(q, v, shelf, row_of, forms) for q, v in zip(questions, queries, strict=True)]
    masked = [_masked(q, shelf, row_of) for q in questions]
    told = [_told(q, shelf, row_of) for q in questions]
    hard = [_NOTHING] * len(questions) if mining is None else mined(queries, shelf.vectors, positives, masked, mining)
    pairs: list[Pair] = []
    for question, own, named, found in zip(questions, positives, told, hard, strict=True):
        if not own.size:
            continue
        answers = set(own.tolist())
        negatives = dict.fromkeys(row for row in (*named.tolist(), *found.tolist()) if row not in answers)
        pairs.append(
            Pair(
                question.query,
                tuple(shelf.chunks[row].id for row in own.tolist()),
                tuple(shelf.chunks[row].id for row in negatives),
                # What does not answer is for losses over scores; for those over positives it weighs nothing.
                question.weight if question.is_answered else 0.0,
                question.score,
                question.source,
                question.at,
            )
        )
    return pairs


def _positives(
    question: Question, query: Vectors, shelf: Shelf, row_of: Mapping[int, int], forms: Mapping[int, str]
) -> Ids:
    answer = normalised(question.answer) if question.answer else ""
    ranked: list[tuple[bool, bool, float, float, int]] = []
    for document, grade in question.grades.items():
        chunks = shelf.chunks_of.get(document, ())
        known = [chunk for chunk in chunks if chunk in question.chunks]
        for chunk in known or chunks:
            row = row_of.get(chunk)
            if row is not None:
                similarity = float(shelf.vectors[row].astype(np.float32) @ query)
                holds_answer = bool(answer) and answer in forms.get(row, "")
                ranked.append((bool(known), holds_answer, grade, similarity, row))
    ranked.sort(key=lambda entry: (not entry[0], not entry[1], -entry[2], -entry[3], entry[4]))
    return np.array(list(dict.fromkeys(entry[4] for entry in ranked))[:MOST_POSITIVES], np.int64)


def _masked(question: Question, shelf: Shelf, row_of: Mapping[int, int]) -> Ids:
    """Rows of every document that answers, whatever chunk of it does."""
    rows = [row_of[c] for document in question.grades for c in shelf.chunks_of.get(document, ()) if c in row_of]
    rows += [row_of[chunk] for chunk in question.chunks if chunk in row_of]
    return np.array(rows, np.int64)


def _told(question: Question, shelf: Shelf, row_of: Mapping[int, int]) -> Ids:
    chunks = [*sorted(question.against_chunks)]
    chunks += [chunk for document in sorted(question.against) for chunk in shelf.chunks_of.get(document, ())[:1]]
    return np.array([row_of[chunk] for chunk in chunks if chunk in row_of], np.int64)


def _with_answers(questions: Sequence[Question], shelf: Shelf, row_of: Mapping[int, int]) -> set[int]:
    chunks = {c for q in questions if q.answer for document in q.grades for c in shelf.chunks_of.get(document, ())}
    return {row_of[chunk] for chunk in chunks if chunk in row_of}
