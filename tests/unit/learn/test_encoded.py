"""Vectors kept beside a run: for their own space only, and refused when they are not whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ragd.domain.errors import ArtifactInvalid
from ragd.domain.index import EmbeddingSpace
from ragd.learn.encoded import read_encoded, write_encoded

SPACE = EmbeddingSpace("a" * 32, 4, "made", 64)
IDS = np.array([7, 9], np.int64)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_encoded(tmp_path / "e.safetensors", SPACE, IDS, np.eye(2, 4, dtype=np.float16))
    found = read_encoded(tmp_path / "e.safetensors", SPACE)
    assert found is not None
    assert np.array_equal(found[0], IDS)
    assert np.array_equal(found[1], np.eye(2, 4, dtype=np.float16))


def test_nothing_is_there_for_another_space_or_without_a_file(tmp_path: Path) -> None:
    write_encoded(tmp_path / "e.safetensors", SPACE, IDS, np.eye(2, 4, dtype=np.float16))
    assert read_encoded(tmp_path / "e.safetensors", EmbeddingSpace("b" * 32, 4, "made", 64)) is None
    assert read_encoded(tmp_path / "none.safetensors", SPACE) is None


@pytest.mark.parametrize(
    "vectors",
    [np.eye(2, 3, dtype=np.float16), np.eye(3, 4, dtype=np.float16), np.full((2, 4), np.nan, np.float16)],
    ids=["another dimension", "another number", "not finite"],
)
def test_vectors_that_do_not_fit_are_refused(
    tmp_path: Path, vectors: np.ndarray[tuple[int, int], np.dtype[np.float16]]
) -> None:
    write_encoded(tmp_path / "e.safetensors", SPACE, IDS, vectors)
    with pytest.raises(ArtifactInvalid, match="finite vector for each chunk"):
        read_encoded(tmp_path / "e.safetensors", SPACE)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    write_encoded(tmp_path / "e.safetensors", SPACE, IDS, np.eye(2, 4, dtype=np.float16))
    (tmp_path / "e.safetensors").write_bytes((tmp_path / "e.safetensors").read_bytes()[:-5])
    with pytest.raises(ArtifactInvalid, match="cannot be read"):
        read_encoded(tmp_path / "e.safetensors", SPACE)
