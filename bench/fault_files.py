"""Files of the state folder that are torn, flipped, emptied, deleted or left over when a daemon starts."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.fault import Outcome, Scenario
from bench.fault_hand import cut, fold, kill, own_models, ragd, refused, with_snapshot
from bench.fault_hand import flip as flip_bit
from bench.fault_site import NotSo, Site, site
from bench.wal import look
from ragd.disk.faults import VARIABLE


def torn_index(scratch: Path) -> Outcome:
    """The newest snapshot's index file is cut at a random byte; then both snapshots'."""
    with site(scratch) as one:
        rng = random.Random(1)
        folder = with_snapshot(one)
        cut(folder / "index.faiss", rng)
        one.start()
        one.stop()
        folder = with_snapshot(one)
        for each in folder.parent.glob("[0-9]*"):
            cut(each / "index.faiss", rng)
        begun = time.monotonic()
        one.start()
        return one.outcome(begun, "the snapshot before, then the catalog's vectors; nothing was encoded again")


def flipped_index(scratch: Path) -> Outcome:
    """One bit of the index file is another, five times."""
    with site(scratch) as one:
        rng = random.Random(2)
        for _ in range(5):
            flip_bit(with_snapshot(one) / "index.faiss", rng)
            begun = time.monotonic()
            one.start()
        return one.outcome(begun, "the checksum found it")


def torn_manifest(scratch: Path) -> Outcome:
    """The manifest is cut, flipped, empty, missing."""
    with site(scratch) as one:
        rng = random.Random(3)
        for damage in (cut, flip_bit, lambda path, _rng: os.truncate(path, 0), lambda path, _rng: path.unlink()):
            damage(with_snapshot(one) / "manifest.json", rng)
            begun = time.monotonic()
            one.start()
        return one.outcome(begun, "the seal found it")


def torn_log(scratch: Path) -> Outcome:
    """SQLite's log is cut at a random byte where no fsync promised it, with and without its -shm, amid edits."""
    with site(scratch, files=24) as one:
        rng, lost = random.Random(4), 0
        for turn in range(6):
            one.edit()
            one.until_whole() if turn % 2 else time.sleep(0.3)
            kill(one)
            log = one.state / "catalog.db-wal"
            left = look(one.state / "catalog.db")
            if left.first < left.end:
                os.truncate(log, rng.randrange(left.first, left.end))
                lost += left.end - log.stat().st_size
            if turn % 3:
                (one.state / "catalog.db-shm").unlink()
            begun = time.monotonic()
            one.start()
        return one.outcome(begun, f"{lost:,} bytes of commits were gone, the walk found what they were about")


def emptied(scratch: Path) -> Outcome:
    """Every file but the catalog has no bytes: log, snapshots, Redis's log, models, stamps, lock."""
    with _own(scratch) as one:
        with_snapshot(one)
        fold(one.state)
        names = []
        for path in sorted(one.state.rglob("*")):
            if path.is_file() and not path.is_symlink() and path.name != "catalog.db":
                os.truncate(path, 0)
                names.append(path.name)
        more = ("catalog.db-wal", "catalog.db-shm", "plugins-seen.json")
        for name in more:
            (one.state / name).write_bytes(b"")
        begun = time.monotonic()
        one.start()
        return one.outcome(begun, f"{len({*names, *more})} kinds of files of no bytes; the model was prepared anew")


def emptied_catalog(scratch: Path) -> Outcome:
    """The catalog has no bytes: not taken for a new one; the backup that the message names brings all back."""
    with site(scratch) as one:
        ragd(one, "backup", str(scratch / "backup"))
        kill(one)
        for name in ("catalog.db", "catalog.db-wal", "catalog.db-shm"):
            (one.state / name).write_bytes(b"")
        said = refused(one, 6, "is empty, and was not", "restore FILE --force", f"mv {one.state}")
        begun = time.monotonic()
        ragd(one, "restore", "--force", str(scratch / "backup"))
        one.start()
        return one.outcome(begun, said)


