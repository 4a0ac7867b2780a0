"""What a look of Prometheus costs a daemon with 100,000 chunks: the time of `/metrics`, `/readyz` and `/healthz`.

    python -m bench.scrape [--chunks 100000] [--scrapes 200]

The catalog is filled with generated vectors before the start (`bench.filled`). Then each address is asked over the
daemon's socket, one request after the other; times are in milliseconds, seen from outside, with the connection's. The
processor time is the daemon's own, a scrape. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import psutil

from bench.daemon import running
from bench.filled import fill

_CALM_S = 10.0


def main(argv: Sequence[str] | None = None) -> int:
    """Measures once and prints the JSON line; returns 0."""
    parser = argparse.ArgumentParser(prog="bench.scrape", description=__doc__.partition("\n")[0])
    parser.add_argument("--chunks", type=int, default=100_000, help="chunks in the index (default 100000)")
    parser.add_argument("--scrapes", type=int, default=200, help="requests to each address (default 200)")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="ragd-") as name:
        print(json.dumps(measured(Path(name), options.chunks, options.scrapes)))
    return 0


def measured(scratch: Path, chunks: int, scrapes: int) -> dict[str, object]:
    """Every figure, of a daemon on a filled state."""
    folder, state = scratch / "documents", scratch / "state"
    files = fill(folder, state, chunks=chunks)
    with running([folder], state) as daemon:
        daemon.wait_indexed(files)
        process = psutil.Process(daemon.process.pid)
        transport = httpx.HTTPTransport(uds=str(state / "ragd.sock"))
        with httpx.Client(transport=transport, base_url="http://ragd", timeout=30) as client:
            time.sleep(_CALM_S)
            told: dict[str, object] = {}
            for path in ("/healthz", "/readyz", "/metrics"):  # what the start left to do is done by the last
                before = sum(process.cpu_times()[:2])
                times_ms, size = asked(client, path, scrapes)
                cpu_ms = (sum(process.cpu_times()[:2]) - before) * 1000 / scrapes
                told[path.strip("/")] = {
                    "p50_ms": round(times_ms[len(times_ms) // 2], 2),
                    "p99_ms": round(times_ms[int(len(times_ms) * 0.99)], 2),
                    "cpu_ms": round(cpu_ms, 2),
                    "bytes": size,
                }
    return {"bench": "scrape", "chunks": chunks, "files": files, **told}


def asked(client: httpx.Client, path: str, count: int) -> tuple[list[float], int]:
    """The sorted times of `count` requests in milliseconds, and the last answer's size in bytes."""
    times_ms = []
    size = 0
    for _ in range(count):
        begun = time.perf_counter()
        response = client.get(path).raise_for_status()
        times_ms.append((time.perf_counter() - begun) * 1000)
        size = len(response.content)
    return sorted(times_ms), size


if __name__ == "__main__":
    raise SystemExit(main())
