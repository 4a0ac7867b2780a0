"""The watcher over the real catalog: marks and digests that SQL computes mean what the scan takes them for."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ragd.catalog.documents import Documents
from ragd.catalog.reader import CatalogReader
from ragd.catalog.store import Store
from ragd.domain.changes import Observation, Presence
from ragd.domain.documents import Stat
from ragd.domain.work import ReadLimits
from ragd.plan.read import read_bytes
from ragd.watch.files import look_at, with_hash
from ragd.watch.ignore import IgnoreRules, IgnoreSettings
from ragd.watch.scan import KnownFiles, Scan


@contextmanager
def catalog(state: Path, root: Path) -> Iterator[tuple[Store, Documents, CatalogReader, int]]:
    state.mkdir()
    store = Store(state)
    documents = Documents(store)
    (one,) = documents.set_roots([("kb", os.fsencode(root))])
    reader = CatalogReader(state)
    yield store, documents, reader, one.id
    reader.close()
    store.close()


def test_a_scan_and_the_catalog_agree_until_one_of_them_changes(tmp_path: Path) -> None:
    root = tmp_path / "kb"
    (root / "a").mkdir(parents=True)
    for number in range(5):
        (root / "a" / f"{number}.md").write_text(str(number))
    (root / "top.md").write_text("top")
    raw = os.fsencode(root)
    rules = IgnoreRules(raw, IgnoreSettings())
    with catalog(tmp_path / "state", root) as (store, documents, reader, root_id):
        known: KnownFiles = reader

        def differing() -> set[bytes]:
            one = Scan(root_id, raw, rules, known, 1000)
            return {seen.path for step in one.steps() for seen in step} | set(one.missing)

        def put(path: bytes, state: str = "ready") -> None:
            with store.transaction():
                documents.put(root_id, with_hash(raw, look_at(raw, path, 1000)), state)

        for path in sorted(differing()):
            put(path)
        assert reader.document_count(root_id) == 6
        for _ in range(3):
            assert differing() == set()
        document = reader.known_path(root_id, b"a/3.md")
        assert document is not None
        with store.transaction():
            documents.touch(document.document_id, Stat(1, 2, 3, 4))
        assert differing() == {b"a/3.md"}
        put(b"a/3.md")
        assert differing() == set()
        with store.transaction():
            documents.delete(document.document_id)
        assert differing() == {b"a/3.md"}
        (root / "a" / "3.md").unlink()
        assert differing() == set()
        with store.transaction():
            seen = look_at(raw, b"top.md", 1)
            documents.put(root_id, Observation(b"top.md", Presence.PRESENT, seen.stat, problem="too large"), "failed")
        assert differing() == {b"top.md"}
        put(b"top.md")
        assert differing() == set()
        time.sleep(0.01)
        (root / "top.md").write_text("pot")
        assert differing() == {b"top.md"}


def test_times_that_no_catalog_can_hold_are_kept_as_the_nearest_it_can(tmp_path: Path) -> None:
    root, far_ns = tmp_path / "kb", 10_413_792_000 * 10**9  # the year 2300, beyond 63 bits of nanoseconds
    root.mkdir()
    file = root / "far.md"
    file.write_text("far")
    os.utime(file, ns=(far_ns, far_ns))
    if file.stat().st_mtime_ns != far_ns:
        pytest.skip("the file system of temporary files keeps no such time")
    raw = os.fsencode(root)
    rules = IgnoreRules(raw, IgnoreSettings())
    with catalog(tmp_path / "state", root) as (store, documents, reader, root_id), open(file, "rb") as opened:
        (seen,) = (one for step in Scan(root_id, raw, rules, reader, 1000).steps() for one in step)
        with store.transaction():
            documents.put(root_id, seen, "ready")
        assert seen.stat == read_bytes(opened.fileno(), ReadLimits()).stat
        again = Scan(root_id, raw, rules, reader, 1000)
        assert [one for step in again.steps() for one in step] == []
        assert again.missing == []
