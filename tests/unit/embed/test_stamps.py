"""A hash is remembered only while the file system says that the file is the same."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest

from ragd.embed.stamps import sha256_of


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def rested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file, and a clock an hour after its last change."""
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    hour_later = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: hour_later)
    return path


def test_a_rested_file_is_read_once(rested: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sha256_of(rested, tmp_path / "stamps") == _sha(b"one")
    monkeypatch.setattr(hashlib, "file_digest", None)
    assert sha256_of(rested, tmp_path / "stamps") == _sha(b"one")


def test_a_changed_file_is_read_again(rested: Path, tmp_path: Path) -> None:
    sha256_of(rested, tmp_path / "stamps")
    rested.write_bytes(b"two")
    assert sha256_of(rested, tmp_path / "stamps") == _sha(b"two")


def test_a_file_changed_a_moment_ago_is_not_remembered(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    assert sha256_of(path, tmp_path / "stamps") == _sha(b"one")
    assert not (tmp_path / "stamps").exists()


def test_a_broken_stamp_costs_only_the_time_to_hash(rested: Path, tmp_path: Path) -> None:
    sha256_of(rested, tmp_path / "stamps")
    for stamp in (tmp_path / "stamps").iterdir():
        stamp.write_text("{")
    assert sha256_of(rested, tmp_path / "stamps") == _sha(b"one")


def test_a_stamps_folder_that_cannot_be_made_costs_only_the_time_to_hash(rested: Path, tmp_path: Path) -> None:
    (tmp_path / "stamps").write_text("a file in the way")
    assert sha256_of(rested, tmp_path / "stamps") == _sha(b"one")
