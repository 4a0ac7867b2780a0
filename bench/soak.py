"""Months in minutes: a daemon under edits, questions and faults that never rest, and what of it grows.

    python -m bench.soak --minutes 20 [--seed N] [--files 150] [--pace 10]

A daemon with its private Redis and a tiny model (random weights, a real ONNX session) watches a folder whose size stays
the same: files are rewritten, appended to, saved atomically, reverted, moved, copied, made, deleted, folders renamed,
files that no reader can read come and go. Beside that it is asked, by words, by meaning, both, with filters, and it is
hurt: kill -9 of its workers, of its Redis and, once, of itself; walks, proofs, a whole folder replaced. What `retain`
limits is limited tightly, so that what comes and what goes is in balance after a minute.

Every two seconds all that could grow is sampled: resident memory, handles and threads of the daemon, of each worker and
of Redis, the state folder by part, rows by table, keys and memory of Redis. `slopes` tells of each the growth per
thousand edits with its 95 % interval (Theil-Sen within the lives of a process, after their warm-up, in the part of the
run after `--warmup`; see `bench.slopes`) and a verdict: `grows` where the growth is beyond noise, and beyond what the
quantity comes in (a MiB of memory, one handle). A daemon's memory counts from its 400th second on, when what it
remembers is full: the last 2,000 query vectors, five minutes of timings. So run for 15 minutes at least. `latency`
compares the p99 of searches in the first third with the last, `latency_inside` what the daemon measures, and
`machine_hiccup` for how late a sleep of a millisecond ends: where that grows too, others were at work. At the end the
stream rests: every document must be found as the dictionary beside the folder says, nothing else, `verify` clean; then
the daemon is killed and started once more, and it must be so still. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from bench.daemon import Running, await_answer, launch
from bench.gauges import Gauges
from bench.library import Library
from bench.soak_report import latencies, slopes
from bench.stream import VOCABULARY
from bench.truth import Findings, Truth
from ragd.cli.client import Client
from ragd.domain.errors import RagdError
from ragd.testing.tiny import tiny_model

_SAMPLE_S = 2.0
_FAULT_S = 12.0
_PATIENCE_S = 90.0
_QUIET = ("rescan", "verify", "folder")
_KILLS = ("extract", "embed", "redis", "sandbox")
# What is kept is kept short, so that coming and going are in balance soon.
_SETTINGS = {
    "RAGD_WATCH__SETTLE_S": "0.1",
    "RAGD_WATCH__UNCLOSED_S": "0.5",
    "RAGD_WATCH__RESCAN_S": "60",
    "RAGD_INDEX__SNAPSHOT_S": "10",
    "RAGD_LEARN__JOURNAL": "true",
    "RAGD_LEARN__JOURNAL_DAYS": "0.0005",
    "RAGD_RETAIN__DAYS": "0.0003",
    "RAGD_RETAIN__RECEIPTS": "1000",
    "RAGD_RETAIN__QUERIES": "500",
    "RAGD_RETAIN__WINDOWS": "10",
    "RAGD_RETAIN__DECISIONS": "10",
    "RAGD_RETAIN__FREE_MB": "0",
    "RAGD_RETAIN__TURN_S": "5",
    "OMP_NUM_THREADS": "1",
}


class Soak:
    """One folder, its daemon, and everything that happens to them."""

    def __init__(self, scratch: Path, *, files: int, pace: float, seed: int, minutes: float) -> None:
        self._random = random.Random(seed)
        self._pace, self._duration_s = pace, minutes * 60
        self._folder, self._state = scratch / "documents", scratch / "state"
        self._environment = {"RAGD_EMBED__MODEL": str(tiny_model(scratch / "model", max_tokens=256)), **_SETTINGS}
        self._errors = (scratch / "daemon.log").open("ab")
        self.library = Library(self._folder, scratch / "beside", files=files, seed=seed)
        self._truth = Truth(self._folder, self._state, sample=2000, seed=seed)
        self.gauges = Gauges(self._state, lambda: self.library.edits)
        self.faults: Counter[str] = Counter()
        self.errors: list[str] = []
        self.asked: list[tuple[float, float, float]] = []  # what a search took outside and inside, and a hiccup, ms
        self._ended, self._is_up = threading.Event(), threading.Event()
        self._killed_at: dict[str, float] = {}
        self._spare_s = max(30.0, self._duration_s * 0.3)
        self._daemon = self._started()

    def run(self) -> None:
        """Everything at once, for the whole time; then rest."""
        begun = time.monotonic()
        threads = [threading.Thread(target=self._guarded, args=(each,)) for each in (self._edit, self._ask)]
        for thread in threads:
            thread.start()
        try:
            self._watch(begun)
        finally:
            self._ended.set()
            for thread in threads:
                thread.join()
        self.library.tidy()

    def settled(self) -> list[str]:
        """What is wrong when all had time to settle: nothing, or sentences."""
        wrong = [f"the bench's own folder differs at {path}" for path in self.library.differences()]
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                found = self._truth.findings(self._daemon.client, self.library.words)
            except RagdError as error:
                found = Findings(lost=[f"no answer: {error}"])
            if found.is_clean or time.monotonic() > deadline:
                return [*wrong, *found.lost, *found.ghosts, *found.duplicates, *found.differing]
            time.sleep(0.5)

    def kill_daemon(self) -> None:
        """Kill -9 of the daemon, and a new one."""
        self._is_up.clear()
        self._daemon.process.kill()
        self._daemon.process.wait()
        self._daemon.client.close()
        self._daemon = self._started()
        self.faults["daemon"] += 1

    def end(self) -> int:
        """Stops the daemon in order; returns its exit status."""
        self._daemon.client.close()
        self._daemon.process.terminate()
        status = self._daemon.process.wait(60)
        self._errors.close()
        return status

    def _started(self) -> Running:
        daemon = launch([self._folder], self._state, environment=self._environment, errors=self._errors)
        await_answer(daemon.process, daemon.client)
        self._is_up.set()
        return daemon

    def _watch(self, begun: float) -> None:
        """Samples and faults, in the calling thread: the daemon and its children are bound to it."""
        sample_at, fault_at = begun, begun + _FAULT_S
        must_kill = True
        while (now := time.monotonic()) < begun + self._duration_s:
            if self._daemon.process.poll() is not None:
                raise RuntimeError(f"the daemon ended by itself with {self._daemon.process.returncode}")
            if must_kill and now - begun > self._duration_s * 0.2:
                must_kill = False
                self.kill_daemon()
            elif now >= fault_at:
                fault_at = now + self._random.uniform(0.5, 1.5) * _FAULT_S
                self._try("fault", self._fault)
            elif now >= sample_at:
                sample_at = now + _SAMPLE_S
                self._try("sample", lambda: self.gauges.sample(self._daemon, self._daemon.status()))
            else:
                time.sleep(0.05)

    def _fault(self) -> None:
        now = time.monotonic()
        kills = [kind for kind in _KILLS if now - self._killed_at.get(kind, 0.0) > self._spare_s]
        kind = self._random.choice([*kills, *_QUIET, *_QUIET])
        if kind == "rescan":
            self._daemon.client.rescan(None)
        elif kind == "verify":
            report = self._daemon.client.verify()
            if not report["clean"]:
                self.errors.append(f"verify: {report}")
        elif kind == "folder":
            self.library.replace_folder()
        elif processes := self._daemon.children()[kind]:
            self._killed_at[kind] = now
            self._random.choice(processes).kill()
        else:
            return
        self.faults[kind] += 1

    def _edit(self) -> None:
        while not self._ended.wait(self._random.expovariate(self._pace)):
            self.library.step()

    def _ask(self) -> None:
        asking = random.Random(self._pace)
        client = Client(self._state / "ragd.sock")
        while not self._ended.wait(asking.expovariate(12.0)):
            if not self._is_up.is_set():
                client.close()
                self._is_up.wait(1.0)
                continue
            try:
                self._ask_once(client, asking)
            except RagdError as error:
                if self._is_up.is_set() and self._daemon.process.poll() is None:
                    self.errors.append(f"search: {type(error).__name__}: {error}")
        client.close()

    def _ask_once(self, client: Client, asking: random.Random) -> None:
        words = self.library.words[-3000:]
        text = asking.choice(words) if asking.random() < 0.4 else " ".join(asking.choices(VOCABULARY, k=3))
        filters: list[dict[str, str]] = [{}, {}, {"type": "md"}, {"folder": "guide"}, {"glob": "**/document-*1.md"}]
        filters += [{"modified_after": "1h"}] if asking.random() < 0.5 else []
        mode, given = asking.choice(("words", "dense", "hybrid")), asking.choice(filters)
        resting = time.perf_counter()
        time.sleep(0.001)
        begun = time.perf_counter()
        answer = client.search(timeout_s=None, q=text, mode=mode, limit=10, **given)
        took_ms = (time.perf_counter() - begun) * 1000
        self.asked.append((took_ms, float(answer["took_ms"]), (begun - resting) * 1000 - 1.0))

    def _try(self, what: str, action: Callable[[], object]) -> None:
        try:
            action()
        except (RagdError, OSError, sqlite3.Error, psutil.Error) as error:
            self.errors.append(f"{what}: {type(error).__name__}: {error}")

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - a thread of the bench that breaks must not pass for a daemon's success
            self.errors.append(f"the bench broke: {type(error).__name__}: {error}")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the soak and prints the JSON line; 1 when anything was wrong or grew."""
    parser = argparse.ArgumentParser(prog="bench.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=20.0, help="how long (default 20)")
    parser.add_argument("--seed", type=int, default=1, help="of edits, questions and faults (default 1)")
    parser.add_argument("--files", type=int, default=150, help="documents in the folder (default 150)")
    parser.add_argument("--pace", type=float, default=10.0, help="edits a second (default 10)")
    parser.add_argument("--warmup", type=float, default=60.0, help="seconds of a life that do not count (default 60)")
    parser.add_argument("--keep", type=Path, help="work in this folder and leave it there")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="ragd-") as scratch:
        folder = options.keep or Path(scratch)
        soak = Soak(folder, files=options.files, pace=options.pace, seed=options.seed, minutes=options.minutes)
        report = carried_out(soak, options.warmup)
        if options.keep:
            soak.gauges.write(folder / "samples.jsonl")
    print(json.dumps(report))
    return int(bool(report["growing"] or report["errors"] or report["wrong"]))


def carried_out(soak: Soak, warmup_s: float) -> dict[str, Any]:
    """The whole run and its JSON line; the slopes go to standard error as well."""
    begun = time.monotonic()
    try:
        soak.run()
        took_s = time.monotonic() - begun
        wrong = soak.settled()
        soak.kill_daemon()
        wrong += [f"after a kill: {sentence}" for sentence in soak.settled()]
    finally:
        status = soak.end()
    return {
        "bench": "soak",
        "minutes": round(took_s / 60, 2),
        "edits": soak.library.edits,
        "documents": len(soak.library.texts),
        "queries": len(soak.asked),
        "faults": dict(soak.faults),
        "errors": len(soak.errors),
        "first_errors": soak.errors[:5],
        "exit_status": status,
        "model_equal": not wrong,
        "wrong": wrong[:10],
        **latencies(soak.asked),
        **slopes(soak.gauges, warmup_s),
    }


if __name__ == "__main__":
    sys.exit(main())
