"""A family of processes is known by parents and session."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ragd.hooks import tree

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")


def row(pid: int, parent: int, session: int) -> tree.Process:
    return tree.Process(pid, parent, session, "S", 1, 0, 0.0)


def test_a_family_is_the_root_its_session_those_known_and_their_children() -> None:
    rows = [row(1, 0, 1), row(10, 1, 10), row(11, 10, 10), row(12, 11, 12), row(13, 1, 10), row(20, 1, 20)]
    rows += [row(30, 1, 30), row(31, 30, 30)]
    found = {one.pid: one for one in rows}
    assert tree.family(found, 10) == {10, 11, 12, 13}
    assert tree.family(found, 10, known={30}) == {10, 11, 12, 13, 30, 31}
    assert tree.family(found, 99) == set()


def test_this_process_is_among_all_with_its_facts() -> None:
    own = tree.processes()[os.getpid()]
    assert (own.parent, own.session) == (os.getppid(), os.getsid(0))
    assert own.rss_bytes > 1 << 20
    assert own.cpu_s > 0
    assert tree.process(1 << 22) is None


def test_a_folder_takes_what_its_files_take(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(bytes(1 << 20))
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "file")
    assert 1 << 20 <= tree.folder_bytes(str(tmp_path)) < (1 << 20) + 65536
    assert tree.folder_bytes(str(tmp_path / "none")) == 0
