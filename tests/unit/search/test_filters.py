"""What people write as filters becomes checked values."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ragd.domain.errors import BadRequest
from ragd.domain.search import Filters
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
