"""Places where a test may end the process: nothing happens there unless its environment asks for it."""

from __future__ import annotations

import os
import signal
from typing import Final

VARIABLE: Final = "RAGD_TEST_KILL_AT"


def reach(point: str) -> None:
    """Kills this process, as `kill -9` would, if the environment names this point; `point:3` means the third time."""
    name, _, times = os.environ.get(VARIABLE, "").partition(":")
    if name != point:
        return
    if not times or times == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    os.environ[VARIABLE] = f"{point}:{int(times) - 1}"
