"""Roots: mounts, identity, and when missing documents are held."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ragd.watch.roots import (
    Mount,
    RootState,
    hold,
    look,
    mount_of,
    mounts_below,
    parse_mounts,
    read_mounts,
)

MOUNTINFO = rb"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:25 / /home rw - btrfs /dev/sdb rw
31 30 0:40 / /home/ann/My\040Share rw,nosuid shared:5 master:1 - cifs //nas/share rw
32 22 0:41 / /srv/kb rw - fuse.sshfs host:/kb rw
broken line
33 22 0:42 / /srv/kb rw - nfs4 nas:/kb rw
"""


def test_mountinfo_is_read_with_its_escapes_and_optional_fields() -> None:
    mounts = parse_mounts(MOUNTINFO)
    assert Mount(b"/home/ann/My Share", "cifs") in mounts
    assert len(mounts) == 5


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (b"/etc", "ext4"),
        (b"/home/ann", "btrfs"),
        (b"/home/ann/My Share/docs", "cifs"),
        (b"/home/ann/My Sharepoint", "btrfs"),
        (b"/srv/kb", "nfs4"),
    ],
)
def test_the_deepest_and_latest_mount_holds_a_path(path: bytes, kind: str) -> None:
    mount = mount_of(path, parse_mounts(MOUNTINFO))
    assert mount is not None
    assert mount.kind == kind


def test_mounts_below_a_folder_are_relative_to_it() -> None:
    assert mounts_below(b"/home", parse_mounts(MOUNTINFO)) == {b"ann/My Share"}
    assert mounts_below(b"/srv/kb", parse_mounts(MOUNTINFO)) == frozenset()


def test_this_systems_mounts_can_be_read_and_a_missing_file_means_none(tmp_path: Path) -> None:
    assert mount_of(os.fsencode(tmp_path), read_mounts()) is not None
    assert read_mounts(tmp_path / "none") == ()


def test_a_root_is_ok_missing_or_another_one(tmp_path: Path) -> None:
    root = tmp_path / "kb"
    path = os.fsencode(root)
    assert look(path, None).state is RootState.MISSING
    root.write_text("a file")
    assert look(path, None).state is RootState.MISSING
    root.unlink()
    root.mkdir()
    first = look(path, None)
    assert first.state is RootState.OK
    assert look(path, first.identity).state is RootState.OK
    root.rename(tmp_path / "old")
    assert look(path, first.identity).state is RootState.MISSING
    root.mkdir()
    assert look(path, first.identity).state is RootState.REPLACED
    facts = look(os.fsencode(tmp_path / "none"), None)
    assert "is not there; its documents are kept" in facts.reason
    assert facts.hint


@pytest.mark.parametrize(
    ("known", "missing", "is_empty", "is_held"),
    [
        (100, 30, False, False),
        (100, 31, False, True),
        (19, 19, False, False),
        (20, 7, False, True),
        (3, 3, True, True),
        (3, 0, True, False),
    ],
)
def test_too_much_missing_at_once_is_held(known: int, missing: int, is_empty: bool, is_held: bool) -> None:
    held = hold(b"/kb", known, missing, is_empty=is_empty)
    assert (held is not None) is is_held
    if held is not None:
        assert "/kb" in held.reason
        assert "`ragd confirm-delete /kb`" in held.hint
