"""The memory that an encoder takes when it serves, measured in a process of its own: specification in, MiB out."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from ragd.domain.errors import ModelUnavailable
from ragd.domain.index import EncoderSpec

TIMEOUT_S: Final = 600.0
_TEXTS: Final = ("how is this found?", "a few words " * 60)


def memory_mb(spec: EncoderSpec, models: Path, *, api_key: str = "") -> float:
    """Peak resident MiB of a process that opens the encoder and encodes a query and a long text, over a bare one's.

    Raises ModelUnavailable when the encoder cannot be opened there.
    """
    asked = json.dumps({"spec": asdict(spec), "models": str(models), "api_key": api_key})
    command = [sys.executable, "-P", "-m", "ragd.flow.footprint"]
    try:
        child = subprocess.run(command, input=asked, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ModelUnavailable(
            f"{spec.model} was not opened within {TIMEOUT_S:g} s", hint="look at its size"
        ) from error
    if child.returncode != 0:
        lines = child.stderr.strip().splitlines()
        raise ModelUnavailable(f"{spec.model} cannot be opened: {lines[-1] if lines else child.returncode}")
    return float(json.loads(child.stdout.splitlines()[-1])["memory_mb"])


def main() -> int:
    """The process."""
    from ragd.embed.encoder import open_encoder

    asked = json.loads(sys.stdin.read())
    spec = replace(EncoderSpec(**asked["spec"]), threads=1)
    before = _peak_mb()
    encoder = open_encoder(spec, Path(asked["models"]), api_key=asked["api_key"])
    encoder.encode_query(_TEXTS[0])
    encoder.encode(_TEXTS)
    sys.stdout.write(json.dumps({"memory_mb": max(0.1, _peak_mb() - before)}) + "\n")
    return 0


def _peak_mb() -> float:
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        return float(lines["VmHWM"].split()[0]) / 1024
    import resource

    scale = 1024 * 1024 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


if __name__ == "__main__":
    sys.exit(main())
