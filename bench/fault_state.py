"""What can happen to the state folder as a whole: gone, moved, read-only, shared, damaged, of another format."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from bench import fault_files, fault_room, fault_vectors
from bench.fault import Outcome, Scenario
from bench.fault_hand import ended, fold, kill, mounted, ragd, refused, spoil
from bench.fault_site import NotSo, site

ROOT: Final = Path(__file__).parents[1]


def deleted(scratch: Path) -> Outcome:
    """The state folder is deleted under a running daemon: it ends, and the next one reads the documents anew."""
    with site(scratch) as one:
        models = (one.state / "models").resolve()
        before = one.log.stat().st_size
        shutil.rmtree(one.state)
        said = ended(one, 6, str(one.state), "deleted", "start again", since=before)
        if one.state.exists():
            raise NotSo("the daemon made its folder anew while it ended")
        one.state.mkdir()
        (one.state / "models").symlink_to(models)
        begun = time.monotonic()
        one.start()
        return one.outcome(begun, said)


def moved(scratch: Path) -> Outcome:
    """The state folder is moved away and put back: it ends, and the next one finds all as it was."""
    with site(scratch) as one:
        before = one.log.stat().st_size
        one.state.rename(scratch / "away")
        said = ended(one, 6, "moved", "put it back", since=before)
        (scratch / "away").rename(one.state)
        one.edit()
        begun = time.monotonic()
        one.start()
        return one.outcome(begun, said)


def catalog_replaced(scratch: Path) -> Outcome:
    """catalog.db is replaced by a copy under a running daemon, as a careless restore by hand does."""
    with site(scratch) as one:
        before = one.log.stat().st_size
        shutil.copy(one.state / "catalog.db", one.state / "copy")
        one.edit()
        os.replace(one.state / "copy", one.state / "catalog.db")
        said = ended(one, 6, "catalog.db", "replaced", since=before)
        for name in ("catalog.db-wal", "catalog.db-shm"):
            (one.state / name).unlink(missing_ok=True)
        begun = time.monotonic()
        one.start()
        return one.outcome(begun, said)


def read_only(scratch: Path) -> Outcome:
    """The state folder is on a file system mounted read-only; then writable again."""
    with site(scratch) as one:
        one.stop()
        one.edit()
        with mounted(one.state, "--bind", str(one.state)):
            subprocess.run(["mount", "-o", "remount,bind,ro", str(one.state)], check=True)
            said = refused(one, 6, "cannot be written", "findmnt -T", "--state")
            ragd(one, "search", "heron")
        begun = time.monotonic()
        one.start()
        return one.outcome(begun, f"{said}; `ragd search` answered without a daemon")


def two_daemons(scratch: Path) -> Outcome:
    """A second daemon on the same state folder is refused and names the first, which goes on."""
    with site(scratch) as one:
        first = one.daemon
        said = ragd(one, "run", str(one.folder), exit_code=5)
        if f"in use by process {first.process.pid}" not in said or "  hint: stop that daemon" not in said:
            raise NotSo(f"it said {said!r}")
        one.edit()
        return one.outcome(time.monotonic(), said.splitlines()[0])


def catalog_damaged(scratch: Path) -> Outcome:
    """The catalog's first pages are noise: refused with the remedy, which is done."""
    with site(scratch) as one:
        ragd(one, "backup", str(scratch / "backup"))
        kill(one)
        fold(one.state)
        spoil(one.state / "catalog.db", range(3))
        said = refused(one, 6, "is damaged", "restore FILE --force", f"mv {one.state} {one.state}.damaged")
        for command in ("search heron", "status", f"backup {scratch / 'other'}"):
            ragd(one, *command.split(), exit_code=6)
        one.edit()
        begun = time.monotonic()
        ragd(one, "restore", "--force", str(scratch / "backup"))
        one.start()
        return one.outcome(begun, said)


def catalog_damaged_running(scratch: Path) -> Outcome:
    """Pages of the catalog become noise while the daemon runs: it ends when it meets one; moved away, then anew."""
    with site(scratch, files=60) as one:
        models = (one.state / "models").resolve()
        one.stop()
        one.start()
        before, size = one.log.stat().st_size, (one.state / "catalog.db").stat().st_size
        spoil(one.state / "catalog.db", range(2, size // 4096))
        one.edit()
        said = ended(one, 6, "is damaged", f"mv {one.state} {one.state}.damaged", since=before)
        one.state.rename(one.state.with_name("s.damaged"))
        one.state.mkdir()
        (one.state / "models").symlink_to(models)
        begun = time.monotonic()
        one.start()
        return one.outcome(begun, said)


def older_format(scratch: Path) -> Outcome:
    """A catalog of format 1 is upgraded at the start; a command without a daemon says so before."""
    with site(scratch) as one:
        kill(one)
        for path in one.state.glob("catalog.db*"):
            path.unlink()
        shutil.rmtree(one.state / "generations", ignore_errors=True)
        with closing(sqlite3.connect(one.state / "catalog.db")) as catalog:
            catalog.executescript((ROOT / "tests/unit/catalog/format_1.sql").read_text("utf-8"))
            catalog.execute("PRAGMA user_version = 1")
        said = ragd(one, "search", "heron", exit_code=6)
        begun = time.monotonic()
        one.start()
        return one.outcome(begun, said.splitlines()[-2])


def newer_format(scratch: Path) -> Outcome:
    """A catalog of a newer ragd is refused and left as it is; the newer one would find all of it."""
    with site(scratch) as one:
        one.stop()
        with closing(sqlite3.connect(one.state / "catalog.db")) as catalog:
            (known,) = catalog.execute("PRAGMA user_version").fetchone()
            catalog.execute("PRAGMA user_version = 99")
        said = refused(one, 6, "has format 99", "upgrade ragd")
        with closing(sqlite3.connect(one.state / "catalog.db")) as catalog:
            catalog.execute(f"PRAGMA user_version = {known}")
        begun = time.monotonic()
        one.start()
        return one.outcome(begun, said)


SCENARIOS: Final = (
    Scenario("state-deleted", "the state folder is deleted while the daemon runs", deleted),
    Scenario("state-moved", "the state folder is moved away while the daemon runs, and put back", moved),
    Scenario("state-read-only", "the state folder is mounted read-only", read_only),
    Scenario("two-daemons", "a second daemon on one state folder", two_daemons),
    Scenario("catalog-replaced", "catalog.db is replaced by a copy while the daemon runs", catalog_replaced),
    Scenario("catalog-damaged", "the catalog's first pages are noise", catalog_damaged),
    Scenario("catalog-damaged-running", "the catalog becomes noise while the daemon runs", catalog_damaged_running),
    Scenario("format-older", "a catalog of an older format", older_format),
    Scenario("format-newer", "a catalog of a newer format", newer_format),
    *fault_vectors.SCENARIOS,
    *fault_files.SCENARIOS,
    *fault_room.SCENARIOS,
)
