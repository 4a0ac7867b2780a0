"""Damaged files of every kind: each comes back as text or as a reason; the bench runs thousands, this a few seconds."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from bench.fuzz_files import Tally, fuzz_documents, fuzz_records
from bench.fuzz_mutate import damage
from bench.fuzz_seeds import bombs, seeds

pytestmark = pytest.mark.slow


def fine(tally: Tally) -> None:
    assert (tally.crashes, tally.tracebacks, tally.hangs) == ([], 0, 0)


def test_damaged_documents_are_read_or_refused(tmp_path: Path) -> None:
    tally = fuzz_documents(tmp_path, 40, seed=11)
    fine(tally)
    assert tally.read + tally.refused == 40
    assert tally.read > 5
    assert tally.refused > 10
    assert len(tally.by_kind) > 8


def test_damaged_records_are_taken_or_refused(tmp_path: Path) -> None:
    tally = fuzz_records(tmp_path, 1200, seed=11)
    fine(tally)
    assert tally.read > 100
    assert tally.refused > 500
    assert min(tally.by_kind.values()) > 20
    assert len(tally.by_kind) > 35


def test_damage_is_repeatable_and_real() -> None:
    good = seeds()
    others = [*good.values()]
    made = [damage(good[".docx"], others, random.Random(seed)) for seed in range(50)]
    assert made == [damage(good[".docx"], others, random.Random(seed)) for seed in range(50)]
    assert sum(each != good[".docx"] for each in made) > 40
    assert all(len(bomb) < 1_000_000 for bomb in bombs().values())
