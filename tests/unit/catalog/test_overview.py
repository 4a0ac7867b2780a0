"""What is listed for people, a page at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragd.catalog.reader import CatalogReader
from ragd.catalog.store import Store
from ragd.domain.errors import BadRequest


@pytest.mark.parametrize("cursor", ["", "c1", "-1", "²", "9" * 19, "9" * 5000])
def test_what_no_page_ended_with_is_no_cursor(tmp_path: Path, cursor: str) -> None:
    Store(tmp_path).close()
    reader = CatalogReader(tmp_path)
    with pytest.raises(BadRequest, match="cursor"):
        reader.overview.documents(cursor=cursor)
    assert reader.overview.documents(cursor="9" * 18) == {"documents": [], "next": None}
    reader.close()
