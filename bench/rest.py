"""The daemon at rest with 10,000 chunks: memory, what is loaded, and what doing nothing costs.

    python -m bench.rest [--chunks 10000] [--seconds 60]

The catalog is filled with generated vectors before the start (`bench.filled`); the daemon then opens the real
model, scans the folder, finds nothing changed, answers one search, and rests. `rss_mb` is the daemon's resident
memory in MiB and `pss_mb` the same with shared pages counted in part; `all_*` are sums with its workers, their
children and Redis. `cpu_share` is the daemon's processor seconds a second over the rest, `cpu_shares` those of each
process. `torch_loaded` is read from the libraries mapped into each. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from bench.daemon import running
from bench.filled import fill

_MIB = 1 << 20
_CALM_S = 5.0


def main(argv: Sequence[str] | None = None) -> int:
    """Measures once and prints the JSON line; returns 0."""
    parser = argparse.ArgumentParser(prog="bench.rest", description=__doc__.partition("\n")[0])
    parser.add_argument("--chunks", type=int, default=10_000, help="chunks in the index (default 10000)")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long it rests (default 60)")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="ragd-") as name:
        print(json.dumps(measured(Path(name), options.chunks, options.seconds)))
    return 0


def measured(scratch: Path, chunks: int, rest_s: float) -> dict[str, object]:
    """Every figure, of a daemon on a filled state."""
    folder, state = scratch / "documents", scratch / "state"
    files = fill(folder, state, chunks=chunks)
    with running([folder], state) as daemon:
        status = daemon.wait_indexed(files)
        assert status["chunks"] == {"total": chunks, "with_vectors": chunks}, status["chunks"]
        daemon.client.search(q="what is at rest", mode="hybrid")
        time.sleep(_CALM_S)
        processes = family(daemon.process.pid)
        before = {name: cpu_s(process) for name, process in processes.items()}
        began = time.monotonic()
        time.sleep(rest_s)
        elapsed_s = time.monotonic() - began
        shares = {name: (cpu_s(process) - before[name]) / elapsed_s for name, process in processes.items()}
        memory = {name: process.memory_full_info() for name, process in processes.items()}
        torch = sorted(name for name, process in processes.items() if has_torch(process))
    rss_mb = {name: round(one.rss / _MIB, 1) for name, one in memory.items()}
    pss_mb = {name: round(one.pss / _MIB, 1) for name, one in memory.items()}
    return {
        "bench": "rest",
        "chunks": chunks,
        "files": files,
        "rss_mb": rss_mb["daemon"],
        "pss_mb": pss_mb["daemon"],
        "all_rss_mb": round(sum(rss_mb.values()), 1),
        "all_pss_mb": round(sum(pss_mb.values()), 1),
        "torch_loaded": bool(torch),
        "cpu_share": round(shares["daemon"], 5),
        "all_cpu_share": round(sum(shares.values()), 5),
        "rest_s": round(elapsed_s, 1),
        "cpu_shares": {name: round(share, 5) for name, share in shares.items()},
        "rss_mb_by_process": rss_mb,
        "pss_mb_by_process": pss_mb,
    }


def family(pid: int) -> dict[str, psutil.Process]:
    """The daemon and everything it started, by what each does."""
    daemon = psutil.Process(pid)
    found = {"daemon": daemon}
    for child in daemon.children(recursive=True):
        command = child.cmdline()
        if "ragd.plan.sandbox_child" in command:
            name = "sandbox"
        elif "worker" in command:
            name = command[command.index("worker") + 1]
        else:
            name = Path(command[0]).name.partition(" ")[0] if command else "unnamed"
        while name in found:
            name += "+"
        found[name] = child
    return found


def cpu_s(process: psutil.Process) -> float:
    """Processor seconds so far, user and system; those of children that ended are not counted."""
    times = process.cpu_times()
    return float(times.user + times.system)


def has_torch(process: psutil.Process) -> bool:
    """Whether a library of torch is mapped."""
    return any("libtorch" in mapping.path or "/torch/" in mapping.path for mapping in process.memory_maps())


if __name__ == "__main__":
    raise SystemExit(main())
