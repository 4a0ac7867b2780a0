"""A real daemon under bad requests: Schemathesis on its OpenAPI document, and malformed bytes on its TCP socket.

    python -m bench.fuzz_http [--cases 10000] [--seed 1]

Half of the cases come from the OpenAPI document, for every operation some that fit it and some that do not, and are
checked against it; the other half are bytes from `bench.http_cases`. The daemon asks for tokens. `failures` counts
every answer that should have been another: an error that is not in the one JSON shape, a status that cannot be right,
none at all where one is due, and what the three next numbers count: `crashes` (a status of 500, or a daemon that
ended), `hangs` (no end within 20 s), `tracebacks_shown` (in an answer or in the daemon's log). `state_changed` names
what is not as it was before: documents, chunks, the catalog's change sequence, receipts, models, runs, tokens. The last
line is one JSON object; it ends with 1 when anything was found.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import psutil

from bench.daemon import Running, await_answer, launch
from bench.http_cases import SELDOM, Secrets, case
from bench.http_schema import described
from bench.http_talk import Outcome, talk
from ragd.web.tokens import Role, TokenFile

_WIRES = 6
_SELDOM_SHARE = 0.01
_TEXTS = {
    "beavers.md": "# Rivers\n\nBeavers build dams that hold back the water of streams.\n",
    "soup.txt": "Simmer the onions in butter until they are golden, then add the stock.\n",
    "city.md": "# 城市\n\n广州是中国南方的一座大城市。\n",
}
_ENVIRONMENT = {
    "RAGD_HTTP__REQUIRE_TOKEN": "true",
    "RAGD_HTTP__REQUESTS_PER_S": "0",
    "RAGD_HTTP__HEAD_S": "1",
    "RAGD_HTTP__BODY_S": "1",
}


@dataclass(slots=True)
class Tally:
    """What came of the cases so far."""

    kinds: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    crashes: int = 0
    hangs: int = 0
    tracebacks: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Counts one case."""
        self.kinds[outcome.kind] += 1
        self.statuses[outcome.status] += 1
        self.crashes += outcome.status == "500"
        self.hangs += outcome.status == "hang"
        self.tracebacks += outcome.shows_traceback
        if outcome.complaint:
            self.failures.append(f"{outcome.kind}: {outcome.complaint}")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs every case and prints the JSON line; returns 1 when anything is wrong."""
    parser = argparse.ArgumentParser(prog="bench.fuzz_http", description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=10_000, help="bad requests in all (default 10000)")
    parser.add_argument("--seed", type=int, default=1, help="where they come from (default 1)")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="ragd-") as name:
        found = fuzzed(Path(name), options.cases, options.seed)
    for failure in found.pop("examples"):
        print(failure, file=sys.stderr)
    print(json.dumps(found))
    return int(any(found[name] for name in ("failures", "crashes", "hangs", "tracebacks_shown", "state_changed")))


def fuzzed(scratch: Path, cases: int, seed: int, models: Path | None = None) -> dict[str, Any]:
    """Every figure, of a daemon that is started for it in an empty folder; `examples` are the first failures in words.

    `models` is a models folder to use, where the packaged model need not be prepared once more.
    """
    tally = Tally()
    with _daemon(scratch, models) as (daemon, secrets, address):
        before = _state(daemon, scratch)
        began = time.monotonic()
        for outcome in described(address, secrets.admin, cases // 2, seed):
            tally.add(outcome)
        for outcome in _wild(address, secrets, cases - tally.kinds.total(), seed):
            tally.add(outcome)
        seconds = time.monotonic() - began
        ended = daemon.process.poll() is not None
        changed = ["everything"] if ended else _differences(before, _state(daemon, scratch))
    logged = (scratch / "daemon.log").read_text(errors="replace")
    tally.tracebacks += logged.count("Traceback (most recent call last)")
    return {
        "bench": "fuzz_http",
        "cases": tally.kinds.total(),
        "failures": len(tally.failures) + ended,
        "crashes": tally.crashes + ended,
        "hangs": tally.hangs,
        "tracebacks_shown": tally.tracebacks,
        "state_changed": changed,
        "kinds": dict(sorted(tally.kinds.items())),
        "statuses": dict(sorted(tally.statuses.items())),
        "log_lines": logged.count("\n"),
        "seconds": round(seconds, 1),
        "seed": seed,
        "examples": tally.failures[:20] + _traces(logged)[:3],
    }


@contextmanager
def _daemon(scratch: Path, models: Path | None) -> Iterator[tuple[Running, Secrets, tuple[str, int]]]:
    """A daemon with a few documents and a token of each kind; the address it found on loopback."""
    folder, state = scratch / "documents", scratch / "state"
    folder.mkdir()
    for name, text in _TEXTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    tokens = TokenFile(state)
    secrets = Secrets(*(tokens.add(role.value, role, now=time.time())[0] for role in (Role.ADMIN, Role.READ)))
    if models is not None:
        (state / "models").symlink_to(models)
    with (scratch / "daemon.log").open("wb") as log:
        started = launch([folder], state, "--tcp", "127.0.0.1:0", environment=_ENVIRONMENT, errors=log)
        try:
            await_answer(started.process, started.client)
            started.wait_indexed(len(_TEXTS))
            yield started, secrets, _address(started.process.pid)
        finally:
            started.client.close()
            started.process.terminate()
            started.process.wait(60)


def _address(pid: int) -> tuple[str, int]:
    listening = [c.laddr for c in psutil.Process(pid).net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    (place,) = listening
    return place.ip, place.port


def _state(daemon: Running, scratch: Path) -> dict[str, object]:
    """What no bad request may change."""
    daemon.client.close()  # a connection that rested longer than the daemon keeps one is opened anew
    client, status = daemon.client, daemon.status()
    return {
        "documents": [(one["path"], one["state"], one["chunks"]) for one in client.documents()["documents"]],
        "chunks": status["chunks"],
        "change sequence": status["index"]["sequence"],
        "generations": [one["id"] for one in status["generations"]],
        "receipts": [one["id"] for one in client.receipts()["receipts"]],
        "models": client.learn("GET", "models"),
        "runs": client.learn("GET", "runs"),
        "tokens": (scratch / "state" / "tokens.json").read_text(),
    }


def _traces(logged: str) -> list[str]:
    """The tracebacks of a log, each up to the first line that is not indented as they are."""
    found = []
    for text in logged.split("Traceback (most recent call last)")[1:]:
        lines = text.splitlines()
        end = next((i for i, line in enumerate(lines) if i and line.startswith("time=")), len(lines))
        found.append("\n".join(lines[:end][-12:]))
    return found


def _differences(before: dict[str, object], after: dict[str, object]) -> list[str]:
    return [name for name in before if before[name] != after[name]]


def _wild(address: tuple[str, int], secrets: Secrets, count: int, seed: int) -> Iterator[Outcome]:
    """The second half: bytes, from a few senders at once."""
    random = Random(seed)

    def ask(number: int) -> Outcome:
        own = Random(seed * 1_000_003 + number)
        chosen = SELDOM["large"](own, secrets) if own.random() < _SELDOM_SHARE else case(own, secrets)
        return talk(address, chosen)

    with ThreadPoolExecutor(_WIRES) as senders:
        yield from senders.map(ask, random.sample(range(10 * count), count))


if __name__ == "__main__":
    raise SystemExit(main())
