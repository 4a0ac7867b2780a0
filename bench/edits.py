"""Replays the history of a folder through a running daemon, and counts what it costs.

    python -m bench.edits --stream ../shared/data/rust-book-edits.jsonl.gz [--revisions N]

The first line of the stream writes the tree; then each revision is written and waited for until every path it
touches is searchable by words and by meaning, or gone. The last line is one JSON object; all times are the
daemon's own, from its receipts:

- `reembedded_ratio`: characters handed to the encoder / characters of the edited files, the first line left out;
  `first60_ratio` is the same over the 60 revisions after the first.
- `update_s_total`: the sum over revisions of the time from the moment the first of its files had come to rest
  (`stable_at`) to the moment the last was searchable by meaning. `settle_s_total` is what comes before, from the
  write to that rest: a quiet of `watch.settle_s` that is chosen, not paid for.
- `encode_s`: the seconds spent inside the encoder, as its worker measures them around each call; `rest_s` is
  `update_s_total` without them: noticing, planning, extraction, queues, commits and waiting. `rest_share` is
  `rest_s` / `update_s_total`.
- `move_reembedded`: characters handed to the encoder because files and a folder were renamed;
  `switch_back_reembedded`: because an earlier tree was written, and then the last one again.
- `ghost_hits`: hits, of searches for passages that the tree no longer has, at paths or with texts that do not exist,
  and documents listed at paths that do not exist; `missing_documents`: files that are not searchable.
- `verify_clean`: the index is equal to the catalog by `/v1/verify`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.daemon import Running, running
from bench.history import Revision, Tree, between, old_passages, read_history, write_tree

_FIRST = 60
_POLL_S = 0.04
_TIMEOUT_S = 300.0
_PASSAGES = 60
_HITS = 20
_ENDED = ("searchable", "deleted", "failed")


@dataclass(frozen=True, slots=True)
class Step:
    """One replayed revision: characters of its files, seconds until rest, seconds from there until searchable."""

    chars: int
    settle_s: float
    update_s: float


class Replay:
    """A folder under a running daemon, and the tree that it holds."""

    def __init__(self, daemon: Running, folder: Path) -> None:
        self.daemon, self.folder = daemon, folder
        self.tree: Tree = {}
        self._newest = daemon.newest_receipt()

    def encoded(self) -> tuple[int, float]:
        """Characters handed to the encoder so far, and its seconds."""
        model = self.daemon.status()["model"]
        return int(model["encoded_chars"]), float(model["encode_s"])

    def fill(self, revision: Revision) -> None:
        """Writes the first tree and waits until all of it is searchable."""
        write_tree(self.folder, revision)
        self.tree = revision.apply(self.tree)
        self.daemon.wait_indexed(len(self.tree))
        self._newest = self.daemon.newest_receipt()

    def play(self, revision: Revision, act: Callable[[], None] | None = None) -> Step:
        """Does a revision on disk (by `act`, if given) and waits until every path it touches is searchable or gone."""
        before, self.tree = self.tree, revision.apply(self.tree)
        changed = {p for p in before.keys() | self.tree.keys() if before.get(p) != self.tree.get(p)}
        written_at = time.time()
        write_tree(self.folder, revision) if act is None else act()
        if not changed:
            return Step(revision.chars, 0.0, 0.0)
        receipts = self._awaited(changed)
        stable_at = min(receipt["stable_at"] for receipt in receipts.values())
        done_at = max(receipt["searchable_at"] or receipt["planned_at"] for receipt in receipts.values())
        return Step(revision.chars, stable_at - written_at, done_at - stable_at)

    def _awaited(self, paths: set[str]) -> dict[str, dict[str, Any]]:
        """The last receipt of each path, once all have ended. Polls gently: asking costs the daemon time, too."""
        deadline = time.monotonic() + _TIMEOUT_S
        while True:
            time.sleep(_POLL_S)
            found: dict[str, dict[str, Any]] = {}
            for receipt in self.daemon.client.receipts(limit=min(1000, 3 * len(paths) + 8))["receipts"]:
                if receipt["id"] > self._newest and receipt["path"] in paths:
                    found.setdefault(receipt["path"], receipt)
            if all(self._is_ended(path, found.get(path)) for path in paths):
                self._newest = max(receipt["id"] for receipt in found.values())
                return found
            if time.monotonic() > deadline:
                late = sorted(path for path in paths if not self._is_ended(path, found.get(path)))
                raise TimeoutError(f"not done after {_TIMEOUT_S:g} s: {late[:5]}")

    def _is_ended(self, path: str, receipt: dict[str, Any] | None) -> bool:
        if receipt is None or receipt["outcome"] not in _ENDED:
            return False
        return bool((receipt["outcome"] == "deleted") == (path not in self.tree))


def main() -> int:
    """Runs the benchmark; 0 when the index is true at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stream", type=Path, required=True, help="an edit stream (.jsonl or .jsonl.gz)")
    parser.add_argument("--revisions", type=int, default=0, metavar="N", help="revisions after the first, 0: all")
    given, options = parser.parse_known_args()
    stream = list(read_history(given.stream, given.revisions + 1 if given.revisions else 0))
    with tempfile.TemporaryDirectory(prefix="ragd-edits-") as scratch:
        folder = Path(scratch) / "tree"
        folder.mkdir()
        with running([folder], Path(scratch) / "state", *options) as daemon:
            report = measure(Replay(daemon, folder), stream)
    print(json.dumps(report))
    return 0 if report["verify_clean"] and not report["ghost_hits"] and not report["missing_documents"] else 1


