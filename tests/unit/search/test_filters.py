"""What people write as filters becomes checked values."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ragd.catalog.reader import CatalogReader
from ragd.catalog.store import Store
from ragd.domain.changes import Observation, Presence
from ragd.domain.documents import Extraction, Piece, Stat
from ragd.domain.errors import BadRequest
from ragd.domain.index import EmbeddingSpace
from ragd.domain.search import Filters
from ragd.flow.tables import Tables
from ragd.search.filters import parse_filters, parse_time

NOW = 1_800_000_000.0


def test_no_filters_let_every_document_answer() -> None:
    assert parse_filters(now=NOW).is_empty


def test_values_are_normalised() -> None:
    filters = parse_filters(
        collections=["work"],
        folders=["./guide//install/", "guide/install"],
        globs=["**/*.md"],
        types=[".PDF", "*.md"],
        now=NOW,
    )
    assert filters == Filters(
        collections=("work",),
        folders=("guide/install",),
        globs=("**/*.md",),
        types=("pdf", "md"),
    )


def test_the_root_itself_as_a_folder_is_no_condition() -> None:
    assert parse_filters(folders=["./"], now=NOW).is_empty


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1700000000", 1_700_000_000.0),
        ("1700000000.5", 1_700_000_000.5),
        ("7d", NOW - 7 * 86400),
        ("1.5 h", NOW - 5400),
        ("2W", NOW - 14 * 86400),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC).timestamp()),
        ("2026-01-31T08:00", datetime(2026, 1, 31, 8, tzinfo=UTC).timestamp()),
        ("2026-01-31T08:00+08:00", datetime(2026, 1, 31, tzinfo=UTC).timestamp()),
        ("2026-01-31T08:00:00Z", datetime(2026, 1, 31, 8, tzinfo=UTC).timestamp()),
    ],
)
def test_times_are_read_in_every_documented_form(text: str, seconds: float) -> None:
    assert parse_time("modified_after", text, NOW) == seconds


@pytest.mark.parametrize("text", ["yesterday", "nan", "inf", "1e300", "7 moons", "2026-13-01", "-"])
def test_a_time_that_cannot_be_read_names_the_filter_and_the_forms(text: str) -> None:
    with pytest.raises(BadRequest, match="modified_after") as caught:
        parse_time("modified_after", text, NOW)
    assert "2026-01-31" in caught.value.hint


@pytest.mark.parametrize(
    "wrong",
    [
        {"folders": ["/etc"]},
        {"folders": ["~/notes"]},
        {"folders": ["guide/../../etc"]},
        {"folders": ["a\x00b"]},
        {"folders": [" "]},
        {"globs": ["!a"]},
        {"globs": ["# a"]},
        {"globs": ["a\\"]},
        {"globs": ["[a"]},
        {"types": ["m d"]},
        {"types": ["."]},
        {"collections": [""]},
        {"collections": ["x" * 1025]},
        {"types": ["md"] * 65},
        {"modified_after": "1d", "modified_before": "2d"},
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_remedy(wrong: dict[str, object]) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_filters(now=NOW, **wrong)  # type: ignore[arg-type]
    assert caught.value.hint
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("far", ["2300-01-01", "3000-01-01", "99999999999", "-99999999999", "999999w"])
def test_a_moment_of_another_century_is_a_filter_like_any_other(tmp_path: Path, far: str) -> None:
    store = Store(tmp_path)
    tables = Tables.of(store)
    (root,) = tables.documents.set_roots([("notes", b"/notes")])
    generation = tables.vectors.serve(EmbeddingSpace("a" * 16, 4, "tiny", 16))
    stat = Stat(4, int(NOW * 1e9), int(NOW * 1e9), 1)
    row = tables.documents.put(root.id, Observation(b"a.txt", Presence.PRESENT, stat=stat), "pending")
    piece = Piece("text", "", 0, 4)
    content = tables.contents.add(Extraction(b"h" * 16, "txt", "", stat, 4, (piece,)), "reader", generation)
    tables.contents.acquire(content.id)
    tables.documents.set_content(row.id, content.id, stat, b"h" * 16)
    reader = CatalogReader(tmp_path)
    is_later = parse_time("modified_before", far, NOW) > NOW
    for filters, is_found in (
        (parse_filters(modified_before=far, now=NOW), is_later),
        (parse_filters(modified_after=far, now=NOW), not is_later),
    ):
        found = reader.allowed_chunks(filters)
        assert found is not None
        assert bool(found.size) is is_found
    reader.close()
    store.close()
