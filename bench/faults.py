"""Causes every fault ragd must bear, one after the other, and tells what became of it.

    python -m bench.faults [--only NAME ...] [--list]

Each fault is a real one (processes are killed, folders unmounted, files torn) against a real daemon with a tiny
model (random weights in a real ONNX session: the plumbing is under test). *survived*: it went on, or stopped safely
with one clear line and the remedy, and was whole after that. *lost*: documents of a dict {path: text} that were not
served as they are at the end (by the list of documents, a search for each one's own words, and `verify`). *to serve*:
seconds from the fault, or from its end where somebody must end it, until all was served again. What the machine does
not allow is *skipped*, with the reason, and not counted. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench import fault_state, fault_world
from bench.fault import Outcome, Scenario, Skipped

SCENARIOS: tuple[Scenario, ...] = (*fault_world.SCENARIOS, *fault_state.SCENARIOS)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the scenarios and prints the table, then the JSON line; 1 when one did not survive or lost something."""
    parser = argparse.ArgumentParser(prog="bench.faults", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these, or those whose names begin so")
    parser.add_argument("--list", action="store_true", help="list the scenarios and cause nothing")
    options = parser.parse_args(argv)
    chosen = [one for one in SCENARIOS if not options.only or one.name.startswith(tuple(options.only))]
    if not chosen:
        parser.error(f"no scenario is called {' or '.join(options.only)}; see --list")
    width = max(len(one.name) for one in chosen)
    if options.list:
        for one in chosen:
            print(f"{one.name:{width}}  {one.what}")
        return 0
    print(f"{'fault':{width}}  survived  lost  to serve")
    results: dict[str, Outcome] = {}
    skipped: dict[str, str] = {}
    for one in chosen:
        try:
            found = results[one.name] = tried(one)
        except Skipped as reason:
            skipped[one.name] = str(reason)
            print(f"{one.name:{width}}  skipped: {reason}", flush=True)
            continue
        survived = "yes" if found.survived else "NO"
        print(
            f"{one.name:{width}}  {survived:>8}  {found.lost:>4}  {found.to_serve_s:>6.1f} s  {found.note}", flush=True
        )
    print(json.dumps(report(results, skipped)))
    return int(any(not found.survived or found.lost for found in results.values()))


def tried(scenario: Scenario) -> Outcome:
    """What became of one scenario in a folder of its own; what it did not expect counts as not survived."""
    # A short path: sockets lie in it.
    with tempfile.TemporaryDirectory(prefix="rf-", ignore_cleanup_errors=True) as scratch:
        try:
            return scenario.run(Path(scratch))
        except Skipped:
            raise
        except Exception as error:  # noqa: BLE001 - the table goes on with the next one
            return Outcome(False, 0, 0.0, f"{type(error).__name__}: {error}")


def report(results: dict[str, Outcome], skipped: dict[str, str]) -> dict[str, object]:
    """The JSON line."""
    survived = sum(found.survived for found in results.values())
    return {
        "bench": "faults",
        "scenarios": len(results),
        "survived_share": round(survived / len(results), 4) if results else None,
        "lost": sum(found.lost for found in results.values()),
        "failed": [name for name, found in results.items() if not found.survived or found.lost],
        "skipped": skipped,
        "longest_to_serve_s": round(max((found.to_serve_s for found in results.values()), default=0.0), 2),
        "to_serve_s": {name: round(found.to_serve_s, 2) for name, found in results.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
