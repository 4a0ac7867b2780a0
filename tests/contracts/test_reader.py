"""The contract of Reader, over every reader that is bundled."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragd.domain.documents import ReadText
from ragd.domain.errors import ReadFailed
from ragd.domain.ports import Reader
from ragd.domain.work import ReadLimits
from ragd.hooks.manager import load
from ragd.hooks.sources import bundled
from ragd.plan.read import ReaderTable, read_text

READERS = load(bundled()).readers()
EVERY_SUFFIX = sorted({suffix for reader in READERS for suffix in reader.suffixes})
NEEDED = {
    ".md", ".txt", ".py", ".html", ".pdf", ".docx", ".pptx", ".xlsx", ".csv", ".json", ".ipynb", ".epub", ".eml", ""
}  # fmt: skip


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_a_reader_names_itself_and_its_suffixes(reader: Reader) -> None:
    assert isinstance(reader, Reader)
    assert re.fullmatch(r"[a-z][a-z0-9_-]*", reader.name)
    assert reader.version
    assert reader.suffixes
    for suffix in reader.suffixes:
        assert suffix == "" or re.fullmatch(r"\.[a-z0-9_+~-]{1,16}", suffix)


def test_no_suffix_is_offered_twice_and_every_format_is_read() -> None:
    offered = [suffix for reader in READERS for suffix in reader.suffixes]
    assert len(offered) == len(set(offered))
    assert set(offered) >= NEEDED


@pytest.mark.filterwarnings("ignore")  # the format libraries warn; the child process silences them
@settings(max_examples=150, deadline=None)
@given(st.sampled_from(EVERY_SUFFIX), st.binary(max_size=200))
def test_any_bytes_give_text_or_a_refusal_in_one_line(suffix: str, data: bytes) -> None:
    found: ReadText | ReadFailed
    try:
        found = read_text(data, suffix, ReaderTable(READERS), ReadLimits())
    except ReadFailed as error:
        found = error
    if isinstance(found, ReadFailed):
        assert str(found)
        assert "\n" not in str(found)
        assert found.hint
        return
    assert found.form in ("markdown", "text") or found.form.startswith("code:")
    assert list(found.pages) == sorted(found.pages)
    assert all(0 <= page <= len(found.text) for page in found.pages)
