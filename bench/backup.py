"""How long a backup and a restore take, how large the file is, and whether what comes back is equal.

    python -m bench.backup --chunks 100000 [--no-index]

A filled state folder (bench.filled) gets a daemon, and files are edited all the time while `ragd backup` runs:
`commits` counts the edits that were planned meanwhile, `slowest_search_ms` is the slowest of the searches by words in
that time. Then the file is checked and restored into another folder, where a second daemon starts on the same files.
`is_equal`: at the end both daemons answer `questions` searches, by words and by meaning, with the same passages, and
`verify` is clean in both over as many chunks. `receipts_kept`: the receipts from before the backup are there after the
restore. `reencoded_chars`: what the second daemon encoded, no more than the edits that came after the backup. The last
line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.daemon import Running, running
from bench.filled import fill
from bench.stream import VOCABULARY
from ragd.cli.client import Client
from ragd.testing.tiny import tiny_model

_QUESTIONS = 50


class Edits:
    """Edits small files until it is told to stop, and searches beside it."""

    def __init__(self, folder: Path, state: Path) -> None:
        self._folder, self._client = folder, Client(state / "ragd.sock")
        self._stop = threading.Event()
        self.edits, self.slowest_ms = 0, 0.0

    def run(self) -> None:
        """Until `stop`."""
        while not self._stop.wait(0.05):
            path = self._folder / f"edited-{self.edits % 20}.md"
            path.write_text(f"# Edited\n\nThe heron of edit{self.edits:06} waits by the river.\n")
            self.edits += 1
            begun = time.monotonic()
            self._client.search(q=VOCABULARY[self.edits % len(VOCABULARY)], mode="words")
            self.slowest_ms = max(self.slowest_ms, 1e3 * (time.monotonic() - begun))

    @contextmanager
    def going(self) -> Iterator[None]:
        """Goes on while the block runs."""
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()
            self._client.close()


def measure(scratch: Path, *, chunks: int, options: Sequence[str] = ()) -> dict[str, Any]:
    """All figures, in an empty folder."""
    folder, state, other, file = (scratch / name for name in ("kb", "s", "t", "backup"))
    model = str(tiny_model(scratch / "model", max_tokens=256, dimension=384))
    environment = {"RAGD_EMBED__MODEL": model, "RAGD_LEARN__ENABLED": "false", "OMP_NUM_THREADS": "1"}
    # Two inverted files fitted apart answer a little differently though they hold the same: ask exact ones.
    environment |= {"RAGD_INDEX__IVF_ABOVE": "10000000", "RAGD_INDEX__EXACT_BELOW": "5000000"}
    files = fill(folder, state, chunks=chunks, model=model)
    _say(f"{chunks} chunks in {files} files")
    with running([folder], state, environment=environment) as daemon:
        daemon.wait_indexed(files)
        edits = Edits(folder, state)
        with edits.going():
            time.sleep(1.0)
            before, first = _receipts(daemon), daemon.newest_receipt()
            report = _timed("backup", state, "backup", str(file), *options, environment=environment)
            commits = daemon.newest_receipt() - first
        report |= {
            "size_bytes": file.stat().st_size,
            "commits": commits,
            "slowest_search_ms": round(edits.slowest_ms, 1),
        }
        _say(f"{report}")
        daemon.wait_indexed(files + min(edits.edits, 20))
        report |= _timed("check", state, "backup", "--check", str(file), environment=environment)
        report |= _timed("restore", other, "restore", str(file), environment=environment)
        (other / "models").symlink_to(state / "models")  # preparing the encoder is not what is measured
        begun = time.monotonic()
        with running([folder], other, environment=environment) as second:
            report["first_answer_s"] = round(time.monotonic() - begun, 2)
            known = {one["id"]: one for one in _receipts(second)}
            report["receipts_kept"] = all(known.get(one["id"], one) == one for one in before) and bool(known)
            encoded = second.status()["model"]["encoded_chars"]
            second.wait_indexed(files + min(edits.edits, 20))
            report["equal_after_s"] = round(time.monotonic() - begun, 2)
            report["reencoded_chars"] = int(second.status()["model"]["encoded_chars"] - encoded)
            report["is_equal"] = _is_equal(daemon, second)
    return {"bench": "backup", "chunks": chunks, "files": files, **report, "questions": _QUESTIONS}


def _timed(name: str, state: Path, *arguments: str, environment: dict[str, str]) -> dict[str, Any]:
    begun = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "ragd", "--state", str(state), *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return {f"{name}_s": round(time.monotonic() - begun, 2)}


def _receipts(daemon: Running) -> list[dict[str, Any]]:
    """The newest receipts that are done."""
    found: list[dict[str, Any]] = daemon.client.receipts(limit=200)["receipts"]
    return [one for one in found if one["outcome"] != "pending"]


def _is_equal(one: Running, two: Running) -> bool:
    asked = [f"{a} {b}" for a, b in pairwise(VOCABULARY)]
    asked += [f"block {number:07d} tells" for number in range(_QUESTIONS - len(asked))]
    for question in asked:
        for mode in ("words", "dense"):
            answers = [daemon.client.search(q=question, mode=mode, limit=10)["hits"] for daemon in (one, two)]
            if [(hit["path"], hit["start"], hit["text"]) for hit in answers[0]] != [
                (hit["path"], hit["start"], hit["text"]) for hit in answers[1]
            ]:
                _say(f"{question!r} by {mode} is answered otherwise")
                return False
    proofs = [daemon.client.verify() for daemon in (one, two)]
    counts = [(proof["clean"], proof["catalog_chunks"], proof["index_chunks"]) for proof in proofs]
    return counts[0] == counts[1] and counts[0][0]


def _say(text: str) -> None:
    print(f"# {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Prints the JSON line; 1 when what came back is not equal."""
    parser = argparse.ArgumentParser(prog="bench.backup", description=__doc__.partition("\n")[0])
    parser.add_argument("--chunks", type=int, default=100_000, help="chunks in the state folder (default 100000)")
    parser.add_argument("--no-index", action="store_true", help="leave the index out of the backup")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ragd-") as scratch:
        report = measure(Path(scratch), chunks=options.chunks, options=["--no-index"] if options.no_index else [])
    print(json.dumps(report))
    return 0 if report["is_equal"] and report["receipts_kept"] else 1


if __name__ == "__main__":
    sys.exit(main())
