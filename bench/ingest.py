"""A whole folder through the daemon, against its own encoder alone: efficiency, words first, flat memory.

    python -m bench.ingest --stream ../shared/data/rust-book-edits.jsonl.gz [--files N] [--small 1000 10000]
    python -m bench.ingest --folder DIR [--files N]

A daemon with the packaged model and its private Redis is started on an empty folder. When every worker has
opened what it needs (that time is not counted), the documents appear in the folder by one rename, and the clock
runs until all of them are searchable: the settle time, the scan, reading, both commits and all waiting are
included. `efficiency` is that pace in chunks a second ÷ the pace of the same encoder with the same threads on
the same chunks, sorted by length, in a process of its own, at the worker's priority, after the daemon has ended.
`encoding_share` is the part of the clock's time that the worker's encoder was at work: unlike `efficiency` it
does not change when something else takes the processor meanwhile. `words_pace_ratio` is the pace until the last
document is found by words ÷ the encoder's pace.

`--stream` makes a mixed folder of the Markdown in the first line of an edit stream: of five documents one is
HTML and one plain text, and more than the stream holds are variants with a number in every paragraph.
`rss_peak_mb` is the peak (VmHWM, MiB) of the daemon process. `rss_growth` compares it for two folders of small
files (the sizes of `--small`), each by a daemon of its own with a tiny model of 32 dimensions: the whole way of a
document is gone, the index is negligible, and what is left is what the daemon needs besides it. The last
line is one JSON object.
"""

from __future__ import annotations

import argparse
import gzip
import html
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from itertools import cycle
from pathlib import Path
from typing import Any

from bench.daemon import Running, running
from bench.stream import VOCABULARY
from ragd.config.schema import Workers
from ragd.domain.index import EncoderSpec
from ragd.embed.encoder import open_encoder
from ragd.testing.tiny import tiny_model


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints the JSON line; returns 0."""
    parser = argparse.ArgumentParser(prog="bench.ingest", description=__doc__.partition("\n")[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--folder", type=Path, help="documents to ingest (copied first)")
    source.add_argument("--stream", type=Path, help="an edit stream whose first line gives the documents")
    source.add_argument("--encode", type=Path, metavar="STATE", help=argparse.SUPPRESS)
    parser.add_argument("--files", type=int, default=0, help="how many documents (default: all there are)")
    parser.add_argument(
        "--sample", type=int, default=0, help="chunks for the encoder alone, of all lengths (default: all)"
    )
    parser.add_argument("--small", type=int, nargs=2, default=[1_000, 10_000], metavar="N", help="for rss_growth")
    options = parser.parse_args(argv)
    if options.encode:
        print(json.dumps(bare(options.encode, options.sample)))
        return 0
    with tempfile.TemporaryDirectory(prefix="ragd-") as name:
        scratch = Path(name)
        documents = scratch / "prepared"
        if options.stream:
            make_mixed(documents, options.stream, options.files)
        else:
            copy(options.folder, documents, options.files)
        figures = ingested(scratch / "real", documents, options.sample)
        figures |= growth(scratch, *sorted(options.small))
    print(json.dumps({"bench": "ingest", **figures}))
    return 0


def ingested(scratch: Path, documents: Path, sample: int) -> dict[str, object]:
    """The real encoder's figures over prepared documents."""
    state, files, began_at, status = way(scratch, documents, {})
    with closing(sqlite3.connect(state / "catalog.db")) as catalog:
        words_at, all_at = catalog.execute(
            "SELECT max(text_searchable_at), max(searchable_at) FROM receipts"
        ).fetchone()
        encode_s = catalog.execute("SELECT value FROM facts WHERE name = 'encode_s'").fetchone()[0]
    chunks = status["chunks"]["total"]
    say(f"{chunks} chunks in {all_at - began_at:.1f} s, words after {words_at - began_at:.1f} s; now the encoder alone")
    command = [sys.executable, "-m", "bench.ingest", "--encode", str(state), "--sample", str(sample)]
    alone = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return {
        "files": files,
        "failed": status["documents"]["failed"],
        "chunks": chunks,
        "chunks_per_s": round(chunks / (all_at - began_at), 2),
        "encoder_chunks_per_s": round(alone["chunks_per_s"], 2),
        "encoder_chunks": alone["chunks"],
        "efficiency": round(chunks / (all_at - began_at) / alone["chunks_per_s"], 3),
        "words_s": round(words_at - began_at, 2),
        "words_pace_ratio": round(chunks / (words_at - began_at) / alone["chunks_per_s"], 1),
        "all_s": round(all_at - began_at, 2),
        "encoding_share": round(encode_s / (all_at - began_at), 3),
        "rss_peak_mb": status["peak_mb"],
    }


