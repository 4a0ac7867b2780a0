"""Scan: real folders against a catalog, and only what differs."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ragd.domain.changes import Action, Observation, Presence
from ragd.domain.documents import content_hash
from ragd.testing.folder_catalog import FolderCatalog
from ragd.watch.files import hash_file, look_at, with_hash
from ragd.watch.ignore import IgnoreRules, IgnoreSettings
from ragd.watch.scan import Scan

LIMIT = 1000


def scan(root: Path, catalog: FolderCatalog, *, top: bytes = b"", exclude: tuple[str, ...] = ()) -> Scan:
    raw = os.fsencode(root)
    return Scan(1, raw, IgnoreRules(raw, IgnoreSettings(exclude=exclude)), catalog, LIMIT, top=top)


def found(one: Scan) -> dict[bytes, Observation]:
    return {seen.path: seen for step in one.steps() for seen in step}


def index(root: Path, catalog: FolderCatalog, **options: tuple[str, ...]) -> Scan:
    """Scans and commits what was found, deletions too."""
    one = scan(root, catalog, **options)  # type: ignore[arg-type]
    for step in one.steps():
        if step:
            catalog.tell(1, step)
    gone = list(one.confirmed([path for path in one.missing if path not in one.unlisted] + one.ignored))
    if gone:
        catalog.tell(1, gone)
    return one


@contextmanager
def as_nobody(root: Path) -> Iterator[None]:
    """Without root's right to read everything."""
    if os.geteuid() != 0:
        yield
        return
    for folder in (root, *root.parents):
        if folder.owner() == "root" and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "kb"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "one.md").write_text("one")
    (folder / "a" / "two.md").write_text("two")
    (folder / "a" / "b" / "three.md").write_text("three")
    return folder


@pytest.fixture
def catalog() -> FolderCatalog:
    return FolderCatalog()


def test_new_files_are_told_with_stat_and_hash_and_a_second_scan_tells_nothing(
    root: Path, catalog: FolderCatalog
) -> None:
    seen = found(scan(root, catalog))
    assert set(seen) == {b"one.md", b"a/two.md", b"a/b/three.md"}
    assert seen[b"a/two.md"].content_hash == content_hash(b"two")
    assert seen[b"a/two.md"].stat == hash_file(os.fsencode(root), b"a/two.md")[0]
    index(root, catalog)
    again = scan(root, catalog)
    assert found(again) == {}
    assert (again.files, len(again.folders), again.missing) == (3, 3, [])


