"""Names and passages find their documents; what is not indexed is not found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ragd.catalog.corpus import DocumentRow, Holdings
from ragd.learn.claims import Asked, Claim
from ragd.learn.resolve import Resolver, holds

DOCUMENTS = [
    DocumentRow(1, "notes", "/kb", "git/reset.md"),
    DocumentRow(2, "notes", "/kb", "git/log.md"),
    DocumentRow(3, "notes", "/kb", "old/reset.md"),
    DocumentRow(4, "notes", "/kb", "copies/log.md"),
]
TEXTS = {
    10: "Undo a commit with the command reset, which moves the branch to an earlier state.",
    11: "The working tree is kept unless a hard reset is asked for.",
    20: "The log lists commits, newest first.",
    30: "A reset of the old machine takes a minute.",
}
HOLDINGS = Holdings(np.array([10, 11, 20, 30, 20]), np.array([1, 1, 2, 3, 4]))


def find(passage: str) -> Sequence[tuple[int, str]]:
    return list(TEXTS.items())


@pytest.fixture
def resolver() -> Resolver:
    return Resolver(DOCUMENTS, HOLDINGS, find)


def asked(*claims: Claim, **more: object) -> Asked:
    return Asked("how do I undo it", claims, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "documents"),
    [
        ("git/reset.md", {1}),
        ("./git/reset.md", {1}),
        ("notes/git/reset.md", {1}),
        ("/kb/git/reset.md", {1}),
        ("log", {2, 4}),  # copies of each other
        ("log.md", {2, 4}),
    ],
)
def test_a_document_is_found_by_each_of_its_names(resolver: Resolver, name: str, documents: set[int]) -> None:
    found = resolver.question(asked(Claim(name, is_document=True)))
    assert found is not None
    assert set(found.grades) == documents


@pytest.mark.parametrize("name", ["reset", "reset.md", "nothing.md", ""])
def test_a_name_that_is_unknown_or_could_mean_two_documents_finds_none(resolver: Resolver, name: str) -> None:
    assert resolver.question(asked(Claim(name, is_document=True))) is None


def test_a_passage_finds_the_chunks_that_hold_it(resolver: Resolver) -> None:
    found = resolver.question(asked(Claim("Undo a commit, with the command RESET!"), Claim("git/log.md", 0.0)))
    assert found is not None
    assert (set(found.grades), found.chunks, found.against) == ({1}, frozenset({10}), frozenset({2}))


def test_a_passage_that_says_it_is_not_there_counts_against_its_chunk(resolver: Resolver) -> None:
    found = resolver.question(asked(Claim("git/reset.md"), Claim(TEXTS[20], 0.0)))
    assert found is not None
    assert found.against_chunks == {20}


def test_an_unnamed_document_is_found_by_the_text_of_the_corpus(resolver: Resolver) -> None:
    found = resolver.question(asked(Claim("d77", is_document=True)), {"d77": TEXTS[30] + " More words."})
    assert found is not None
    assert set(found.grades) == {3}


def test_a_chunk_that_is_gone_answers_nothing(resolver: Resolver) -> None:
    assert resolver.question(asked(Claim("", chunk=99))) is None
    found = resolver.question(asked(Claim("", chunk=99), Claim("", chunk=11), Claim("", 0.0, chunk=20)))
    assert found is not None
    assert (set(found.grades), found.chunks, found.against_chunks) == ({1}, frozenset({11}), frozenset({20}))


def test_a_score_of_zero_keeps_its_document(resolver: Resolver) -> None:
    found = resolver.question(asked(Claim("git/reset.md", 0.0, is_document=True), score=0.0))
    assert found is not None
    assert (dict(found.grades), found.score) == ({1: 0.0}, 0.0)


def test_a_longer_passage_holds_the_chunk_and_a_short_one_must_be_there_word_for_word() -> None:
    assert holds(TEXTS[11], f"{TEXTS[10]} {TEXTS[11]} And then some.")
    assert holds("It is forty two.", "forty two")
    assert not holds("It is forty three.", "forty two")
