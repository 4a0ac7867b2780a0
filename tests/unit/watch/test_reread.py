from __future__ import annotations

import os
from pathlib import Path

from ragd.domain.changes import Known
from ragd.watch.files import hash_file
from ragd.watch.reread import Finding, reread


def known(root: Path, name: str) -> tuple[bytes, Known]:
    """What a catalog that read the file just now knows of it."""
    stat, content_hash = hash_file(bytes(root), name.encode())
    return bytes(root), Known(1, name.encode(), stat, content_hash, False)


def finding(document: tuple[bytes, Known]) -> Finding:
    (found,) = reread([document])
    return found.finding


def test_an_untouched_file_is_equal_and_counts_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("twelve bytes")
    (found,) = reread([known(tmp_path, "a.md")])
    assert (found.finding, found.size_bytes, found.reason) == (Finding.EQUAL, 12, "")


def test_bytes_that_changed_behind_unchanged_times_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("old text")
    root, before = known(tmp_path, "a.md")
    (tmp_path / "a.md").write_text("new text")
    os.utime(tmp_path / "a.md", ns=(before.stat.mtime_ns, before.stat.mtime_ns))
    # The change time cannot be put back from here: a damaged disk leaves it, so the catalog is told the new one.
    stat, _ = hash_file(root, b"a.md")
    assert finding((root, Known(1, b"a.md", stat, before.content_hash, False))) is Finding.CHANGED


def test_a_file_that_was_edited_or_deleted_meanwhile_is_the_watchers_business(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("text")
    (tmp_path / "b.md").write_text("text")
    edited, deleted = known(tmp_path, "a.md"), known(tmp_path, "b.md")
    (tmp_path / "a.md").write_text("longer text")
    (tmp_path / "b.md").unlink()
    assert [found.finding for found in reread([edited, deleted])] == [Finding.MOVED_ON] * 2


def test_a_file_that_cannot_be_read_keeps_the_reason(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("text")
    root, before = known(tmp_path, "a.md")
    (tmp_path / "a.md").rename(tmp_path / "real")
    (tmp_path / "a.md").symlink_to("/etc/hostname")
    target = os.stat(tmp_path / "a.md")
    stat = type(before.stat)(target.st_size, target.st_mtime_ns, target.st_ctime_ns, target.st_ino)
    (found,) = reread([(root, Known(1, b"a.md", stat, before.content_hash, False))])
    assert found.finding is Finding.UNREADABLE
    assert "leads out of the folder" in found.reason