def test_an_old_time_on_new_bytes_is_noticed(root: Path, catalog: FolderCatalog) -> None:
    index(root, catalog)
    before = (root / "one.md").stat()
    (root / "one.md").write_text("eno")
    os.utime(root / "one.md", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert found(scan(root, catalog))[b"one.md"].content_hash == content_hash(b"eno")


def test_new_metadata_on_old_bytes_is_a_touch(root: Path, catalog: FolderCatalog) -> None:
    index(root, catalog)
    os.utime(root / "one.md", (1, 1))
    catalog.actions.clear()
    index(root, catalog)
    assert catalog.actions == [(Action.TOUCH, b"one.md")]


def test_files_and_whole_folders_that_went_are_missing_and_a_moved_folder_is_both(
    root: Path, catalog: FolderCatalog
) -> None:
    index(root, catalog)
    (root / "one.md").unlink()
    (root / "a" / "b").rename(root / "c")
    one = index(root, catalog)
    assert set(one.missing) == {b"one.md", b"a/b/three.md"}
    assert catalog.paths == {b"a/two.md", b"c/three.md"}


def test_a_scan_of_one_folder_judges_that_folder_only(root: Path, catalog: FolderCatalog) -> None:
    index(root, catalog)
    (root / "one.md").unlink()
    (root / "a" / "two.md").unlink()
    (root / "a" / "new.md").write_text("new")
    one = scan(root, catalog, top=b"a")
    assert set(found(one)) == {b"a/new.md"}
    assert one.missing == [b"a/two.md"]
    gone = scan(root, catalog, top=b"nowhere")
    assert (found(gone), gone.missing) == ({}, [])


def test_a_file_that_became_a_folder_and_a_folder_that_became_a_file(root: Path, catalog: FolderCatalog) -> None:
    index(root, catalog)
    (root / "one.md").unlink()
    (root / "one.md").mkdir()
    (root / "one.md" / "inner.md").write_text("x")
    (root / "a" / "b" / "three.md").unlink()
    (root / "a" / "b").rmdir()
    (root / "a" / "b").write_text("now a file")
    index(root, catalog)
    assert catalog.paths == {b"one.md/inner.md", b"a/two.md", b"a/b"}


def test_what_is_excluded_later_leaves_without_counting_as_missing(root: Path, catalog: FolderCatalog) -> None:
    index(root, catalog)
    one = index(root, catalog, exclude=("a/", "one.*"))
    assert one.missing == []
    assert catalog.paths == set()


def test_names_that_are_not_utf8_are_documents_like_others(root: Path, catalog: FolderCatalog) -> None:
    with open(os.fsencode(root) + b"/caf\xe9.md", "wb") as file:
        file.write(b"latin")
    index(root, catalog)
    assert b"caf\xe9.md" in catalog.paths
    assert found(scan(root, catalog)) == {}


def test_special_files_and_large_ones_have_a_reason_once(
    root: Path, catalog: FolderCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    os.mkfifo("pipe")
    server = socket.socket(socket.AF_UNIX)
    server.bind("socket")
    server.close()
    (root / "large.bin").write_bytes(b"x" * (LIMIT + 1))
    index(root, catalog)
    assert "pipe (FIFO)" in catalog.reasons[b"pipe"]
    assert "socket" in catalog.reasons[b"socket"]
    assert "1,001 bytes, at most 1,000" in catalog.reasons[b"large.bin"]
    assert all(seen.hint for seen in catalog.told if seen.problem)
    assert found(scan(root, catalog)) == {}
    (root / "large.bin").write_bytes(b"x" * LIMIT)
    index(root, catalog)
    assert b"large.bin" in catalog.paths


def test_a_larger_limit_lets_a_file_in_that_did_not_change(root: Path, catalog: FolderCatalog) -> None:
    (root / "large.bin").write_bytes(b"x" * (LIMIT + 1))
    index(root, catalog)
    raw = os.fsencode(root)
    wider = Scan(1, raw, IgnoreRules(raw, IgnoreSettings()), catalog, LIMIT + 1)
    assert set(found(wider)) == {b"large.bin"}


def test_links_lead_to_files_inside_and_nowhere_else(root: Path, catalog: FolderCatalog, tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("secret")
    (root / "inside.md").symlink_to("a/two.md")
    (root / "out.md").symlink_to(tmp_path / "secret.md")
    (root / "dangling.md").symlink_to("none.md")
    (root / "loop.md").symlink_to("loop.md")
    (root / "a" / "up").symlink_to("..")
    one = index(root, catalog)
    assert b"inside.md" in catalog.paths
    assert catalog.documents[b"inside.md"].content_hash == content_hash(b"two")
    assert one.links == {b"a/two.md": {b"inside.md"}}
    assert "out of the folder" in catalog.reasons[b"out.md"]
    assert "not there" in catalog.reasons[b"dangling.md"]
    assert "back to itself" in catalog.reasons[b"loop.md"]
    assert "link to a folder" in catalog.reasons[b"a/up"]
    assert found(scan(root, catalog)) == {}
    (root / "a" / "two.md").write_text("two, changed")
    assert set(found(scan(root, catalog))) == {b"inside.md", b"a/two.md"}


def test_a_folder_that_may_not_be_listed_keeps_its_documents_and_says_so(root: Path, catalog: FolderCatalog) -> None:
    index(root, catalog)
    (root / "a").chmod(0o000)
    with as_nobody(root):
        one = index(root, catalog)
        assert one.missing == []
        assert found(scan(root, catalog)) == {}
    assert {b"a/two.md", b"a/b/three.md"} < catalog.paths
    assert "cannot be listed: Permission denied" in catalog.reasons[b"a"]
    (root / "a").chmod(0o755)
    index(root, catalog)
    assert b"a" not in catalog.documents
    assert len(catalog.paths) == 3


def test_files_that_may_not_be_reached_or_read_are_kept_and_said_so(root: Path, catalog: FolderCatalog) -> None:
    index(root, catalog)
    (root / "a").chmod(0o444)
    (root / "one.md").chmod(0o000)
    with as_nobody(root):
        index(root, catalog)
    (root / "a").chmod(0o755)
    assert catalog.reasons[b"one.md"] == "may not be read: permission denied"
    assert b"a" in catalog.reasons
    assert b"a/two.md" in catalog.paths
    (root / "one.md").chmod(0o644)
    index(root, catalog)
    assert len(catalog.paths) == 3


def test_a_file_created_while_the_scan_ran_is_not_called_missing(root: Path, catalog: FolderCatalog) -> None:
    index(root, catalog)
    one = scan(root, catalog)
    steps = one.steps()
    next(steps)
    (root / "late").mkdir()
    (root / "late" / "x.md").write_text("x")
    seen = look_at(os.fsencode(root), b"late/x.md", LIMIT)
    catalog.tell(1, [with_hash(os.fsencode(root), seen)])
    for _ in steps:
        pass
    assert list(one.confirmed(one.missing)) == []


def test_a_document_behind_a_link_to_a_folder_is_gone(root: Path, catalog: FolderCatalog, tmp_path: Path) -> None:
    index(root, catalog)
    (root / "a").rename(tmp_path / "elsewhere")
    (root / "a").symlink_to(tmp_path / "elsewhere")
    index(root, catalog)
    assert catalog.paths == {b"one.md"}


def test_a_deferred_file_is_not_read(root: Path, catalog: FolderCatalog) -> None:
    raw = os.fsencode(root)
    one = Scan(1, raw, IgnoreRules(raw, IgnoreSettings()), catalog, LIMIT, defer=lambda path, stat: path == b"a/two.md")
    assert set(found(one)) == {b"one.md", b"a/b/three.md"}
    assert one.deferred == 1


def test_many_changes_come_in_small_steps(root: Path, catalog: FolderCatalog) -> None:
    for number in range(500):
        (root / f"{number}.md").write_text(str(number))
    assert max(len(step) for step in scan(root, catalog).steps()) <= 64


def test_a_file_that_changes_while_it_is_read_has_no_hash(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = os.fsencode(root)
    read = os.readv

    def read_and_write(descriptor: int, blocks: list[memoryview]) -> int:
        with open(root / "one.md", "a") as file:
            file.write("more")
        return read(descriptor, blocks)

    monkeypatch.setattr(os, "readv", read_and_write)
    seen = with_hash(raw, look_at(raw, b"one.md", LIMIT * 100_000))
    assert seen.presence is Presence.PRESENT
    assert seen.content_hash is None
    assert seen.stat is not None
    assert seen.stat.size_bytes > 3


def test_a_folder_proven_equal_is_compared_again_when_either_side_changes(root: Path, catalog: FolderCatalog) -> None:
    raw = os.fsencode(root)
    rules = IgnoreRules(raw, IgnoreSettings())

    def again() -> Scan:
        return Scan(1, raw, rules, catalog, LIMIT)

    index(root, catalog)
    for _ in range(3):
        one = again()
        assert (found(one), one.missing, one.files) == ({}, [], 3)
    rules_before = rules.at(b"a")
    assert rules_before is not None
    assert rules_before.proof is not None
    (root / "a" / "two.md").write_text("two, changed")
    assert set(found(again())) == {b"a/two.md"}
    (root / "a" / "two.md").write_text("two")
    index(root, catalog)
    found(again())
    del catalog.documents[b"a/two.md"]
    assert set(found(again())) == {b"a/two.md"}
    (root / "a" / ".ragdignore").write_text("two.md\n")
    index(root, catalog)
    one = again()
    assert (found(one), one.ignored, one.files) == ({}, [], 2)


def test_a_file_of_two_names_swapped_is_noticed(root: Path, catalog: FolderCatalog) -> None:
    (root / "uno.md").write_text("uno")
    index(root, catalog)
    (root / "one.md").rename(root / "x")
    (root / "uno.md").rename(root / "one.md")
    (root / "x").rename(root / "uno.md")
    assert set(found(scan(root, catalog))) == {b"one.md", b"uno.md"}


def test_what_a_whole_walk_does_not_meet_is_remembered_no_longer(root: Path, catalog: FolderCatalog) -> None:
    raw = os.fsencode(root)
    rules = IgnoreRules(raw, IgnoreSettings())
    for turn in range(20):
        (root / f"build-{turn}").mkdir()
        assert not rules.ignores(b"build-%d/new.md" % turn)
        (root / f"build-{turn}").rmdir()
    list(Scan(1, raw, rules, catalog, LIMIT, top=b"a").steps())
    assert len(rules._folders) > 20
    list(Scan(1, raw, rules, catalog, LIMIT).steps())
    assert set(rules._folders) == {b"", b"a", b"a/b"}
