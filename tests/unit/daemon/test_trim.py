from __future__ import annotations

import ctypes
import itertools
import subprocess
import sys

import pytest

from ragd.daemon.trim import Trim

# Many small things of two threads, of which every seventh lives on.
SCATTERED = """
import threading
from pathlib import Path
from ragd.daemon.trim import Trim

def resident_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // 2**20

def fill():
    things = [bytes(700 + n % 900) for n in range(40_000)]
    kept.append(things[::7])

kept = []
threads = [threading.Thread(target=fill) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
before = resident_mib()
Trim().step()
print(before - resident_mib())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="this C library cannot trim its heaps")
def test_memory_that_lies_free_between_what_lives_goes_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", SCATTERED], capture_output=True, text=True, check=True)
    assert int(done.stdout) >= 10  # of some 75 MiB that were freed, much in pages that hold something still


def test_it_takes_a_thousandth_of_the_time_at_most() -> None:
    now = [0.0]
    trims: list[tuple[float, int]] = []

    def trim(pad: int) -> None:
        trims.append((now[0], pad))
        now[0] += 0.2

    trimmer = Trim(trim, clock=lambda: now[0])
    while now[0] < 1000.0:
        assert trimmer.step() == 0
        now[0] += 5.0
    assert len(trims) == 5
    assert all(later[0] - earlier[0] >= 200.0 for earlier, later in itertools.pairwise(trims))
    assert all(pad == 0 for _, pad in trims)
