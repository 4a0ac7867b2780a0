"""Vectors that nobody changed and that are others all the same: in memory, and in a file whose checksum is right."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from bench.fault import Outcome, Scenario, Skipped
from bench.fault_hand import kill, ragd, with_snapshot
from bench.fault_site import Site, site
from ragd.index.exact import ExactIndex
from ragd.index.manifest import MANIFEST_NAME, check_index_file, read_manifest, sha256_of


def flipped_in_memory(scratch: Path) -> Outcome:
    """One bit of a stored vector flips in the memory of the running daemon; the next proof counts the rows there."""
    with site(scratch, environment={"RAGD_INDEX__VERIFY_S": "1"}) as one:
        begun = time.monotonic()
        _flip_in(one.daemon.process.pid, _vectors(one.state))
        one.until(lambda: _is_mended(one), "a proof finds the vector and mends it")
        ragd(one, "verify", "--full")
        return one.outcome(begun, "a proof found the row and took it from the catalog again")


def flipped_in_file(scratch: Path) -> Outcome:
    """A vector was wrong in memory when the snapshot was written, so that checksum and seal are right."""
    with site(scratch) as one:
        folder = with_snapshot(one)
        manifest = read_manifest(folder)
        path = check_index_file(folder, manifest)
        index = ExactIndex.read(path)
        index._codes()[len(index) // 2, 3] ^= 8  # not one that the edits since the snapshot replace
        index.write(path)
        told = replace(manifest, sha256=sha256_of(path), size_bytes=path.stat().st_size)
        (folder / MANIFEST_NAME).write_bytes(told.encoded())
        begun = time.monotonic()
        one.start()
        one.until(lambda: _is_mended(one), "the proof at the start finds the vector and mends it")
        ragd(one, "verify", "--full")
        kill(one)
        one.start()
        return one.outcome(begun, "the proof at the start found the row")


def _is_mended(one: Site) -> bool:
    said = one.log.read_text(errors="replace")
    return re.search(r"event=index_differs .*differing=1", said) is not None and "event=index_repaired" in said


def _vectors(state: Path) -> list[bytes]:
    """The vectors as the catalog keeps them, by id."""
    with closing(sqlite3.connect(state / "catalog.db")) as catalog:
        return [row[0] for row in catalog.execute("SELECT vector FROM vectors ORDER BY chunk_id")]


def _flip_in(pid: int, vectors: list[bytes]) -> None:
    """Flips one bit of the first vector wherever a process holds it with another right behind it, as an index does.

    A page of SQLite has a header between two vectors, so the catalog's own cache is left alone.
    """
    width, all_vectors = len(vectors[0]), set(vectors)
    count = 0
    try:
        with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
            for first, last in _writable(pid):
                memory.seek(first)
                try:
                    held = memory.read(last - first)
                except OSError:  # a region that cannot be read
                    continue
                for found in re.finditer(re.escape(vectors[0]), held):
                    if held[found.end() : found.end() + width] in all_vectors:
                        memory.seek(first + found.start() + 3)
                        memory.write(bytes([vectors[0][3] ^ 8]))
                        count += 1
    except PermissionError as error:
        raise Skipped(f"another process's memory may not be written here: {error}") from error
    if not count:
        raise Skipped("the first vector stands behind the others in memory")


def _writable(pid: int) -> Iterator[tuple[int, int]]:
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        span, rights, *_ = line.split()
        if rights.startswith("rw"):
            first, last = (int(part, 16) for part in span.split("-"))
            yield first, last


SCENARIOS = (
    Scenario("vector-flipped-memory", "a bit of a vector flips in the daemon's memory", flipped_in_memory),
    Scenario("vector-flipped-file", "a snapshot holds a wrong vector, its checksum is right", flipped_in_file),
)
