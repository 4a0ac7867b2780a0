"""What a person asks of a catalog is answered for files and folders alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ragd.catalog.reader import CatalogReader
from ragd.catalog.receipts import Receipts
from ragd.domain.changes import Observation, Presence
from ragd.domain.errors import BadRequest
from tests.unit.catalog.conftest import Kept

PATHS = (b"guide/a.md", b"guide/sub/b.md", b"guide.md", b"guide-2/c.md", b"old/guide/d.md")


@pytest.fixture
def reader(kept: Kept, tmp_path: Path) -> Iterator[CatalogReader]:
    """A catalog with a receipt of each path."""
    receipts = Receipts(kept.store)
    for number, path in enumerate(PATHS):
        receipts.open(1, Observation(path, Presence.PRESENT), number, "add", kept.now)
    made = CatalogReader(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("guide", ["guide/sub/b.md", "guide/a.md"]),
        ("guide/", ["guide/sub/b.md", "guide/a.md"]),
        ("guide/sub", ["guide/sub/b.md"]),
        ("guide.md", ["guide.md"]),
        ("d.md", []),
    ],
)
def test_receipts_of_a_folder_are_those_of_what_lies_below_it(
    reader: CatalogReader, asked: str, told: list[str]
) -> None:
    assert [receipt["path"] for receipt in reader.overview.receipts(path=asked)["receipts"]] == told


@pytest.mark.parametrize("cursor", ["", "c1", "-1", "²", "٣", "9" * 19, "9" * 5000])
def test_a_cursor_that_no_page_gave_is_refused(reader: CatalogReader, cursor: str) -> None:
    with pytest.raises(BadRequest, match="is not a cursor"):
        reader.overview.documents(cursor=cursor)
