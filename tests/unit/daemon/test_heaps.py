from __future__ import annotations

import ctypes
import itertools
import os
import subprocess
import sys

import pytest

from ragd.daemon.heaps import Trim, share_one_heap

# Many small things of two threads, of which every seventh lives on.
SCATTERED = """
import threading
from pathlib import Path
from ragd.daemon.heaps import Trim

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


# Threads that each need memory for small things; how many heaps there are in the end, and what a large one is in.
HEAPS = """
import ctypes, os, re, sys, tempfile, threading
from pathlib import Path
from ragd.daemon.heaps import share_one_heap

if "shared" in sys.argv:
    assert share_one_heap()
barrier = threading.Barrier(4)

def fill():
    things = [bytes(700 + n % 900) for n in range(2_000)]
    barrier.wait(30)

threads = [threading.Thread(target=fill) for _ in range(3)]
for thread in threads:
    thread.start()
barrier.wait(30)
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
with tempfile.NamedTemporaryFile() as file:
    told = ctypes.c_void_p(libc.fopen(file.name.encode(), b"w"))
    libc.malloc_info(0, told)
    libc.fclose(told)
    print(len(re.findall("<heap nr=", Path(file.name).read_text())))
"""
glibc = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="these are the ways of glibc")


@glibc
def test_threads_share_one_heap() -> None:
    assert heaps("apart") >= 2
    assert heaps("shared") == 1


@glibc
def test_what_a_person_set_by_variables_holds() -> None:
    assert heaps("shared", MALLOC_ARENA_MAX="2") == 2
    assert share_one_heap({"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "65536"})  # nothing is left to set


def heaps(how: str, **variables: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", HEAPS, how],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **variables},
    )
    return int(done.stdout)


@glibc
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
