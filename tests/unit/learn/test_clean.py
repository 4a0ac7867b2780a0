"""Questions are cleaned, and the report says of each that went why."""

from __future__ import annotations

from ragd.learn.clean import REASONS, Tally, cleaned, is_long_enough
from ragd.learn.resolve import Question


def question(query: str, *documents: int, place: str = "p:1", **more: object) -> Question:
    return Question(query, dict.fromkeys(documents, 1.0), place=place, **more)  # type: ignore[arg-type]


def test_equal_queries_are_joined_with_all_that_answers_them() -> None:
    tally = Tally(2)
    one = question("What is it?", 1, chunks=frozenset({5}), at=3.0)
    other = question("what is IT", 2, place="p:2", at=9.0, weight=2.0)
    (kept,) = cleaned([one, other], tally)
    assert (dict(kept.grades), kept.chunks, kept.at, kept.weight) == ({1: 1.0, 2: 1.0}, frozenset({5}), 9.0, 2.0)
    assert tally.report(kept=1).dropped["duplicate"].examples == ("p:2",)


def test_near_equal_queries_are_kept_once_only_when_the_same_documents_answer() -> None:
    tally = Tally(3)
    kept = cleaned(
        [
            question("which year was the large bridge over the river built", 1),
            question("which year was the large bridge over the rivers built", 1, place="p:2"),
            question("which year was the large bridge over the river bought", 2, place="p:3"),
        ],
        tally,
    )
    assert [q.place for q in kept] == ["p:1", "p:3"]
    assert tally.report(kept=2).dropped["near_duplicate"].examples == ("p:2",)


def test_labels_that_contradict_each_other_count_for_neither() -> None:
    tally = Tally(2)
    kept = cleaned(
        [question("what is good", 1, 2), question("what is good?", 2, against=frozenset({1}), place="p:2")], tally
    )
    assert [dict(q.grades) for q in kept] == [{2: 1.0}]
    assert tally.report(kept=1).dropped["contradictory"].count == 1


def test_a_question_whose_every_label_is_contradicted_goes() -> None:
    tally = Tally(1)
    judged = question("was it good", 1, chunks=frozenset({5}), against_chunks=frozenset({5}))
    assert cleaned([judged], tally) == []


def test_scored_labels_are_one_a_document() -> None:
    scored = [question("how alike", 1, score=0.2), question("how alike", 2, score=0.9, place="p:2")]
    assert [(set(q.grades), q.score) for q in cleaned(scored, Tally(2))] == [({1}, 0.2), ({2}, 0.9)]


def test_what_is_too_short_means_nothing() -> None:
    tally = Tally(2)
    assert cleaned([question("?!", 1), question("ab", 1)], tally) == []
    assert tally.report(kept=0).dropped["too_short"].count == 2
    assert is_long_enough("梵語")
    assert not is_long_enough("梵")


def test_the_report_explains_each_reason_and_holds_places_only() -> None:
    tally = Tally(20)
    for number in range(9):
        tally.drop("duplicate", f"p:{number}")
    said = tally.report(kept=11).as_json()
    assert said == {
        "given": 20,
        "kept": 11,
        "dropped": {
            "duplicate": {
                "count": 9,
                "examples": ("p:0", "p:1", "p:2", "p:3", "p:4"),
                "means": REASONS["duplicate"],
            }
        },
    }
