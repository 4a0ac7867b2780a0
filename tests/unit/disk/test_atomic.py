from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ragd.disk.atomic import replacing, write_atomic
from ragd.domain.errors import DiskFull


def test_new_bytes_take_the_place_of_old_ones(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")
    write_atomic(path, b"new", mode=0o600)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_while_writing_keeps_the_old_bytes_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")
    with pytest.raises(ZeroDivisionError), replacing(path) as file:
        file.write(b"half" * (1 // 0))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_and_the_old_bytes_stay(tmp_path: Path, number: int) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")
    with pytest.raises(DiskFull, match=r"no room to write .*file") as caught, replacing(path):
        raise OSError(number, os.strerror(number))
    assert "free some space" in caught.value.hint
    assert path.read_bytes() == b"old"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_the_system_itself_refusing_to_write_is_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(DiskFull), replacing(tmp_path / "file"), open("/dev/full", "wb", buffering=0) as full:
        full.write(b"x")
    assert list(tmp_path.iterdir()) == []


def test_other_errors_of_the_system_keep_their_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomic(tmp_path / "nowhere" / "file", b"")
