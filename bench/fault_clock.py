"""What can happen to the clock: it jumps days forwards, days backwards, and to and fro, for every process of a daemon.

The time of day that programs are told is shifted before they are told it (`shifted_clock.c`, loaded into the daemon,
its workers and its Redis); steady clocks go on, as they do when somebody sets a clock. The times of files are the
kernel's and stay true, so a file that was just saved may seem to come from days ago or ahead.
"""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.fault import Outcome, Scenario, Skipped
from bench.fault_site import BUILD, NotSo, Site, site

_DAY_S: Final = 86400
_SOURCE: Final = Path(__file__).with_name("shifted_clock.c")


class Clock:
    """The clock of one daemon: `jump` sets it by so many seconds."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.shift_s = 0
        file.write_bytes(struct.pack("q", 0))

    def jump(self, seconds: int) -> None:
        """Sets the clock forwards, or backwards."""
        self.shift_s += seconds
        with self._file.open("r+b") as file:
            file.write(struct.pack("q", self.shift_s))


def forwards(scratch: Path) -> Outcome:
    """Ten days forwards: edits go on, and what rests for seven days is not thrown away."""
    with _site_with_clock(scratch) as (one, clock):
        resting = sorted(one.texts)[0]
        text = one.texts[resting]
        one.delete(resting)
        one.until_whole()
        encoded = one.status()["model"]["encoded_chars"]
        clock.jump(10 * _DAY_S)
        begun = time.monotonic()
        said = one.until_said("clock was set forward", "timedatectl", timeout_s=20.0)
        (one.folder / resting).write_text(text)
        one.texts[resting] = text
        taken_s = one.until(lambda: not one.wrong(), "everything is served")
        if one.status()["model"]["encoded_chars"] != encoded:
            raise NotSo("what rested was thrown away and had to be encoded again")
        one.edit()
        taken_s = max(taken_s, one.until(lambda: not one.wrong(), "edits are served"))
        clock.jump(-10 * _DAY_S)
        found = one.outcome(begun, f"said: {said[:70]}...")
        return Outcome(found.survived, found.lost, taken_s, found.note)


def backwards(scratch: Path) -> Outcome:
    """Ten days backwards amid edits, and then Redis forgets what was queued."""
    with _site_with_clock(scratch) as (one, clock):
        one.edit()
        clock.jump(-10 * _DAY_S)
        begun = time.monotonic()
        one.edit()
        one.searches()
        time.sleep(0.3)
        _forget_jobs(one)
        one.edit()
        return one.outcome(begun, "nothing waited for the old time")


def to_and_fro(scratch: Path) -> Outcome:
    """Thirty jumps of up to twenty days either way amid edits."""
    rng = random.Random(5)
    with _site_with_clock(scratch) as (one, clock):
        for turn in range(30):
            clock.jump(rng.randint(-20 * _DAY_S, 20 * _DAY_S))
            if turn % 5 == 0:
                one.edit()
            time.sleep(0.2)
        begun = time.monotonic()
        clock.jump(-clock.shift_s)
        one.searches()
        return one.outcome(begun, "thirty jumps, then the right time")


@contextmanager
def _site_with_clock(scratch: Path) -> Iterator[tuple[Site, Clock]]:
    clock = Clock(scratch / "shift")
    environment = {"LD_PRELOAD": str(_library()), "SHIFTED_CLOCK": str(scratch / "shift")}
    with site(scratch, environment=environment) as one:
        yield one, clock


def _library() -> Path:
    """The shared object, built when it is not there. Raises Skipped without a C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise Skipped("there is no C compiler (cc) to build the shifted clock with")
    BUILD.mkdir(parents=True, exist_ok=True)
    built = BUILD / "shifted_clock.so"
    if not built.exists() or built.stat().st_mtime < _SOURCE.stat().st_mtime:
        arriving = built.with_suffix(".part")
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", arriving, _SOURCE, "-ldl"], check=True)
        arriving.rename(built)
    return built


def _forget_jobs(one: Site) -> None:
    from ragd.jobs.broker import Broker

    broker = Broker(f"unix://{one.state / 'broker' / 'redis.sock'}?db=0")
    broker.connection.flushall()
    broker.close()


SCENARIOS: Final = (
    Scenario("clock-forwards", "the clock jumps ten days forwards", forwards),
    Scenario("clock-backwards", "the clock jumps ten days backwards amid edits", backwards),
    Scenario("clock-to-and-fro", "the clock jumps thirty times, days either way", to_and_fro),
)