def growth(scratch: Path, few: int, many: int) -> dict[str, object]:
    """The daemon's peak memory with few and with many small files, with a tiny model."""
    environment = {"RAGD_EMBED__MODEL": str(tiny_model(scratch / "model", max_tokens=256))}
    peaks = {}
    for files in (few, many):
        documents = scratch / f"small-{files}"
        make_small(documents, files)
        _, _, began_at, status = way(scratch / f"run-{files}", documents, environment)
        peaks[files] = status["peak_mb"]
        say(f"{files} small files in {time.time() - began_at:.1f} s, peak {peaks[files]} MiB")
    return {
        "rss_growth": round(peaks[many] / peaks[few], 3),
        "rss_growth_files": [few, many],
        "rss_growth_mb": [peaks[few], peaks[many]],
    }


def way(scratch: Path, documents: Path, environment: dict[str, str]) -> tuple[Path, int, float, dict[str, Any]]:
    """(state, files, Unix time of their appearance, last status with `peak_mb`) of one folder's whole way."""
    root, state = scratch / "root", scratch / "state"
    root.mkdir(parents=True)
    files = sum(path.is_file() for path in documents.rglob("*"))
    with running([root], state, environment=environment) as daemon:
        daemon.wait_until(lambda status: is_manned(status), timeout_s=120.0, poll_s=0.2)
        say(f"{files} files appear")
        began_at = time.time()
        documents.rename(root / "documents")
        status = daemon.wait_indexed(files, poll_s=0.5)
        status["peak_mb"] = round(peak_kib(daemon) / 1024, 1)
    return state, files, began_at, status


def is_manned(status: dict[str, Any]) -> bool:
    """True when both kinds of worker have opened what they need and the first scan is over."""
    return {worker["queue"] for worker in status["workers"]} >= {"extract", "embed"} and all(
        root["scans"] for root in status["watch"]
    )


def peak_kib(daemon: Running) -> int:
    """The daemon process's greatest resident size so far, KiB."""
    lines = Path(f"/proc/{daemon.process.pid}/status").read_text("ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))


def bare(state: Path, sample: int) -> dict[str, float]:
    """The encoder alone, opened as the embed worker does and at its priority, on the live chunks of a catalog."""
    os.nice(Workers().nice)
    with closing(sqlite3.connect(state / "catalog.db")) as catalog:
        rows = catalog.execute("SELECT context, text FROM chunks WHERE refs > 0").fetchall()
    texts = sorted((f"{context}\n\n{text}" if context else text for context, text in rows), key=len)
    texts = texts[:: max(1, len(texts) // sample)] if sample else texts
    encoder = open_encoder(EncoderSpec(), state / "models")
    encoder.encode(texts[:: max(1, len(texts) // 16)][:16])
    started = time.perf_counter()
    encoder.encode(texts)
    return {"chunks": len(texts), "chunks_per_s": len(texts) / (time.perf_counter() - started)}


def make_mixed(target: Path, stream: Path, files: int) -> None:
    """Documents of an edit stream's first line, as Markdown, HTML and plain text."""
    with gzip.open(stream, "rt", encoding="utf-8") as lines:
        originals: dict[str, str] = json.loads(lines.readline())["write"]
    for number, (name, text) in zip(range(files or len(originals)), cycle(originals.items()), strict=False):
        variant = number // len(originals)
        if variant:
            text = "\n\n".join(f"({variant}) {part}" for part in text.split("\n\n"))
        path = target / f"set-{variant:03}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        match number % 5:
            case 3:
                body = "\n".join(f"<p>{html.escape(part)}</p>" for part in text.split("\n\n"))
                path.with_suffix(".html").write_text(f"<html><body>\n{body}\n</body></html>\n", "utf-8")
            case 4:
                path.with_suffix(".txt").write_text(text, "utf-8")
            case _:
                path.write_text(text, "utf-8")


def make_small(target: Path, files: int) -> None:
    """Small Markdown files, a hundred a folder, no two alike."""
    rng = random.Random(files)
    for number in range(files):
        path = target / f"part-{number // 100:04}" / f"note-{number:06}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# Note {number}\n\n{' '.join(rng.choices(VOCABULARY, k=20))}\n", "utf-8")


def copy(source: Path, target: Path, files: int) -> None:
    """Regular files of a folder, all or so many evenly spread."""
    found = sorted(path for path in source.rglob("*") if path.is_file() and not path.is_symlink())
    for path in found[:: max(1, len(found) // files)][:files] if files else found:
        (target / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target / path.relative_to(source))


def say(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
