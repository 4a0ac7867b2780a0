"""Kill -9 of everything that runs, at random moments of an edit stream that never rests.

    python -m bench.crash --kills 500 [--seed N] [--files 60] [--pace 15] [--torn 0.6]

A daemon with its private Redis and a tiny model (random weights, a real ONNX session: the plumbing is under test,
not the vectors) watches a folder of small Markdown files. Each round kills one of: the daemon, its extract worker,
its embed worker, Redis, the reading child of the extract worker; one daemon kill in four is followed by another
while it starts. A share `--torn` of the daemon's kills is a power cut: before the next start files are torn that
no fsync had promised, and the newest snapshot as a bad disk does (`bench.torn` says exactly what). Edits go on
before, during and after. Then the stream pauses, and within 30 s (the periodic rescan is off) everything must be
searchable and equal to the folder: documents, hits by words and by meaning, text that is gone, the catalog's own
sums, `verify`. What is not counts as `lost`, `ghosts`, `duplicates`, or in `verify_clean`.

`back_s` is the time from a daemon's kill until it answers a search again; the other kills do not interrupt
search (`search_failures` counts where they do). `current_s` is the time from the pause of the edits
until all was searchable and equal. Settle times are shortened to 0.1 s and 0.5 s. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bench import torn
from bench.daemon import Running, launch
from bench.stream import Editor, Stream
from bench.truth import Findings, Truth
from bench.wal import Log, look
from ragd.domain.errors import RagdError
from ragd.testing.tiny import tiny_model

TARGETS = ("daemon", "extract", "embed", "redis", "sandbox")
_MARKS = {
    "extract": ("worker", "extract"),
    "embed": ("worker", "embed"),
    "redis": ("redis",),
    "sandbox": ("ragd.plan.sandbox_child",),
}
_PATIENCE_S = 30.0
_EDITS = 15  # a round's: a third of a folder gone while the daemon is away would be held until a person agrees


@dataclass(slots=True)
class Tally:
    """What the rounds showed."""

    kills: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TARGETS, 0))
    back_s: list[float] = field(default_factory=list)
    current_s: dict[str, list[float]] = field(default_factory=lambda: {target: [] for target in TARGETS})
    lost: int = 0
    ghosts: int = 0
    duplicates: int = 0
    unclean: int = 0
    orphans: int = 0
    search_failures: int = 0
    torn: dict[str, int] = field(default_factory=lambda: dict.fromkeys(torn.KINDS, 0))

    def add(self, found: Findings) -> None:
        """Counts what was still wrong when patience ended."""
        self.lost += len(found.lost)
        self.ghosts += len(found.ghosts)
        self.duplicates += len(found.duplicates)
        self.unclean += len(found.differing)

    def report(self) -> dict[str, object]:
        """The JSON line."""
        return {
            "bench": "crash",
            "kills": sum(self.kills.values()),
            "by_target": self.kills,
            "torn": self.torn,
            "lost": self.lost,
            "ghosts": self.ghosts,
            "duplicates": self.duplicates,
            "verify_clean": self.unclean == 0,
            "orphans": self.orphans,
            "search_failures": self.search_failures,
            "median_back_s": _quantile(self.back_s, 0.5),
            "p95_back_s": _quantile(self.back_s, 0.95),
            "current_s": {
                target: {"median": _quantile(times, 0.5), "p95": _quantile(times, 0.95)}
                for target, times in self.current_s.items()
            },
        }


class Arena:
    """One folder, its daemon, and the hand that kills."""

    def __init__(self, scratch: Path, *, files: int, pace: float, seed: int, torn_share: float) -> None:
        self._random = random.Random(seed)
        self._torn_share = torn_share
        self._settled_log = Log(b"", 0, 0)
        self._folder, self._state = scratch / "documents", scratch / "state"
        self._environment = {
            "RAGD_EMBED__MODEL": str(tiny_model(scratch / "model", max_tokens=256)),
            "RAGD_WATCH__SETTLE_S": "0.1",
            "RAGD_WATCH__UNCLOSED_S": "0.5",
            "RAGD_WATCH__RESCAN_S": "0",
            "RAGD_INDEX__SNAPSHOT_S": "3",
            "OMP_NUM_THREADS": "1",
        }
        self._errors = (scratch / "daemon.log").open("ab")
        self.editor = Editor(self._folder, files=files, seed=seed)
        self._truth = Truth(self._folder, self._state, sample=20, seed=seed)
        self._stream = Stream(self.editor, pace=pace, seed=seed)
        self._daemon: Running = self._launched()
        self.tally = Tally()
        self.search_until_answered()

    def round(self, target: str) -> Findings:
        """Edits, a kill amid them, edits, a pause; what is still wrong when patience ended."""
        self._stream.go(at_most=_EDITS)
        time.sleep(self._random.uniform(0.0, 0.6))
        if target == "daemon":
            self._kill_daemon(again=self._random.random() < 0.25)
        else:
            self._kill_child(target)
        time.sleep(self._random.uniform(0.0, 0.4))
        self._stream.pause()
        begun = time.monotonic()
        found = self.settled()
        self.tally.current_s[target].append(time.monotonic() - begun)
        self.tally.add(found)
        return found

    def settled(self) -> Findings:
        """No findings as soon as there are none; else those at the end of the patience."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                found = self._truth.findings(self._daemon.client, self.editor.words)
            except RagdError as error:
                found = Findings(lost=[f"no answer: {error}"])
            if found.is_clean or time.monotonic() > deadline:
                self._settled_log = look(self._state / "catalog.db")
                return found
            time.sleep(0.05)

    def search_until_answered(self) -> None:
        """Returns when the daemon answers a search. Raises RuntimeError when it ended instead."""
        deadline = time.monotonic() + 120.0
        while True:
            try:
                self._daemon.client.search(q="amber", mode="words")
                return
            except RagdError as error:
                if self._daemon.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the daemon does not serve: {error}") from error
                time.sleep(0.01)

    def end(self) -> int:
        """Stops the stream, then the daemon in order; returns its exit status."""
        self._stream.end()
        self._daemon.client.close()
        self._daemon.process.send_signal(signal.SIGTERM)
        status = self._daemon.process.wait(60)
        self._errors.close()
        return status

    def _launched(self) -> Running:
        return launch([self._folder], self._state, environment=self._environment, errors=self._errors)

    def _kill_daemon(self, *, again: bool) -> None:
        killed_at, children = self._end_daemon()
        if again:
            time.sleep(self._random.uniform(0.0, 2.0))
            killed_at, more = self._end_daemon()
            children += more
        self.search_until_answered()
        self.tally.back_s.append(time.monotonic() - killed_at)
        _, alive = psutil.wait_procs(children, timeout=2.0)
        self.tally.orphans += len(alive)

    def _end_daemon(self) -> tuple[float, list[psutil.Process]]:
        """Kill -9, and at once the next one; returns when that was and the children of the first."""
        children = psutil.Process(self._daemon.process.pid).children(recursive=True)
        killed_at = time.monotonic()
        self._daemon.process.kill()
        self._daemon.process.wait()
        self._daemon.client.close()
        self.tally.kills["daemon"] += 1
        if self._random.random() < self._torn_share:
            psutil.wait_procs(children, timeout=2.0)
            kind = self._random.choice(torn.KINDS)
            self.tally.torn[kind] += torn.tear(kind, self._state, self._random, self._settled_log)
        self._daemon = self._launched()
        return killed_at, children

    def _kill_child(self, target: str) -> None:
        deadline = time.monotonic() + 60.0
        while not (found := self._children(target)):
            if time.monotonic() > deadline:
                raise RuntimeError(f"there is no {target} process to kill")
            time.sleep(0.02)
        with suppress(ProcessLookupError):
            os.kill(self._random.choice(found), signal.SIGKILL)
        self.tally.kills[target] += 1
        for _ in range(5):
            try:
                self._daemon.client.search(q="amber", mode="hybrid")
            except RagdError:
                self.tally.search_failures += 1
            time.sleep(0.02)

    def _children(self, target: str) -> list[int]:
        found = []
        for child in psutil.Process(self._daemon.process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                command = child.cmdline()
                if all(any(mark in part for part in command) for mark in _MARKS[target]):
                    found.append(child.pid)
        return found


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the rounds and prints the JSON line; 1 when anything was wrong."""
    parser = argparse.ArgumentParser(prog="bench.crash", description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=500, help="how many processes are killed (default 500)")
    parser.add_argument("--seed", type=int, default=1, help="of the edits, the targets and the moments (default 1)")
    parser.add_argument("--files", type=int, default=60, help="documents in the folder (default 60)")
    parser.add_argument("--pace", type=float, default=15.0, help="edits a second (default 15)")
    parser.add_argument("--torn", type=float, default=0.6, help="share of the daemon's kills that tear (default 0.6)")
    parser.add_argument("--keep", type=Path, help="work in this folder and leave it there")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="ragd-") as scratch:
        folder = options.keep or Path(scratch)
        tally = run(
            folder,
            kills=options.kills,
            seed=options.seed,
            files=options.files,
            pace=options.pace,
            torn_share=options.torn,
        )
    print(json.dumps(tally.report()))
    return int(bool(tally.lost or tally.ghosts or tally.duplicates or tally.unclean or tally.orphans))


def run(scratch: Path, *, kills: int, seed: int, files: int = 60, pace: float = 15.0, torn_share: float = 0.6) -> Tally:
    """The whole benchmark in an empty folder; progress and findings go to standard error."""
    arena = Arena(scratch, files=files, pace=pace, seed=seed, torn_share=torn_share)
    try:
        _say(arena.settled(), f"started with {files} files")
        for target in _targets(seed):
            if (done := sum(arena.tally.kills.values())) >= kills:
                break
            found = arena.round(target)
            _say(found, f"{done + 1}/{kills} {target} {arena.tally.current_s[target][-1]:.2f} s, {arena.editor.edits}")
    finally:
        status = arena.end()
    if status:
        raise RuntimeError(f"the daemon ended with status {status} when it was asked to stop")
    return arena.tally


def _targets(seed: int) -> Iterator[str]:
    """Every target as often as the others, in no order, for ever."""
    rng = random.Random(seed)
    while True:
        yield from rng.sample(TARGETS, len(TARGETS))


def _say(found: Findings, what: str) -> None:
    print(what, file=sys.stderr, flush=True)
    for kind in ("lost", "ghosts", "duplicates", "differing"):
        for sentence in getattr(found, kind)[:20]:
            print(f"  {kind}: {sentence}", file=sys.stderr, flush=True)


def _quantile(values: Sequence[float], share: float) -> float | None:
    if len(values) < 2:
        return round(values[0], 3) if values else None
    return round(statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1], 3)


if __name__ == "__main__":
    sys.exit(main())
