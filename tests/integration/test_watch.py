"""The watcher over real inotify and real files: every way people and programs change a folder."""

from __future__ import annotations

import ctypes
import errno
import itertools
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ragd.domain.changes import Action, Observation, Presence
from ragd.domain.documents import content_hash
from ragd.testing.folder_catalog import FolderCatalog
from ragd.watch.progress import RootProgress, WatchSettings
from ragd.watch.roots import WatchedRoot
from ragd.watch.settle import Timings
from ragd.watch.watcher import Watcher

WAIT_S = 30.0


class Live:
    """A watcher in its own thread over a folder; rescans are far away, so that events must do the work."""

    def __init__(self, root: Path, settings: WatchSettings) -> None:
        self.root = root
        self.catalog = FolderCatalog()
        self.watcher = Watcher([WatchedRoot(1, os.fsencode(root))], settings, self.catalog, self.catalog.tell)
        self.thread = threading.Thread(target=self.watcher.run)

    def start(self) -> None:
        self.thread.start()
        self.until(lambda: self.progress.scans >= 1 and not self.progress.is_scanning)

    def stop(self) -> None:
        self.watcher.stop()
        self.thread.join(WAIT_S)
        assert not self.thread.is_alive()

    @property
    def progress(self) -> RootProgress:
        return self.watcher.progress()[0]

    def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not holds():
            assert time.monotonic() < deadline, f"{sorted(self.paths())[:20]} {self.progress}"
            time.sleep(0.01)

    def paths(self) -> set[bytes]:
        return {path for path, known in list(self.catalog.documents.items()) if not known.is_failed}

    def holds(self, path: str, text: str) -> bool:
        known = self.catalog.documents.get(os.fsencode(path))
        return known is not None and known.content_hash == content_hash(text.encode())

    def told(self, path: str) -> list[Observation]:
        return [seen for seen in self.catalog.told if seen.path == os.fsencode(path)]


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    root = tmp_path / "kb"
    root.mkdir()
    (root / "first.md").write_text("first")
    made = Live(root, WatchSettings(rescan_s=10_000, timings=Timings(unclosed_s=1.0, max_wait_s=2.0)))
    made.start()
    made.until(lambda: made.holds("first.md", "first"))
    yield made
    made.stop()


def test_a_saved_file_is_told_a_moment_after_the_quiet(live: Live) -> None:
    before = time.time()
    (live.root / "note.md").write_text("note")
    live.until(lambda: live.holds("note.md", "note"))
    (seen,) = live.told("note.md")
    assert seen.fresh
    assert before <= seen.seen_at <= seen.stable_at
    assert 0.25 <= seen.stable_at - before <= 5.0


def test_an_atomic_save_is_one_change(live: Live) -> None:
    (live.root / ".first.md.Xy12ab").write_text("saved")
    os.replace(live.root / ".first.md.Xy12ab", live.root / "first.md")
    live.until(lambda: live.holds("first.md", "saved"))
    assert live.paths() == {b"first.md"}
    assert Action.DELETE not in [action for action, _ in live.catalog.actions]


def test_vim_saves_through_swap_and_backup_and_leaves_one_document(live: Live) -> None:
    path = live.root / "first.md"
    (live.root / ".first.md.swp").write_bytes(b"swap")
    (live.root / "4913").write_text("")
    (live.root / "4913").unlink()
    path.rename(live.root / "first.md~")
    path.write_text("written by vim")
    (live.root / "first.md~").unlink()
    (live.root / ".first.md.swp").unlink()
    live.until(lambda: live.holds("first.md", "written by vim"))
    assert [path for _, path in live.catalog.actions] == [b"first.md", b"first.md"]


def test_a_renamed_file_keeps_its_content(live: Live) -> None:
    (live.root / "first.md").rename(live.root / "renamed.md")
    live.until(lambda: live.paths() == {b"renamed.md"})
    assert live.holds("renamed.md", "first")


def test_a_file_moved_in_and_out_comes_and_goes(live: Live, tmp_path: Path) -> None:
    (tmp_path / "outside.md").write_text("outside")
    (tmp_path / "outside.md").rename(live.root / "inside.md")
    live.until(lambda: live.holds("inside.md", "outside"))
    (live.root / "inside.md").rename(tmp_path / "outside.md")
    live.until(lambda: live.paths() == {b"first.md"})


def test_a_folder_renamed_moved_out_and_moved_in_takes_its_files_along(live: Live, tmp_path: Path) -> None:
    for number in range(30):
        path = live.root / "a" / f"{number % 3}" / f"{number}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(number))
    live.until(lambda: len(live.paths()) == 31)
    (live.root / "a").rename(live.root / "b")
    live.until(lambda: {path[:2] for path in live.paths()} == {b"b/", b"fi"} and len(live.paths()) == 31)
    (live.root / "b").rename(tmp_path / "out")
    live.until(lambda: live.paths() == {b"first.md"})
    (tmp_path / "out").rename(live.root / "c")
    live.until(lambda: len(live.paths()) == 31)
    (live.root / "c" / "1" / "1.md").write_text("changed after all the moves")
    live.until(lambda: live.holds("c/1/1.md", "changed after all the moves"))
    assert live.progress.held is None


def test_a_folder_removed_with_everything_is_believed(live: Live) -> None:
    for number in range(60):
        path = live.root / "a" / f"{number}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(str(number))
    live.until(lambda: len(live.paths()) == 61)
    shutil.rmtree(live.root / "a")
    live.until(lambda: live.paths() == {b"first.md"})
    assert live.progress.held is None


