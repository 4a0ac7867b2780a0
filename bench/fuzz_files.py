"""Damaged files of every kind ragd reads: documents through the reading child, its own records through their readers.

    python -m bench.fuzz_files [--files 2000] [--records 4000] [--seed 1] [--keep FOLDER]

Documents are valid files with bits flipped, ends cut off, pieces spliced in, members of archives changed behind their
checksums, and bombs; each must come back as text or as one line of reason with a hint, within its time. Records
(configuration, manifests, snapshots, pairs, artefacts, backups, payloads and more) must be read or refused by a
RagdError. Whatever else happens is a crash, is shown, and with --keep written down. The last line is one JSON object:
crashes, tracebacks and hangs, all to be 0; `child_deaths` are readers that died of a document, which cost a child and
a reason, and nothing else.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from bench.fuzz_mutate import damage
from bench.fuzz_records import Record, records
from bench.fuzz_seeds import bombs, seeds
from ragd.domain.errors import RagdError
from ragd.domain.work import ExtractItem, ExtractResult, ReadLimits
from ragd.jobs.payload import decode, encode
from ragd.jobs.queue import TextAnswer
from ragd.plan.sandbox import Sandbox
from ragd.plan.split import policy_for

TIMEOUT_S = 10.0
MARGIN_S = 20.0
LIMITS = ReadLimits(max_file_bytes=8 << 20, max_chars=2_000_000, timeout_s=TIMEOUT_S, memory_mb=768)


@dataclass(slots=True)
class Tally:
    """What became of the files."""

    read: int = 0
    refused: int = 0
    child_deaths: int = 0
    timeouts: int = 0
    crashes: list[str] = field(default_factory=list)
    tracebacks: int = 0
    hangs: int = 0
    longest_s: float = 0.0
    by_kind: Counter[str] = field(default_factory=Counter)


def main() -> int:
    """Runs both halves; 0 when nothing crashed, hung or showed a traceback."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000, metavar="N", help="damaged documents")
    parser.add_argument("--records", type=int, default=4000, metavar="N", help="damaged records")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where files that crash something are kept")
    given = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ragd-fuzz-") as scratch:
        documents = fuzz_documents(Path(scratch), given.files, given.seed, given.keep)
        read = fuzz_records(Path(scratch), given.records, given.seed, given.keep)
    for crash, times in Counter([*documents.crashes, *read.crashes]).most_common(20):
        print(f"{times} times: {crash}")
    report = {
        "documents": given.files,
        "records": given.records,
        "read": documents.read,
        "refused": documents.refused,
        "child_deaths": documents.child_deaths,
        "timeouts": documents.timeouts,
        "longest_s": round(documents.longest_s, 2),
        "longest_record_s": round(read.longest_s, 2),
        "records_accepted": read.read,
        "records_refused": read.refused,
        "crashes": len(documents.crashes) + len(read.crashes),
        "tracebacks": documents.tracebacks + read.tracebacks,
        "hangs": documents.hangs + read.hangs,
        "seconds": round(time.monotonic() - begun, 1),
    }
    print(json.dumps(report))
    return 1 if report["crashes"] or report["tracebacks"] or report["hangs"] else 0


def fuzz_documents(folder: Path, files: int, seed: int, keep: Path | None = None) -> Tally:
    """Damages documents and reads each in the child; every bomb is among them once."""
    rng, tally, good = random.Random(seed), Tally(), seeds()
    kinds, others = sorted(good), [*good.values()]
    waiting = [*bombs().items()]
    sandbox = Sandbox(LIMITS, policy_for("", 256))
    try:
        for number in range(files):
            suffix = rng.choice(kinds)
            data = damage(good[suffix], others, rng)
            if number < len(waiting):
                suffix, data = waiting[number]
            elif rng.random() < 0.05:
                suffix = rng.choice(kinds)  # what is in it is not what its name says
            name = f"{number}{suffix}"
            (folder / name).write_bytes(data)
            before = len(tally.crashes)
            _read(sandbox, folder, name, tally)
            if keep and len(tally.crashes) > before:
                _keep(keep, name, data)
            (folder / name).unlink()
    finally:
        sandbox.close()
    return tally


def _read(sandbox: Sandbox, folder: Path, name: str, tally: Tally) -> None:
    begun = time.monotonic()
    try:
        result = sandbox.extract(bytes(folder), ExtractItem(1, 1, name.encode()))
        answer = TextAnswer("bulk-1", (result,), 1.0)
        if decode(TextAnswer, encode(answer)) != answer:
            raise ValueError("does not travel")
    except Exception:  # noqa: BLE001 - that is what is looked for
        tally.crashes.append(f"{name}: {traceback.format_exc(limit=-4)}")
        return
    took_s = time.monotonic() - begun
    tally.longest_s = max(tally.longest_s, took_s)
    tally.hangs += took_s > TIMEOUT_S + MARGIN_S
    _count(result, name, tally)


def _count(result: ExtractResult, name: str, tally: Tally) -> None:
    tally.by_kind[Path(name).suffix] += 1
    if result.extraction is not None:
        tally.read += 1
        return
    tally.refused += 1
    tally.child_deaths += "the reader died" in result.reason
    tally.timeouts += "took longer" in result.reason
    if "Traceback" in result.reason or "\n" in result.reason:
        tally.tracebacks += 1
    if not result.reason or not result.hint or result.is_gone:
        tally.crashes.append(f"{name}: refused without a reason or a hint: {result}")


def fuzz_records(folder: Path, files: int, seed: int, keep: Path | None = None) -> Tally:
    """Damages ragd's own files and payloads, and reads each as ragd does."""
    rng, tally = random.Random(seed), Tally()
    for number, record in enumerate(records(folder / "records")):
        for again in range(files // record.share + 1):
            data = damage(record.seed, record.others, rng)
            before = len(tally.crashes)
            _take(record, data, tally)
            if keep and len(tally.crashes) > before:
                _keep(keep, f"record-{number}-{again}-{record.name}", data)
    return tally


def _take(record: Record, data: bytes, tally: Tally) -> None:
    begun = time.monotonic()
    tally.by_kind[record.name] += 1
    try:
        record.read(data)
        tally.read += 1
    except RagdError as error:
        tally.refused += 1
        tally.tracebacks += "Traceback" in f"{error}{error.hint}"
    except Exception:  # noqa: BLE001 - that is what is looked for
        tally.crashes.append(f"{record.name}: {traceback.format_exc(limit=-3)}")
    took_s = time.monotonic() - begun
    tally.longest_s = max(tally.longest_s, took_s)
    if took_s > TIMEOUT_S:
        tally.hangs += 1
        print(f"{record.name}: {took_s:.1f} s for {len(data):,} bytes")


def _keep(folder: Path, name: str, data: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


if __name__ == "__main__":
    sys.exit(main())
