"""A small disk that fills up while the daemon commits, keeps snapshots or logs; and a catalog that others lock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.fault import Outcome, Scenario
from bench.fault_hand import ended, kill, mounted, refused, writing
from bench.fault_site import NotSo, Site, site

_BUSY_S: Final = 13.0  # longer than SQLite is told to wait


class Ballast:
    """A file that takes all the room of a disk, down to the last bytes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ballast"

    def fill(self) -> None:
        """No room from here on."""
        with self.path.open("ab", buffering=0) as file:
            for size_bytes in (1 << 20, 1 << 12, 1):
                try:
                    while file.write(bytes(size_bytes)) == size_bytes:
                        pass
                except OSError:
                    continue

    def free(self) -> None:
        """Room again."""
        self.path.unlink()


@contextmanager
def small(scratch: Path, size_mb: int = 48) -> Iterator[tuple[Site, Ballast]]:
    """A site whose state folder lies on a disk of its own, and what fills that disk."""
    with mounted(_made(scratch / "disk"), "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs"):
        settings = {"RAGD_INDEX__SNAPSHOT_S": "1"}
        with site(scratch / "disk", folder=scratch / "kb", environment=settings) as one:
            yield one, Ballast(scratch / "disk")


def full_while_committing(scratch: Path) -> Outcome:
    """The disk of the state folder is full when files change."""
    with small(scratch) as (one, ballast):
        ballast.fill()
        one.edit()
        one.write(paragraphs=400)
        said = one.until_said("full", "room")
        one.searches()
        one.edit()
        time.sleep(2.0)
        begun = time.monotonic()
        ballast.free()
        return one.outcome(begun, f"searches went on; said: {said[:90]}")


def full_while_snapshotting(scratch: Path) -> Outcome:
    """There is room for commits and none for snapshots; the daemon stops without one, and starts on what there is."""
    one = Site(scratch, environment={"RAGD_INDEX__SNAPSHOT_S": "1"})
    place = _made(one.state / "generations")
    with mounted(place, "-t", "tmpfs", "-o", "size=1m", "tmpfs"):
        ballast = Ballast(place)
        try:
            one.start()
            one.until(lambda: [*place.glob("*/[0-9]*")], "a snapshot is written")
            before = {path.name for path in place.glob("*/[0-9]*")}
            ballast.fill()
            one.edit()
            said = one.until_said("no snapshot of the index", "no room")
            if {path.name for path in place.glob("*/*")} != before:
                raise NotSo("half a snapshot was left, or a whole one was removed")
            one.searches()
            one.stop()
            begun = time.monotonic()
            one.launch()
            one.until(lambda: not one.wrong(), "all is served without a new snapshot")
            ballast.free()
            return one.outcome(begun, f"earlier snapshots stayed; said: {said[:90]}")
        finally:
            one.close()


def full_while_starting(scratch: Path) -> Outcome:
    """The disk is full when the daemon starts: it serves, or ends with one line; with room it serves."""
    with small(scratch) as (one, ballast):
        kill(one)
        ballast.fill()
        before = one.log.stat().st_size
        one.launch()
        try:
            one.daemon.process.wait(15)
        except subprocess.TimeoutExpired:
            one.searches()
            note = "it served, and waited for room"
        else:
            note = ended(one, one.daemon.process.returncode, "room", since=before)
        begun = time.monotonic()
        ballast.free()
        if one.daemon.process.poll() is not None:
            one.start()
        return one.outcome(begun, note)


def full_while_logging(scratch: Path) -> Outcome:
    """Standard error is a file on a full disk, and logs are many."""
    with mounted(_made(scratch / "logs"), "-t", "tmpfs", "-o", "size=1m", "tmpfs"):
        one = Site(scratch)
        one.log = scratch / "logs" / "daemon.log"
        ballast = Ballast(scratch / "logs")
        try:
            one.start()
            ballast.fill()
            for _ in range(3):
                os.kill(one.child("extract"), signal.SIGKILL)  # which is told, but for the disk
                one.edit()
                one.until_whole()
            size = one.log.stat().st_size
            ballast.free()
            begun = time.monotonic()
            os.kill(one.child("extract"), signal.SIGKILL)
            one.edit()
            found = one.outcome(begun, "lines were lost while the disk was full, and no more")
            if one.log.stat().st_size <= size:
                raise NotSo("nothing is logged any more")
            if status := one.stop():
                raise NotSo(f"it ended with {status}")
            return found
        finally:
            one.close()


def log_reader_gone(scratch: Path) -> Outcome:
    """Standard error is a pipe whose reader ends, as a log collector does."""
    with site(scratch) as one:
        one.stop()
        reading, writing_end = os.pipe()
        command = [sys.executable, "-m", "ragd", "--state", str(one.state), "run", str(one.folder)]
        one.adopt(subprocess.Popen(command, env={**os.environ, **one.environment}, stderr=writing_end))
        os.close(writing_end)
        one.until(lambda: os.read(reading, 65536), "it says something")
        os.close(reading)
        begun = time.monotonic()
        for _ in range(3):
            os.kill(one.child("extract"), signal.SIGKILL)
            one.edit()
            one.until_whole()
        found = one.outcome(begun, "lines were lost, and no more")
        if status := one.stop():
            raise NotSo(f"it ended with {status}")
        return found


def locked_while_running(scratch: Path) -> Outcome:
    """Another process holds the catalog's write lock for longer than SQLite waits, amid edits."""
    with site(scratch) as one:
        with writing(one.state / "catalog.db"):
            one.edit()
            deadline = time.monotonic() + _BUSY_S
            while time.monotonic() < deadline:
                one.searches()
                time.sleep(0.5)
            said = one.until_said("locked")
            begun = time.monotonic()
        return one.outcome(begun, f"searches went on; said: {said[:90]}")


def locked_while_starting(scratch: Path) -> Outcome:
    """The write lock is held when the daemon starts: it ends and names the cause; without it, it serves."""
    with site(scratch) as one:
        kill(one)
        one.edit()
        with writing(one.state / "catalog.db"):
            said = refused(one, 12, "locked", "fuser")
        begun = time.monotonic()
        one.start()
        return one.outcome(begun, said)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


SCENARIOS: Final = (
    Scenario("disk-full-committing", "the state folder's disk is full when files change", full_while_committing),
    Scenario(
        "disk-full-snapshot", "there is no room for a snapshot, nor when the daemon stops", full_while_snapshotting
    ),
    Scenario("disk-full-starting", "the state folder's disk is full when the daemon starts", full_while_starting),
    Scenario("disk-full-logging", "the log is a file on a full disk", full_while_logging),
    Scenario("log-reader-gone", "the log is a pipe that nobody reads any more", log_reader_gone),
    Scenario("catalog-locked", "another process holds the catalog's write lock amid edits", locked_while_running),
    Scenario("catalog-locked-start", "the write lock is held when the daemon starts", locked_while_starting),
)
