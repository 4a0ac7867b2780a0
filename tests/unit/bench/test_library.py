"""The library of the soak: what its dictionary says, its folder holds, and nothing grows."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.library import Library


@pytest.mark.slow
def test_the_dictionary_says_what_the_folder_holds_and_neither_grows(tmp_path: Path) -> None:
    library = Library(tmp_path / "documents", tmp_path / "beside", files=60, seed=4)
    counts, sizes = [], []
    for turn in range(1500):
        library.step()
        if turn % 100 == 0:
            library.replace_folder()
            counts.append(len(library.texts))
            sizes.append(sum(map(len, library.texts.values())) / len(library.texts))
    assert library.differences() == []
    assert min(counts) >= 45
    assert max(counts) <= 75
    assert max(sizes[5:]) < 1.3 * min(sizes[5:])
    assert list((tmp_path / "beside").iterdir()) == []
    library.tidy()
    assert not list((tmp_path / "documents").rglob("*.pdf"))
    (tmp_path / "documents" / "stranger.md").write_text("not by the library\n")
    assert library.differences() == ["stranger.md"]
