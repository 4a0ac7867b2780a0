"""Reads every document again for `ragd verify --deep`, with a bar that says how far it is."""

from __future__ import annotations

import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from ragd.catalog.reader import CatalogReader
from ragd.domain.documents import display_path
from ragd.watch.reread import Finding, Reread, reread


def read_again(state: Path) -> dict[str, Any]:
    """What reading showed, in plain values: how many files and bytes, and which differ from the catalog.

    It reads beside a daemon, whose catalog it only looks at. Raises StateCorrupt, StateNewer, StateOlder.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    started = time.monotonic()
    counted: Counter[Finding] = Counter()
    size_bytes = 0
    differing: list[dict[str, Any]] = []
    columns = (TextColumn("reading files again"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    console = Console(stderr=True)
    bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not sys.stderr.isatty())
    with closing(CatalogReader(state)) as reader, bar:
        known = reader.known_hashes()
        task = bar.add_task("", total=len(known))
        for each in reread(known):
            counted[each.finding] += 1
            size_bytes += each.size_bytes
            if each.finding in (Finding.CHANGED, Finding.UNREADABLE):
                differing.append(_shown(each))
            bar.advance(task)
    return {
        "read": counted.total() - counted[Finding.UNREADABLE],
        "size_bytes": size_bytes,
        "moved_on": counted[Finding.MOVED_ON],
        "differing": differing,
        "taken_up": 0,
        "seconds": time.monotonic() - started,
    }


def _shown(each: Reread) -> dict[str, Any]:
    path = f"{display_path(each.root)}/{display_path(each.document.path)}"
    return {"id": each.document.document_id, "path": path, "finding": str(each.finding), "reason": each.reason}
