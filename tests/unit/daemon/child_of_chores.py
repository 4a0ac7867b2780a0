"""A child as the daemon starts it to prepare or evaluate: what it does is told by its first argument."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path


def answer() -> int:
    """Says how it was started, as the last of some lines, one of them no JSON."""
    print("loading äöü")
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TOKENIZERS_PARALLELISM", "GIVEN")
    told = {name: os.environ.get(name) for name in names}
    print(json.dumps({"arguments": sys.argv[2:], "environment": told, "nice": os.nice(0), "stdin": sys.stdin.read()}))
    return 0


def refuse() -> int:
    print(json.dumps({"error": "too_few_examples", "reason": "12 pairs, 50 are needed", "hint": "list more"}))
    return 14


def break_() -> int:
    raise ZeroDivisionError("by nought")


def garbage() -> int:
    sys.stdout.buffer.write(b"\xff\xfe not utf-8, not json\n")
    return 3


def number() -> int:
    print("7")
    return 0


def much() -> int:
    print("x" * 200_000)
    print(json.dumps({"examples": 5}))
    return 0


def compute() -> int:
    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass
    return 0


def hang() -> int:
    """With a child of its own, whose number it leaves in a file."""
    grandchild = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
    print("half way", flush=True)
    Path(sys.argv[2]).write_text(str(grandchild.pid))  # last: whoever sees it may rely on the rest
    time.sleep(600)
    return 0


if __name__ == "__main__":
    sys.exit(globals()[sys.argv[1]]())
