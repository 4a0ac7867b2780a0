"""open_beneath: reads what is in the folder, and nothing that a link could lead to outside it."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ragd.disk.beneath import open_beneath, target_beneath
from ragd.domain.errors import PathInvalid


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "file.md").write_bytes(b"inside")
    (tmp_path / "secret").write_bytes(b"outside")
    return folder


@pytest.fixture(autouse=True)
def _no_descriptor_is_left_open() -> Iterator[None]:
    before = set(os.listdir("/proc/self/fd"))
    yield
    assert set(os.listdir("/proc/self/fd")) == before


def _read(root: Path | int, relative: bytes) -> bytes:
    descriptor = open_beneath(root if isinstance(root, int) else os.fsencode(root), relative)
    try:
        return os.read(descriptor, 100)
    finally:
        os.close(descriptor)


def test_a_file_in_nested_folders_is_opened_by_path_or_by_descriptor(root: Path) -> None:
    assert _read(root, b"a/b/file.md") == b"inside"
    top = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert _read(top, b"a/b/file.md") == b"inside"
        os.fstat(top)
    finally:
        os.close(top)


def test_a_name_that_is_not_utf8_is_opened(root: Path) -> None:
    (Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.md"))).write_bytes(b"latin")
    assert _read(root, b"caf\xe9.md") == b"latin"


@pytest.mark.parametrize(
    "path", [b"", b"/etc/passwd", b"../secret", b"a/../../secret", b"a//b", b"./a", b"a/", b"a\0b"]
)
def test_a_path_that_is_not_plain_and_relative_is_refused(root: Path, path: bytes) -> None:
    with pytest.raises(PathInvalid, match="not a plain path"):
        _read(root, path)


def test_a_link_to_a_file_inside_is_opened_by_its_target(root: Path) -> None:
    (root / "relative.md").symlink_to("a/b/file.md")
    (root / "a" / "absolute.md").symlink_to(root / "relative.md")
    assert _read(root, b"relative.md") == b"inside"
    assert _read(root, b"a/absolute.md") == b"inside"
    assert target_beneath(os.fsencode(root), b"a/absolute.md") == b"a/b/file.md"


def test_a_root_reached_through_a_link_still_holds_its_links(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(root)
    (root / "link.md").symlink_to(root / "a" / "b" / "file.md")
    assert _read(tmp_path / "alias", b"link.md") == b"inside"
    top = os.open(tmp_path / "alias", os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert _read(top, b"link.md") == b"inside"
    finally:
        os.close(top)


def test_a_link_out_of_the_root_is_refused_and_names_where_it_leads(root: Path, tmp_path: Path) -> None:
    (root / "out.md").symlink_to("../secret")
    with pytest.raises(PathInvalid, match=r"out\.md: the link leads out of the folder, to .*/secret") as caught:
        _read(root, b"out.md")
    assert caught.value.hint


def test_a_folder_whose_name_begins_like_the_root_is_outside(root: Path, tmp_path: Path) -> None:
    (tmp_path / "root-2").mkdir()
    (tmp_path / "root-2" / "file").write_bytes(b"outside")
    (root / "out").symlink_to(tmp_path / "root-2" / "file")
    with pytest.raises(PathInvalid, match="leads out"):
        _read(root, b"out")


def test_a_link_to_a_folder_is_not_passed_through(root: Path, tmp_path: Path) -> None:
    (root / "up").symlink_to(tmp_path)
    with pytest.raises(PathInvalid, match="up is a link to a folder"):
        _read(root, b"up/secret")


def test_a_loop_and_a_dangling_link_are_told_apart(root: Path) -> None:
    (root / "loop").symlink_to("loop")
    (root / "dangling").symlink_to("nowhere")
    with pytest.raises(PathInvalid, match="leads back to itself"):
        _read(root, b"loop")
    with pytest.raises(FileNotFoundError):
        _read(root, b"dangling")


def test_special_files_and_folders_are_refused_without_waiting(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(root / "pipe")
    monkeypatch.chdir(root)  # a socket's path is limited to 107 bytes
    server = socket.socket(socket.AF_UNIX)
    server.bind("socket")
    server.close()
    for path in (b"pipe", b"socket", b"a"):
        with pytest.raises(PathInvalid, match="not a regular file"):
            _read(root, path)


def test_what_is_missing_raises_as_the_system_does(root: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        _read(root, b"a/none/file")
    assert caught.value.filename == b"a/none/file"
    with pytest.raises(NotADirectoryError):
        _read(root, b"a/b/file.md/x")
    with pytest.raises(FileNotFoundError):
        _read(root / "none", b"file")


def test_a_name_longer_than_the_system_allows_is_refused(root: Path) -> None:
    with pytest.raises(PathInvalid, match="too long"):
        _read(root, b"x" * 300)


def test_a_folder_that_may_be_passed_but_not_listed_is_passed(root: Path) -> None:
    (root / "a").chmod(0o311)
    try:
        assert _read(root, b"a/b/file.md") == b"inside"
    finally:
        (root / "a").chmod(0o755)


@pytest.mark.parametrize(
    "target",
    [
        "/proc/self/root/etc/hostname",
        "/proc/self/cwd",
        "/proc/self/fd/0",
        "/dev/stdin",
        "/proc/self/environ",
        "/dev/null",
    ],
)
def test_a_link_to_what_the_system_makes_up_is_refused(root: Path, target: str) -> None:
    (root / "link.md").symlink_to(target)
    with pytest.raises((PathInvalid, FileNotFoundError)):
        _read(root, b"link.md")


def test_an_absolute_link_inside_counts_by_where_it_leads(root: Path, tmp_path: Path) -> None:
    (root / "in.md").symlink_to(root / "a" / "b" / "file.md")
    (root / "up.md").symlink_to(root / ".." / "secret")
    (root / "around.md").symlink_to(root / ".." / "root" / "a" / "b" / "file.md")
    assert _read(root, b"in.md") == _read(root, b"around.md") == b"inside"
    with pytest.raises(PathInvalid, match="leads out"):
        _read(root, b"up.md")


@pytest.mark.slow
@pytest.mark.parametrize("place", ["a/b", "a", "a/b/file.md"])
def test_nothing_swapped_at_any_moment_leads_out(root: Path, tmp_path: Path, place: str) -> None:
    outside = tmp_path / "outside"
    (outside / "b").mkdir(parents=True)
    for path in (outside / "b" / "file.md", outside / "file.md"):
        path.write_bytes(b"outside")
    there, aside = root / place, root / "aside"
    target = {"a/b": outside / "b", "a": outside, "a/b/file.md": outside / "file.md"}[place]
    stop, seen = threading.Event(), {b"inside": 0, b"outside": 0, b"refused": 0}

    def swap() -> None:
        while not stop.is_set():
            there.rename(aside)
            there.symlink_to(target)
            there.unlink()
            aside.rename(there)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        deadline = time.monotonic() + 10
        while (min(seen[b"inside"], seen[b"refused"]) < 200) and time.monotonic() < deadline:
            try:
                seen[_read(root, b"a/b/file.md")] += 1
            except (PathInvalid, FileNotFoundError, NotADirectoryError):
                seen[b"refused"] += 1
    finally:
        stop.set()
        swapper.join()
    assert seen[b"outside"] == 0
    assert min(seen[b"inside"], seen[b"refused"]) >= 200


def test_a_hard_link_is_a_file_of_the_folder_like_any_other(root: Path, tmp_path: Path) -> None:
    # Nothing tells it from one: who may make it could read the file (fs.protected_hardlinks), and so could copy it.
    os.link(tmp_path / "secret", root / "hard.md")
    assert _read(root, b"hard.md") == b"outside"
