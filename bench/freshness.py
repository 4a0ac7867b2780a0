"""How soon an edit is found: one paragraph changes in a real Markdown file, at two sizes of the index.

    python -m bench.freshness [--sizes 1000 100000] [--edits 60] [--folder docs]

The index is filled with generated texts and vectors, behind real files, before the daemon starts; the edits go
through watcher, queues, reader and encoder as any user's do. All times are the daemon's own, from its receipts.
The last line is one JSON object:

- `words_overhead_*_ms`: from the moment the file had come to rest (`stable_at`) to the moment its new text was
  searchable by words.
- `meaning_overhead_*_ms`: from the same moment until it was searchable by meaning, less the raw encoding of the
  changed chunks: the seconds spent inside the encoder for them, as its worker measures them.
- `growth`: the median of `meaning_overhead` at the largest size / at the smallest; `growth_words` likewise. Medians,
  because a p95 of sixty edits is the third worst of them: `growth_p95` is given beside.
- `backfill_*`: the same at the largest size while a folder of new files is read and embedded by the same workers.
  The raw encoding is then that of the quiet run, by the character. `backfill_words_ratio` and
  `backfill_meaning_ratio` are p95 / p95 of the quiet run, `backfill_left_chunks` what the backfill had not embedded
  when the last edit was done (0 would mean that it did not last).
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.daemon import Running, running
from bench.filled import fill
from bench.stream import VOCABULARY

_POLL_S = 0.03
_SETTLE_S = 0.3
_TIMEOUT_S = 120.0
_WARM_UP = 3
_NOTES = 20
_BACKLOG_CHUNKS_A_FILE = 20
_SECONDS_AN_EDIT = 0.8
_BACKLOG_CHUNKS_A_SECOND = 60


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit's way in seconds from rest, the characters embedded for it, and the encoder's seconds for them."""

    words_s: float
    meaning_s: float
    chars: int
    encode_s: float
    planned_s: float
    extracted_s: float


class Notes:
    """The Markdown files that are edited, in a watched folder, and what to do to them."""

    def __init__(self, folder: Path, source: Path) -> None:
        self._folder = folder
        self._rng = random.Random(7)
        self._paths: list[Path] = []
        for number, found in enumerate(sorted(source.rglob("*.md"))[:_NOTES]):
            target = folder / "notes" / f"{number:02}-{found.name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found, target)
            if _paragraphs(target.read_text("utf-8")):
                self._paths.append(target)
        if not self._paths:
            raise SystemExit(f"no Markdown file with a paragraph below {source}")
        self.count = len(list((folder / "notes").iterdir()))

    def edit(self, number: int) -> str:
        """Changes one paragraph of one file; returns its path below the watched folder."""
        path = self._paths[number % len(self._paths)]
        text = path.read_text("utf-8")
        start, end = self._rng.choice(_paragraphs(text))
        words = text[start:end].split(" ")
        at = self._rng.randrange(1, len(words))
        words[at:at] = [*self._rng.choices(VOCABULARY, k=3), f"{number}-{self._rng.getrandbits(32):x}"]
        path.write_text(text[:start] + " ".join(words) + text[end:], "utf-8")
        return path.relative_to(self._folder).as_posix()


def _paragraphs(text: str) -> list[tuple[int, int]]:
    """Start and end of each paragraph of prose: no headings, lists, tables or code."""
    found = re.finditer(r"(?<=\n\n)[A-Z][^\n|`]{60,600}\n?(?=\n)", text)
    return [match.span() for match in found]