def test_a_root_removed_keeps_its_documents_and_made_again_is_heard_again(live: Live) -> None:
    live.root.rename(live.root.parent / "away")
    live.until(lambda: not live.progress.hearing.is_watching)
    assert live.paths() == {b"first.md"}
    live.root.mkdir()
    (live.root / "first.md").write_text("again")
    live.until(lambda: live.progress.hearing.is_watching and live.holds("first.md", "again"))
    (live.root / "second.md").write_text("heard")
    live.until(lambda: live.holds("second.md", "heard"))


def test_a_root_deleted_and_made_again_at_once_is_heard_again(live: Live) -> None:
    shutil.rmtree(live.root)
    live.root.mkdir()
    (live.root / "second.md").write_text("second")
    live.until(lambda: live.paths() >= {b"second.md"})
    (live.root / "third.md").write_text("third")
    live.until(lambda: live.holds("third.md", "third"))


def test_a_storm_in_new_nested_folders_loses_nothing(live: Live) -> None:
    def write(writer: int) -> None:
        for number in range(1000):
            folder = live.root / f"w{writer}" / f"{number // 100}" / f"{number // 10 % 10}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number}.md").write_text(f"{writer} {number}")

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(2)]
    for one in writers:
        one.start()
    for one in writers:
        one.join()
    live.until(lambda: len(live.paths()) == 2001)
    for path in live.root.rglob("*.md"):
        assert live.holds(str(path.relative_to(live.root)), path.read_text())


def test_lost_events_end_in_a_scan(live: Live) -> None:
    scans = live.progress.scans
    logging.getLogger("watchdog.observers.inotify_c").warning("Inotify queue overflowed; filesystem events were lost")
    live.until(lambda: live.progress.scans == scans + 1)
    assert live.paths() == {b"first.md"}


def test_a_file_that_is_never_closed_is_taken_as_it_is_again_and_again(live: Live) -> None:
    with open(live.root / "log.txt", "wb", buffering=0) as file:
        until = time.monotonic() + 7
        while time.monotonic() < until:
            file.write(b"line\n")
            time.sleep(0.05)
        times = [seen.stable_at for seen in live.told("log.txt")]
    assert 2 <= len(times) <= 4
    assert all(1.9 <= later - earlier <= 4 for earlier, later in itertools.pairwise(times))
    live.until(lambda: live.holds("log.txt", (live.root / "log.txt").read_text()))


def test_reading_wakes_nobody(live: Live) -> None:
    time.sleep(0.5)
    told = len(live.catalog.told)
    for _ in range(5):
        (live.root / "first.md").read_text()
        os.listdir(live.root)
    time.sleep(0.7)
    assert len(live.catalog.told) == told
    assert live.progress.waiting == 0


def test_a_link_follows_its_target(live: Live) -> None:
    (live.root / "link.md").symlink_to("first.md")
    live.watcher.rescan()
    live.until(lambda: live.holds("link.md", "first"))
    scans = live.progress.scans
    live.watcher.rescan()
    live.until(lambda: live.progress.scans > scans)
    (live.root / "first.md").write_text("both")
    live.until(lambda: live.holds("link.md", "both") and live.holds("first.md", "both"))


def test_a_checkout_that_removes_half_of_everything_is_believed(live: Live) -> None:
    for number in range(80):
        (live.root / f"{number}.md").write_text(str(number))
    live.until(lambda: len(live.paths()) == 81)
    for number in range(60):
        (live.root / f"{number}.md").unlink()
    live.until(lambda: len(live.paths()) == 21)
    assert live.progress.held is None


def test_running_out_of_watches_is_said_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from watchdog.observers import inotify_c

    real, left = inotify_c.inotify_add_watch, [3]

    def limited(descriptor: int, path: bytes, mask: int) -> int:
        if left[0] == 0:
            ctypes.set_errno(errno.ENOSPC)
            return -1
        left[0] -= 1
        return real(descriptor, path, mask)

    monkeypatch.setattr(inotify_c, "inotify_add_watch", limited)
    for number in range(10):
        (tmp_path / "kb" / f"{number}").mkdir(parents=True)
    one = Live(tmp_path / "kb", WatchSettings(rescan_s=10_000, scan_only_s=0.5))
    one.start()
    try:
        assert "8 of 11 folders" in str(one.progress.hearing)
        assert "fs.inotify.max_user_watches" in one.progress.hearing.remedy
        (one.root / "9" / "unheard.md").write_text("found by a scan")
        (one.root / "8" / "unheard.md").write_text("found by a scan")
        one.until(lambda: len(one.paths()) == 2)
    finally:
        one.stop()
    left[0] = 0
    deaf = Live(tmp_path / "kb", WatchSettings())
    deaf.start()
    deaf.stop()
    assert "no inotify watches left" in deaf.progress.hearing.why


def test_gone_is_never_told_of_a_path_below_a_missing_root(live: Live) -> None:
    for number in range(10):
        (live.root / f"{number}.md").write_text(str(number))
    live.until(lambda: len(live.paths()) == 11)
    shutil.rmtree(live.root)
    live.until(lambda: not live.progress.hearing.is_watching)
    time.sleep(0.5)
    assert len(live.paths()) == 11
    assert all(seen.presence is not Presence.GONE for seen in live.catalog.told)