def leftovers(scratch: Path) -> Outcome:
    """Temporary files and folders of processes that were killed."""
    with site(scratch) as one:
        folder = with_snapshot(one).parent
        old = time.time() - 3600
        for path in (folder / ".00000099", one.state / ".restored-abc", one.state / ".replaced-abc"):
            path.mkdir()
            (path / "index.faiss").write_bytes(b"half")
        for name in (".tokens.json.abc.tmp", ".plugins-cache.json.x.tmp"):
            (one.state / name).write_bytes(b"half")
            os.utime(one.state / name, (old, old))
        begun = time.monotonic()
        one.start()
        left = [path.name for path in one.state.rglob(".*") if "models" not in path.parts]
        if left:
            raise NotSo(f"{left} are still there")
        return one.outcome(begun, "all were removed at the start")


def deleted_while_down(scratch: Path) -> Outcome:
    """The generation's folder is gone when the daemon starts."""
    with site(scratch) as one:
        shutil.rmtree(with_snapshot(one).parent)
        begun = time.monotonic()
        one.start()
        return one.outcome(begun, "built anew from the catalog's vectors")


def deleted_while_running(scratch: Path) -> Outcome:
    """The generations' folder is deleted under a running daemon."""
    with site(scratch, environment={"RAGD_INDEX__SNAPSHOT_S": "1"}) as one:
        one.until(lambda: [*one.state.glob("generations/*/[0-9]*")], "a snapshot is written")
        shutil.rmtree(one.state / "generations")
        one.searches()
        begun = time.monotonic()
        one.until(lambda: [*one.state.glob("generations/*/[0-9]*")], "a snapshot is written again")
        kill(one)
        one.start()
        return one.outcome(begun, "searches went on, another snapshot was written by itself")


def killed_at(scratch: Path, point: str, *, edits: int = 1) -> Outcome:
    """Kill -9 at a named fault point, then an ordinary start."""
    with site(scratch, environment={"RAGD_INDEX__SNAPSHOT_S": "1"}) as one:
        one.stop()
        one.environment[VARIABLE] = point
        one.launch()
        for _ in range(edits):
            try:
                one.until(lambda: one.daemon.process.poll() is not None or not one.wrong(), "it is whole or dead")
            except NotSo:
                if one.daemon.process.poll() is None:
                    raise
            if one.daemon.process.poll() is not None:
                break
            one.edit()
        if one.daemon.process.wait(60) != -9:
            raise NotSo(f"the daemon ended otherwise: {one.last_lines()}")
        one.daemon.client.close()
        del one.environment[VARIABLE]
        begun = time.monotonic()
        one.start()
        return one.outcome(begun, f"killed at {point}")


def _at(point: str, what: str, *, edits: int = 1) -> Scenario:
    name = f"kill-{point.replace('.', '-').replace('_', '-').replace(':', '-')}"
    return Scenario(name, what, lambda scratch: killed_at(scratch, point, edits=edits))


@contextmanager
def _own(scratch: Path) -> Iterator[Site]:
    """A site with models of its own, which may be damaged."""
    one = Site(scratch)
    own_models(one)
    try:
        one.start()
        yield one
    finally:
        one.close()


SCENARIOS: Final = (
    Scenario("snapshot-cut", "the index file of the newest snapshot, then of both, is cut", torn_index),
    Scenario("snapshot-flipped", "a bit of the index file flips", flipped_index),
    Scenario("manifest-torn", "the snapshot's manifest is cut, flipped, empty, missing", torn_manifest),
    Scenario("log-torn", "SQLite's log is cut where no fsync promised it, -shm missing or not", torn_log),
    Scenario("files-emptied", "every file in the state folder but the catalog has no bytes", emptied),
    Scenario("catalog-emptied", "the catalog has no bytes", emptied_catalog),
    Scenario("leftovers", "temporary files and folders of killed processes", leftovers),
    Scenario("generation-deleted-down", "the index's folder is deleted while no daemon runs", deleted_while_down),
    Scenario("generation-deleted", "the index's folder is deleted while the daemon runs", deleted_while_running),
    *(
        _at(f"catalog.{side}_commit:{n}", f"kill -9 {side} the catalog's commit number {n}", edits=9)
        for side, n in (("before", 3), ("after", 7), ("before", 19), ("after", 19), ("after", 26))
    ),
    _at("snapshot.index_written", "kill -9 after the index file of a snapshot was written", edits=9),
    _at("snapshot.before_rename", "kill -9 before a whole snapshot gets its name", edits=9),
    _at("snapshot.after_rename", "kill -9 before old snapshots are removed", edits=9),
)
