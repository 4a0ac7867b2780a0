"""The hand that damages a state folder: cuts, flips, kills, and looks at how a daemon refuses to start."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil

from bench.fault import Skipped
from bench.fault_site import NotSo, Site


def kill(one: Site) -> None:
    """Kill -9 of the daemon; returns when nothing of it runs any more."""
    process = one.daemon.process
    children = psutil.Process(process.pid).children(recursive=True)
    one.daemon.client.close()
    process.kill()
    process.wait()
    psutil.wait_procs(children, timeout=5.0)


def cut(path: Path, rng: random.Random) -> int:
    """Cuts a file at a random byte; returns how many bytes are left."""
    left = rng.randrange(max(1, path.stat().st_size))
    os.truncate(path, left)
    return left


def flip(path: Path, rng: random.Random, *, first: int = 0, last: int | None = None) -> int:
    """Flips a random bit between two places of a file; returns the byte's place."""
    at = rng.randrange(first, path.stat().st_size if last is None else last)
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << rng.randrange(8)]))
    return at


def snapshot(one: Site) -> Path:
    """The folder of the newest snapshot. Raises NotSo when there is none."""
    found = sorted((one.state / "generations").glob("*/[0-9]*"), key=lambda path: (path.parent.name, path.name))
    if not found:
        raise NotSo("there is no snapshot")
    return found[-1]


def with_snapshot(one: Site) -> Path:
    """Stops the daemon in order, which writes a snapshot; starts it, edits, and kills it. The snapshot's folder."""
    one.stop()
    one.start()
    one.edit()
    one.until_whole()
    kill(one)
    return snapshot(one)


def own_models(one: Site) -> None:
    """Gives a site a folder of models of its own instead of the one that all share."""
    shared = (one.state / "models").resolve()
    (one.state / "models").unlink()
    shutil.copytree(shared, one.state / "models")


def refused(one: Site, exit_code: int, *words: str) -> str:
    """Starts the daemon, which must end with this exit code and one clear line; what it said. Raises NotSo.

    All the words must be in the line or in its hint.
    """
    before = one.log.stat().st_size
    one.launch()
    return ended(one, exit_code, *words, since=before)


def ended(one: Site, exit_code: int, *words: str, since: int = 0) -> str:
    """The running daemon must end by itself with this exit code and one clear line; as `refused`."""
    try:
        status = one.daemon.process.wait(60)
    except subprocess.TimeoutExpired:
        raise NotSo(f"the daemon goes on: {one.reasons()}") from None
    one.daemon.client.close()
    with one.log.open(errors="replace") as log:
        log.seek(since)
        said = log.read()
    lines = said.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    if status != exit_code or len(errors) != 1 or not lines[-1].startswith("  hint: ") or "Traceback" in said:
        raise NotSo(f"exit status {status} instead of {exit_code}, and it said: {said[-600:]}")
    told = f"{errors[0]} {lines[-1].strip()}"
    if not all(word in told for word in words):
        raise NotSo(f"it said {told!r}, without {words}")
    return told


def ragd(one: Site, *arguments: str, exit_code: int = 0) -> str:
    """What a command said, which must end with this exit code and show no traceback. Raises NotSo."""
    command = [sys.executable, "-m", "ragd", "--state", str(one.state), *arguments]
    environment = {**os.environ, **one.environment}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    said = done.stdout + done.stderr
    if done.returncode != exit_code or "Traceback" in said:
        raise NotSo(f"{' '.join(arguments)} ended with {done.returncode} and said: {said[-600:]}")
    return said


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """`mount OPTIONS FOLDER` for the length of the block. Raises Skipped where it is not allowed."""
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Skipped(f"no mount here: {done.stderr.strip().splitlines()[-1]}")
    try:
        yield
    finally:
        deadline = time.monotonic() + 10.0
        while subprocess.run(["umount", str(folder)], capture_output=True, check=False).returncode:
            if time.monotonic() > deadline:
                subprocess.run(["umount", "-l", str(folder)], check=False)
                break
            time.sleep(0.1)


@contextmanager
def writing(catalog: Path) -> Iterator[None]:
    """Another process that holds the catalog's write lock for the length of the block, as a forgotten shell does."""
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30);"
        " c.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(catalog)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdin is not None
    try:
        if holder.stdout.readline() != b"held\n":
            raise NotSo("the other process did not get the lock")
        yield
    finally:
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()


def spoil(path: Path, pages: range) -> None:
    """Overwrites pages of a catalog with noise, as a dying disk does."""
    with path.open("r+b") as file:
        for page in pages:
            file.seek(page * 4096)
            file.write(os.urandom(4096))


def fold(state: Path) -> None:
    """Brings the write-ahead log into the catalog, so that damage to the catalog's file is damage."""
    with closing(sqlite3.connect(state / "catalog.db")) as catalog:
        catalog.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def death(one: Site) -> None:
    """Waits for the daemon to be killed at the fault point that its environment names. Raises NotSo."""
    try:
        status = one.daemon.process.wait(60)
    except subprocess.TimeoutExpired:
        raise NotSo("the fault point was not reached") from None
    one.daemon.client.close()
    if status != -signal.SIGKILL:
        raise NotSo(f"the daemon ended with {status}: {one.last_lines()}")
