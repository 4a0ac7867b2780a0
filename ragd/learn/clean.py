"""Cleans questions: what says the same twice, contradicts itself or is too short goes, and the report says why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from ragd.learn.likeness import NearTexts, normalised
from ragd.learn.resolve import Question

_EXAMPLES: Final = 5
_LEAST_LATIN_CHARS = 3
_LEAST_CHARS = 2  # of scripts that need no more for a word

REASONS: Final[Mapping[str, str]] = {
    "not_in_corpus": "what answers it is not in the corpus (any more)",
    "too_short": "the query is too short to mean anything",
    "duplicate": "the same query came before; what answers it was joined to that one",
    "near_duplicate": "nearly the same query with the same answer came before",
    "contradictory": "labels that contradict each other",
    "on_both_sides": "documents on the other side of the split, taken out of the query's answers",
    "near_held_out": "nearly the same as a held-out query",
    "near_validation": "nearly the same as a query kept for validation",
    "too_many": "more than a run uses; a sample fixed by hash was kept",
}


@dataclass(frozen=True, slots=True)
class Dropped:
    """How many examples went for one reason, and where the first of them stand."""

    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CleanReport:
    """How many examples came, how many stay, and what was dropped by reason (see `REASONS`); no texts."""

    given: int
    kept: int
    dropped: Mapping[str, Dropped] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain values; each reason with what it means."""
        dropped = {reason: {**asdict(found), "means": REASONS[reason]} for reason, found in self.dropped.items()}
        return {"given": self.given, "kept": self.kept, "dropped": dropped}


class Tally:
    """Counts what is dropped on the way from `given` examples to a report."""

    def __init__(self, given: int = 0) -> None:
        self.given = given
        self._dropped: dict[str, list[str]] = {}
        self._counts: dict[str, int] = {}

    def drop(self, reason: str, place: str, count: int = 1) -> None:
        """Notes one dropped example, or `count` of them at one place."""
        self._counts[reason] = self._counts.get(reason, 0) + count
        examples = self._dropped.setdefault(reason, [])
        if len(examples) < _EXAMPLES:
            examples.append(place)

    def report(self, *, kept: int) -> CleanReport:
        """What was noted."""
        found = {reason: Dropped(count, tuple(self._dropped[reason])) for reason, count in self._counts.items()}
        return CleanReport(self.given, kept, found)


def cleaned(questions: Iterable[Question], tally: Tally) -> list[Question]:
    """Questions worth learning from, each query once, in the order given.

    Equal queries (after normalisation) are joined: their documents together, the newest time, the larger weight;
    scored labels are joined only at equal documents. Near-equal queries with the same documents are kept once. A
    document that is said to answer a query and not to answer it counts for neither.
    """
    joined: dict[tuple[str, object], Question] = {}
    for question in questions:
        form = normalised(question.query)
        if not is_long_enough(form):
            tally.drop("too_short", question.place)
            continue
        # Scored labels are one a document: joining the documents would mix the scores.
        key = (form, frozenset(question.grades) if question.score is not None else None)
        before = joined.get(key)
        if before is not None:
            tally.drop("duplicate", question.place)
        joined[key] = _together(before, question) if before is not None else question
    return _far_apart([kept for q in joined.values() if (kept := _agreeing(q, tally)) is not None], tally)


def is_long_enough(form: str) -> bool:
    """Whether a normalised query can mean something: two characters of an ideographic script, three of another."""
    letters = form.replace(" ", "")
    return len(letters) >= (_LEAST_LATIN_CHARS if letters.isascii() else _LEAST_CHARS)


def _together(one: Question, other: Question) -> Question:
    grades = dict(one.grades)
    for document, grade in other.grades.items():
        grades[document] = max(grade, grades.get(document, 0.0))
    return replace(
        one,
        grades=grades,
        chunks=one.chunks | other.chunks,
        against=one.against | other.against,
        against_chunks=one.against_chunks | other.against_chunks,
        answer=one.answer or other.answer,
        weight=max(one.weight, other.weight),
        at=max(one.at, other.at),
    )


def _agreeing(question: Question, tally: Tally) -> Question | None:
    """The question without what contradicts itself; None when nothing is left."""
    documents = question.against & question.grades.keys()
    chunks = question.against_chunks & question.chunks
    if not documents and not chunks:
        return question
    tally.drop("contradictory", question.place, len(documents) + len(chunks))
    lost = bool(chunks) and question.chunks == chunks
    grades = {} if lost else {d: grade for d, grade in question.grades.items() if d not in documents}
    if not grades:
        return None
    return replace(
        question,
        grades=grades,
        chunks=question.chunks - chunks,
        against=question.against - documents,
        against_chunks=question.against_chunks - chunks,
    )


def _far_apart(questions: Sequence[Question], tally: Tally) -> list[Question]:
    near = NearTexts()
    kept: list[Question] = []
    for question in questions:
        if near.add(question.query, (frozenset(question.grades), question.score)):
            tally.drop("near_duplicate", question.place)
        else:
            kept.append(question)
    return kept