def main() -> int:
    """Runs the benchmark; 0 when every edit arrived."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 100_000], help="chunks in the index")
    parser.add_argument("--edits", type=int, default=60, help="edits of each run")
    parser.add_argument("--folder", type=Path, default=Path("docs"), help="real Markdown files to edit copies of")
    given, options = parser.parse_known_args()
    sizes: dict[int, dict[str, Any]] = {}
    for size in sorted(given.sizes):
        with tempfile.TemporaryDirectory(prefix="ragd-freshness-") as scratch:
            bench = Bench(Path(scratch), given.folder, given.edits, options)
            bench.fill(size)
            quiet = bench.quiet()
            sizes[size] = figures(quiet, [edit.encode_s for edit in quiet])
            say(f"{size} chunks: {sizes[size]}")
            if size == max(given.sizes):
                chars_per_s = sum(edit.chars for edit in quiet) / max(1e-9, sum(edit.encode_s for edit in quiet))
                busy, left = bench.beside_a_backfill()
                backfill = figures(busy, [edit.chars / chars_per_s for edit in busy])
    print(json.dumps(report(sizes, backfill, left)))
    return 0


class Bench:
    """One watched folder and its state, for a quiet run and then one beside a backfill."""

    def __init__(self, scratch: Path, source: Path, edits: int, options: list[str]) -> None:
        self._folder, self._state = scratch / "documents", scratch / "state"
        self._notes = Notes(self._folder, source)
        self._edits, self._options = edits, options
        self._files = self._notes.count

    def fill(self, chunks: int) -> None:
        """Generated documents, indexed without a daemon."""
        started = time.monotonic()
        self._files += fill(self._folder, self._state, chunks=chunks)
        say(f"{chunks} chunks filled in {time.monotonic() - started:.0f} s")

    def quiet(self) -> list[Edit]:
        """Edits while nothing else happens, once the index has taken the kind that its size asks for."""
        with self._daemon() as daemon:
            daemon.wait_indexed(self._files)
            daemon.wait_until(lambda status: not status["index"]["is_settling"], 300.0, 0.5)
            return self._edited(daemon)

    def beside_a_backfill(self) -> tuple[list[Edit], int]:
        """Edits while new files, there when the daemon starts, are embedded; and chunks left of these at the end."""
        seconds = (self._edits + _WARM_UP) * _SECONDS_AN_EDIT
        count = max(1, round(seconds * _BACKLOG_CHUNKS_A_SECOND / _BACKLOG_CHUNKS_A_FILE))
        backlog(self._folder / "backlog", count)
        with self._daemon() as daemon:
            daemon.wait_until(lambda status: chunks_left(status) >= 500 and status["documents"]["text"] > 0, 120.0, 0.5)
            edits = self._edited(daemon)
            return edits, chunks_left(daemon.status())

    @contextmanager
    def _daemon(self) -> Iterator[Running]:
        with running([self._folder], self._state, *self._options) as daemon:
            yield daemon

    def _edited(self, daemon: Running) -> list[Edit]:
        newest = daemon.newest_receipt()
        edits: list[Edit] = []
        before_s = encode_s(daemon)
        for number in range(-_WARM_UP, self._edits):
            receipt = awaited(daemon, self._notes.edit(number + _WARM_UP), newest)
            newest = receipt["id"]
            now_s = encode_s(daemon)
            if number >= 0:
                edits.append(edit_of(receipt, now_s - before_s))
            before_s = now_s
        return edits


def backlog(folder: Path, files: int) -> None:
    """New files of prose, for the daemon to find when it starts."""
    folder.mkdir()
    rng = random.Random(11)
    for number in range(files):
        blocks = (" ".join(rng.choices(VOCABULARY, k=85)) for _ in range(_BACKLOG_CHUNKS_A_FILE))
        (folder / f"{number:05}.md").write_text("\n\n".join(f"{block.capitalize()}." for block in blocks), "utf-8")


def awaited(daemon: Running, path: str, after: int) -> dict[str, Any]:
    """The receipt of an edit, once it is done. Polls gently: asking costs the daemon time, too."""
    time.sleep(_SETTLE_S)
    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        time.sleep(_POLL_S)
        receipt: dict[str, Any]
        for receipt in daemon.client.receipts(pending=False, limit=8)["receipts"]:
            if receipt["path"] == path and receipt["id"] > after and receipt["outcome"] == "searchable":
                return receipt
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} after {_TIMEOUT_S:g} s: {daemon.client.receipts(path=path, limit=2)}")


def encode_s(daemon: Running) -> float:
    """Seconds spent inside the encoder so far."""
    return float(daemon.status()["model"]["encode_s"])


def chunks_left(status: dict[str, Any]) -> int:
    """Chunks that wait for a vector."""
    return int(status["chunks"]["total"] - status["chunks"]["with_vectors"])


def edit_of(receipt: dict[str, Any], encoded_s: float) -> Edit:
    """An edit's figures from its receipt."""
    stable_at = receipt["stable_at"]
    return Edit(
        receipt["text_searchable_at"] - stable_at,
        receipt["searchable_at"] - stable_at,
        receipt["encoded_chars"],
        encoded_s,
        receipt["planned_at"] - stable_at,
        (receipt["extracted_at"] or receipt["planned_at"]) - stable_at,
    )


def figures(edits: list[Edit], raw_s: list[float]) -> dict[str, Any]:
    """Medians and p95 of a run, in milliseconds; `planned` and `extracted` say where the time of `words` goes."""
    meaning = [edit.meaning_s - raw for edit, raw in zip(edits, raw_s, strict=True)]
    return {
        "edits": len(edits),
        **spread("words_overhead", [edit.words_s for edit in edits]),
        **spread("meaning_overhead", meaning),
        "encode_median_ms": milliseconds(raw_s, 50),
        "planned_median_ms": milliseconds([edit.planned_s for edit in edits], 50),
        "extracted_median_ms": milliseconds([edit.extracted_s for edit in edits], 50),
        "chars_median": int(np.median([edit.chars for edit in edits])),
    }


def spread(name: str, seconds: list[float]) -> dict[str, float]:
    """Median and p95."""
    return {f"{name}_median_ms": milliseconds(seconds, 50), f"{name}_p95_ms": milliseconds(seconds, 95)}


def milliseconds(seconds: list[float], percentile: float) -> float:
    """A percentile in milliseconds."""
    return round(1e3 * float(np.percentile(seconds, percentile)), 1)


def report(sizes: dict[int, dict[str, Any]], backfill: dict[str, Any], left: int) -> dict[str, Any]:
    """The keys of the largest size at the top, then growth, the backfill and every size."""
    small, large = sizes[min(sizes)], sizes[max(sizes)]

    def ratio(name: str, to: dict[str, Any], of: dict[str, Any]) -> float:
        return float(round(to[name] / max(1e-9, of[name]), 3))

    return {
        **large,
        "growth": ratio("meaning_overhead_median_ms", large, small),
        "growth_words": ratio("words_overhead_median_ms", large, small),
        "growth_p95": ratio("meaning_overhead_p95_ms", large, small),
        "backfill_words_p95_ms": backfill["words_overhead_p95_ms"],
        "backfill_meaning_p95_ms": backfill["meaning_overhead_p95_ms"],
        "backfill_words_ratio": ratio("words_overhead_p95_ms", backfill, large),
        "backfill_meaning_ratio": ratio("meaning_overhead_p95_ms", backfill, large),
        "backfill_left_chunks": left,
        "backfill": backfill,
        "sizes": {str(size): found for size, found in sizes.items()},
    }


def say(line: str) -> None:
    """A progress line."""
    print(f"# {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
