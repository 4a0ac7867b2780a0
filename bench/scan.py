"""A rescan that finds nothing against a bare scandir + stat walk of the same tree, over the real catalog.

    python -m bench.scan --files 100000 [--folder DIR] [--runs 5]

Without --folder a tree is made in a temporary folder. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ragd.catalog.documents import Documents
from ragd.catalog.reader import CatalogReader
from ragd.catalog.store import Store
from ragd.watch.ignore import IgnoreRules, IgnoreSettings
from ragd.watch.scan import Scan

_FILES_PER_FOLDER = 40
_WARM_UPS = 3
_MAX_FILE_BYTES = 64 * 1024 * 1024


def main() -> None:
    """Fills a catalog from the tree, then times rescans and bare walks in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000, help="files to make")
    parser.add_argument("--folder", type=Path, help="take this tree instead of making one")
    parser.add_argument("--runs", type=int, default=5, help="runs of each, in turn")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = options.folder or make_tree(Path(scratch) / "tree", options.files)
        with filled(Path(scratch) / "state", root) as (reader, root_id):
            print(json.dumps(measure(os.fsencode(root), reader, root_id, options.runs)))


def make_tree(root: Path, files: int) -> Path:
    """A tree of small files, 40 a folder, three levels deep."""
    for number in range(files):
        folder_number = number // _FILES_PER_FOLDER
        folder = root / f"area-{folder_number // 400:02}" / f"topic-{folder_number // 20 % 20:02}"
        folder = folder / f"part-{folder_number % 20:02}"
        if number % _FILES_PER_FOLDER == 0:
            folder.mkdir(parents=True, exist_ok=True)
        (folder / f"note-{number:06}.md").write_text(f"# Note {number}\n")
    return root


@contextmanager
def filled(state: Path, root: Path) -> Iterator[tuple[CatalogReader, int]]:
    """A catalog that knows every file of the tree."""
    state.mkdir()
    store = Store(state)
    documents = Documents(store)
    (one,) = documents.set_roots([("bench", os.fsencode(root))])
    reader = CatalogReader(state)
    started = time.perf_counter()
    for found in scan(os.fsencode(root), reader, one.id, IgnoreRules(os.fsencode(root), IgnoreSettings())).steps():
        if found:
            with store.transaction():
                for observation in found:
                    documents.put(one.id, observation, "failed" if observation.problem else "ready")
    print(f"first scan with hashing and rows: {time.perf_counter() - started:.1f} s")
    try:
        yield reader, one.id
    finally:
        reader.close()
        store.close()


def measure(root: bytes, reader: CatalogReader, root_id: int, runs: int) -> dict[str, object]:
    """Medians of alternating runs, after warm-ups: a daemon at rest scans again and again with the same rules."""
    found: list[Scan] = []
    rules = IgnoreRules(root, IgnoreSettings())

    def rescan() -> None:
        one = scan(root, reader, root_id, rules)
        differing = sum(len(step) for step in one.steps())
        assert (differing, one.missing) == (0, []), f"{differing} files differ, {len(one.missing)} are missing"
        found.append(one)

    times: dict[str, list[float]] = {"scan": [], "walk": []}
    first_s = 0.0
    for run in range(-_WARM_UPS, runs):
        for name, work in (("scan", rescan), ("walk", lambda: walk(root))):
            seconds = timed(work)
            if run >= 0:
                times[name].append(seconds)
            elif name == "scan":
                first_s = first_s or seconds
    scan_s, walk_s = statistics.median(times["scan"]), statistics.median(times["walk"])
    return {
        "bench": "scan",
        "files": found[-1].files,
        "folders": len(found[-1].folders),
        "runs": runs,
        "scan_s": round(scan_s, 4),
        "walk_s": round(walk_s, 4),
        "first_scan_s": round(first_s, 4),
        "ratio": round(scan_s / walk_s, 3),
        "files_per_s": round(found[-1].files / scan_s),
    }


def scan(root: bytes, reader: CatalogReader, root_id: int, rules: IgnoreRules) -> Scan:
    """The scan that the watcher runs, with the default settings."""
    return Scan(root_id, root, rules, reader, _MAX_FILE_BYTES)


def walk(root: bytes) -> int:
    """The least that any scan must do: list every folder, stat every file."""
    files, stack = 0, [root]
    while stack:
        with os.scandir(stack.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    stack.append(entry.path)
                else:
                    entry.stat(follow_symlinks=False)
                    files += 1
    return files


def timed(work: Callable[[], object]) -> float:
    """Seconds of one run."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