def measure(replay: Replay, stream: list[Revision]) -> dict[str, Any]:
    """Replays the stream, then moves and switches back, then looks for ghosts."""
    started = time.monotonic()
    replay.fill(stream[0])
    say(f"{len(replay.tree)} files searchable after {time.monotonic() - started:.0f} s")
    trees = [replay.tree]
    figures = replayed(replay, stream[1:], trees)
    figures["move_reembedded"] = moved(replay)
    figures["switch_back_reembedded"] = switched_back(replay, trees[len(trees) // 2])
    replay.daemon.wait_indexed(len(replay.tree))
    figures["ghost_hits"] = ghosts(replay, trees)
    figures["missing_documents"] = len(replay.tree.keys() - paths(replay.daemon, "searchable"))
    figures["verify_clean"] = bool(replay.daemon.client.verify()["clean"])
    return figures


def replayed(replay: Replay, revisions: list[Revision], trees: list[Tree]) -> dict[str, Any]:
    """The cost of the revisions, one by one; `trees` takes the tree after each."""
    chars_before, seconds_before = replay.encoded()
    first: dict[str, float] = {}
    steps: list[Step] = []
    for revision in revisions:
        steps.append(replay.play(revision))
        trees.append(replay.tree)
        if len(steps) == _FIRST:
            chars = replay.encoded()[0] - chars_before
            first = {"first60_ratio": round(chars / sum(step.chars for step in steps), 4)}
        if len(steps) % 50 == 0:
            say(f"{len(steps)} of {len(revisions)} revisions")
    chars, seconds = replay.encoded()
    encode_s = seconds - seconds_before
    update_s = sum(step.update_s for step in steps)
    return {
        "revisions": len(steps),
        "reembedded_ratio": round((chars - chars_before) / max(1, sum(step.chars for step in steps)), 4),
        **first,
        "update_s_total": round(update_s, 2),
        "encode_s": round(encode_s, 2),
        "rest_s": round(update_s - encode_s, 2),
        "rest_share": round((update_s - encode_s) / max(update_s, 1e-9), 4),
        "rest_ms_a_revision": round(1e3 * (update_s - encode_s) / max(1, len(steps)), 1),
        "settle_s_total": round(sum(step.settle_s for step in steps), 2),
    }


def moved(replay: Replay) -> int:
    """Renames three files, one into a new folder, and the largest folder; characters embedded because of it."""
    before = replay.encoded()[0]
    first, second, third = sorted(replay.tree)[:3]
    names = {first: f"{first}-moved.md", second: f"moved/{Path(second).name}", third: f"{third}-moved.md"}
    replay.play(Revision("rename files", {}, names, ()))
    folders = Counter(path.partition("/")[0] for path in replay.tree if "/" in path)
    ((folder, _),) = folders.most_common(1)
    names = {path: f"renamed-{path}" for path in replay.tree if path.startswith(f"{folder}/")}
    rename = Revision("rename a folder", {}, names, ())
    replay.play(rename, lambda: os.rename(replay.folder / folder, replay.folder / f"renamed-{folder}"))
    return replay.encoded()[0] - before


def switched_back(replay: Replay, earlier: Tree) -> int:
    """Writes an earlier tree, then the present one again, as a change of branch does; characters embedded."""
    before, present = replay.encoded()[0], replay.tree
    replay.play(between(present, earlier, "back"))
    replay.play(between(earlier, present, "forward"))
    return replay.encoded()[0] - before


def ghosts(replay: Replay, trees: list[Tree]) -> int:
    """Hits and documents that the folder does not have, asked for with passages that it had before."""
    live = paths(replay.daemon)
    count = len(live - replay.tree.keys())
    passages = old_passages(trees, replay.tree, limit=_PASSAGES)
    for passage in passages:
        for mode in ("words", "dense"):
            answer = replay.daemon.client.search(q=passage[:1000], mode=mode, limit=_HITS)
            count += sum(hit["text"] not in replay.tree.get(hit["path"], "") for hit in answer["hits"])
    say(f"{len(passages)} passages of the past asked for, {count} ghosts")
    return count


def paths(daemon: Running, state: str | None = None) -> set[str]:
    """Every path that the catalog has, or those in one state."""
    found: set[str] = set()
    cursor: str | None = None
    while True:
        page = daemon.client.documents(state=state, limit=1000, cursor=cursor)
        found.update(document["path"] for document in page["documents"])
        cursor = page["next"]
        if cursor is None:
            return found


def say(line: str) -> None:
    """A progress line."""
    print(f"# {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
