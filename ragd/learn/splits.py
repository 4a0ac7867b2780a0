"""What is trained on, what settings are chosen by, and what only the gate asks: fixed by a hash of the document."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np

from ragd.catalog.corpus import DocumentRow
from ragd.learn.clean import Tally
from ragd.learn.likeness import NearTexts, normalised
from ragd.learn.resolve import Question

VALIDATION_SHARE: Final = 0.1
"""Of the documents that are not held out."""
NEWEST_PART: Final = 1 / 3
"""Of the held-out share: the newest journal queries that are held out by their time."""


class Side(StrEnum):
    """Which side of the split something is on."""

    TRAINING = "training"
    VALIDATION = "validation"
    HELD_OUT = "held_out"


@dataclass(frozen=True, slots=True)
class Split:
    """Where the border runs: the held-out share of documents, and the Unix time from which journal queries are out."""

    heldout_share: float
    newest_from: float | None = None


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A question that only the evaluation asks.

    `seen` are documents that answer it but are trained on with other queries: they count neither for nor against an
    answer. `is_newest` says that it is held out by its time.
    """

    question: Question
    seen: frozenset[int] = frozenset()
    is_newest: bool = False


@dataclass(frozen=True, slots=True)
class Divided:
    """The three sides of a set of questions."""

    training: tuple[Question, ...]
    validation: tuple[Question, ...]
    heldout: tuple[HeldOut, ...]


def document_key(row: DocumentRow) -> str:
    """What a document's side depends on: collection and path, so that it stays where it is for every run."""
    return f"{row.collection}\0{row.path}"


def side_of(key: str, heldout_share: float) -> Side:
    """The side of a document (by `document_key`) or a prompt: the same for ever for the same key and share."""
    place = _place(key)
    if place < heldout_share:
        return Side.HELD_OUT
    return Side.VALIDATION if place < heldout_share + (1 - heldout_share) * VALIDATION_SHARE else Side.TRAINING


def sides_of(documents: Iterable[DocumentRow], heldout_share: float) -> dict[int, Side]:
    """The side of each document, by its id."""
    return {row.id: side_of(document_key(row), heldout_share) for row in documents}


def newest_from(questions: Iterable[Question], heldout_share: float) -> float | None:
    """The time from which journal queries are held out, so that the newest of them are; None without a journal."""
    times = [q.at for q in questions if q.source == "journal" and q.at > 0]
    return float(np.quantile(times, 1 - heldout_share * NEWEST_PART)) if times else None


def divide(questions: Sequence[Question], sides: Mapping[int, Side], split: Split, tally: Tally) -> Divided:
    """Divides cleaned questions.

    A question goes where its documents are. With documents on several sides it goes with one of them, chosen by a
    hash, and only documents of that side count for it. A journal question of `split.newest_from` or later is held out
    wherever its documents are. Questions that are nearly equal to one held out, or to one for validation, are not
    trained on.
    """
    placed: dict[Side, list[HeldOut]] = {side: [] for side in Side}
    for question in questions:
        if split.newest_from is not None and question.source == "journal" and question.at >= split.newest_from:
            placed[Side.HELD_OUT].append(HeldOut(question, is_newest=True))
            continue
        side = _side(question, sides)
        away = frozenset(document for document in question.grades if sides[document] is not side)
        if side is Side.HELD_OUT:
            placed[side].append(HeldOut(_without(question, away), seen=away))
            continue
        if away:
            tally.drop("on_both_sides", question.place, len(away))
        placed[side].append(HeldOut(_without(question, away)))
    heldout = placed[Side.HELD_OUT]
    out = _near(heldout)
    validation = _apart(placed[Side.VALIDATION], out, "near_held_out", tally)
    training = _apart(placed[Side.TRAINING], out, "near_held_out", tally)
    training = _apart(training, _near(validation), "near_validation", tally)
    return Divided(
        tuple(item.question for item in training), tuple(item.question for item in validation), tuple(heldout)
    )


def askable(heldout: Iterable[HeldOut]) -> list[HeldOut]:
    """Held-out questions as an evaluation asks them: each text once, with all documents that answer it.

    Scored labels that say of a document that it does not answer are no questions.
    """
    found: dict[str, HeldOut] = {}
    for item in heldout:
        if not item.question.is_answered or not any(grade > 0 for grade in item.question.grades.values()):
            continue
        form = normalised(item.question.query)
        before = found.get(form)
        if before is not None:
            grades = {**before.question.grades, **item.question.grades}
            item = HeldOut(
                replace(before.question, grades=grades),
                (before.seen | item.seen) - grades.keys(),
                before.is_newest or item.is_newest,
            )
        found[form] = item
    return list(found.values())


def _side(question: Question, sides: Mapping[int, Side]) -> Side:
    met = {sides[document] for document in question.grades}
    if len(met) == 1:
        return met.pop()
    form = normalised(question.query)
    return sides[min(question.grades, key=lambda document: (_place(f"{form}\0{document}"), document))]


def _without(question: Question, away: frozenset[int]) -> Question:
    if not away:
        return question
    return replace(question, grades={d: grade for d, grade in question.grades.items() if d not in away})


def _near(items: Iterable[HeldOut]) -> NearTexts:
    near = NearTexts()
    for item in items:
        near.add(item.question.query)
    return near


def _apart(items: Sequence[HeldOut], near: NearTexts, reason: str, tally: Tally) -> list[HeldOut]:
    kept: list[HeldOut] = []
    for item in items:
        if near.has_near(item.question.query):
            tally.drop(reason, item.question.place)
        else:
            kept.append(item)
    return kept


def _place(key: str) -> float:
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64
