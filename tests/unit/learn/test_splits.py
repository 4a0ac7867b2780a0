"""The split never leaks: whatever the labels are, nothing of what is held out is on the other sides."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ragd.catalog.corpus import DocumentRow
from ragd.learn.clean import Tally
from ragd.learn.likeness import NEAR, NearTexts, jaccard, shingles
from ragd.learn.resolve import Question
from ragd.learn.splits import HeldOut, Side, Split, askable, divide, newest_from, side_of, sides_of

ROWS = [DocumentRow(n, "notes", "/kb", f"folder/{n}.md") for n in range(60)]
WORDS = ("amber", "bishop", "cedar", "dune", "ember", "fjord", "grove", "harbor")

questions = st.lists(
    st.builds(
        Question,
        query=st.lists(st.sampled_from(WORDS), min_size=2, max_size=5).map(" ".join),
        grades=st.dictionaries(st.integers(0, 59), st.just(1.0), min_size=1, max_size=4),
        source=st.sampled_from(("file", "journal")),
        at=st.floats(0, 1000),
    ),
    max_size=40,
)


@given(questions, st.floats(0.05, 0.9))
def test_nothing_held_out_is_trained_on(asked: list[Question], share: float) -> None:
    sides = sides_of(ROWS, share)
    split = Split(share, newest_from(asked, share))
    divided = divide(asked, sides, split, Tally())
    for question in divided.training:
        assert {sides[document] for document in question.grades} == {Side.TRAINING}
    for question in divided.validation:
        assert {sides[document] for document in question.grades} == {Side.VALIDATION}
    near = NearTexts()
    for item in divided.heldout:
        near.add(item.question.query)
        if not item.is_newest:
            assert {sides[document] for document in item.question.grades} == {Side.HELD_OUT}
            assert all(sides[document] is not Side.HELD_OUT for document in item.seen)
    for question in (*divided.training, *divided.validation):
        assert not near.has_near(question.query)
        assert all(jaccard(shingles(question.query), shingles(item.question.query)) < 1.0 for item in divided.heldout)
        if question.source == "journal" and split.newest_from is not None:
            assert question.at < split.newest_from


@given(questions, st.floats(0.05, 0.9))
def test_no_question_is_on_two_sides_and_none_is_lost_without_a_word(asked: list[Question], share: float) -> None:
    tally = Tally()
    divided = divide(asked, sides_of(ROWS, share), Split(share), tally)
    placed = len(divided.training) + len(divided.validation) + len(divided.heldout)
    dropped = tally.report(kept=placed).dropped
    gone = sum(dropped[reason].count for reason in ("near_held_out", "near_validation") if reason in dropped)
    assert placed + gone == len(asked)


def test_a_document_stays_on_its_side_and_the_share_is_about_right() -> None:
    keys = [f"notes\0{n}.md" for n in range(4000)]
    first = [side_of(key, 0.3) for key in keys]
    assert first == [side_of(key, 0.3) for key in keys]
    assert 0.27 < first.count(Side.HELD_OUT) / len(keys) < 0.33
    assert 0.05 < first.count(Side.VALIDATION) / len(keys) < 0.09


def test_more_held_out_share_only_adds_to_what_is_held_out() -> None:
    keys = [f"notes\0{n}.md" for n in range(500)]
    little = {key for key in keys if side_of(key, 0.2) is Side.HELD_OUT}
    assert little < {key for key in keys if side_of(key, 0.4) is Side.HELD_OUT}


def test_a_question_over_both_sides_counts_only_what_is_on_its_own() -> None:
    sides = {1: Side.TRAINING, 2: Side.HELD_OUT}
    tally = Tally()
    many = [Question(f"{word} number {n} {word}", {1: 1.0, 2: 1.0}) for n, word in enumerate(WORDS * 8)]
    divided = divide(many, sides, Split(0.5), tally)
    assert divided.training
    assert divided.heldout
    assert {tuple(question.grades) for question in divided.training} == {(1,)}
    assert {(tuple(item.question.grades), item.seen) for item in divided.heldout} == {((2,), frozenset({1}))}
    assert tally.report(kept=0).dropped["on_both_sides"].count >= len(divided.training)


def test_the_newest_of_the_journal_are_held_out_wherever_their_documents_are() -> None:
    asked = [
        Question(f"{WORDS[n % 8]} {WORDS[n // 8]} {n * 9973}", {1: 1.0}, source="journal", at=float(n + 1))
        for n in range(50)
    ]
    border = newest_from(asked, 0.3)
    divided = divide(asked, {1: Side.TRAINING}, Split(0.3, border), Tally())
    assert {item.is_newest for item in divided.heldout} == {True}
    assert min(item.question.at for item in divided.heldout) > max(question.at for question in divided.training)
    assert 4 <= len(divided.heldout) <= 6


def test_without_a_journal_nothing_is_held_out_by_time() -> None:
    assert newest_from([Question("one two", {1: 1.0}, at=5.0)], 0.3) is None


def test_the_threshold_is_the_one_that_counts_as_near() -> None:
    assert 0.5 < NEAR < 1


def test_scored_labels_are_asked_once_with_what_answers() -> None:
    items = [
        HeldOut(Question("how alike", {1: 0.9}, score=0.9), seen=frozenset({7})),
        HeldOut(Question("How alike?", {2: 0.6}, score=0.6), seen=frozenset({1, 8})),
        HeldOut(Question("how alike", {3: 0.2}, score=0.2)),
        HeldOut(Question("not at all", {4: 0.0}, score=0.0)),
    ]
    (asked,) = askable(items)
    assert dict(asked.question.grades) == {1: 0.9, 2: 0.6}
    assert asked.seen == frozenset({7, 8})
