"""The crash benchmark's judge: it must see what it is there to count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.truth import Findings, Truth
from ragd.catalog.store import Store
from ragd.cli.client import Client

TEXT = "# One\n\namber mark0000001 basin\n"
HIT = {"chunk_id": 7, "path": "one.md", "heading": "", "start": 7, "end": 30, "text": TEXT[7:30]}


class Planted(Client):
    """A client whose answers are given; without any it serves one file rightly."""

    def __init__(self, **answers: Any) -> None:
        super().__init__(Path("nowhere.sock"))
        self._answers = answers

    def documents(self, **_parameters: object) -> dict[str, Any]:
        listed = self._answers.get("documents", [{"path": "one.md", "state": "searchable"}])
        return {"documents": listed, "next": None}

    def search(self, *, timeout_s: float | None = None, **parameters: object) -> dict[str, Any]:
        return {"hits": self._answers.get(str(parameters["mode"]), [HIT])}

    def verify(self, *, repair: bool = False, full: bool = False) -> dict[str, Any]:
        return {"clean": self._answers.get("clean", True)}


@pytest.fixture
def truth(tmp_path: Path) -> Truth:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "one.md").write_text(TEXT, "utf-8")
    (tmp_path / "state").mkdir()
    Store(tmp_path / "state").close()
    return Truth(tmp_path / "root", tmp_path / "state", sample=4, seed=0)


def judged(truth: Truth, **answers: Any) -> Findings:
    return truth.findings(Planted(**answers), ["mark0000000", "mark0000001"])


def test_what_is_served_rightly_is_clean(truth: Truth) -> None:
    assert judged(truth).is_clean


def test_a_document_that_is_missing_or_waits_is_lost(truth: Truth) -> None:
    assert judged(truth, documents=[]).lost
    assert judged(truth, documents=[{"path": "one.md", "state": "text"}]).lost


def test_a_word_or_a_vector_that_is_not_found_is_lost(truth: Truth) -> None:
    assert judged(truth, words=[]).lost
    assert judged(truth, dense=[]).lost


def test_a_document_or_a_text_that_the_folder_has_not_is_a_ghost(truth: Truth) -> None:
    one = {"path": "one.md", "state": "searchable"}
    assert judged(truth, documents=[one, {"path": "two.md", "state": "searchable"}]).ghosts
    assert judged(truth, words=[HIT | {"text": "amber mark0000000 basin"}]).ghosts
    assert judged(truth, words=[HIT | {"path": "two.md"}]).ghosts


def test_what_comes_twice_is_a_duplicate(truth: Truth) -> None:
    one = {"path": "one.md", "state": "searchable"}
    assert judged(truth, documents=[one, one]).duplicates
    assert judged(truth, words=[HIT, HIT]).duplicates


def test_a_verification_or_a_sum_that_fails_is_told(truth: Truth, tmp_path: Path) -> None:
    assert judged(truth, clean=False).differing
    store = Store(tmp_path / "state")
    with store.transaction() as catalog:
        catalog.execute("INSERT INTO chunks (key, context, text, refs) VALUES (x'00', '', 'amber', 1)")
    store.close()
    assert judged(truth).differing
