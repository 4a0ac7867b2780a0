from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ragd.disk.lock import StateLock, lock_owner
from ragd.domain.errors import StateLocked

HOLD = "import sys, time; from pathlib import Path; from ragd.disk.lock import StateLock; "
HOLD += "lock = StateLock(Path(sys.argv[1])).acquire(); print('held', flush=True); time.sleep(60)"


def test_the_second_owner_is_told_who_the_first_is(tmp_path: Path) -> None:
    with (
        StateLock(tmp_path),
        pytest.raises(StateLocked, match=f"in use by process {os.getpid()}") as caught,
    ):
        StateLock(tmp_path).acquire(wait_s=0)
    assert "--state" in caught.value.hint


def test_a_lock_given_back_can_be_taken_again(tmp_path: Path) -> None:
    lock = StateLock(tmp_path / "new").acquire()
    lock.release()
    lock.release()
    assert lock_owner(tmp_path / "new") is None
    with StateLock(tmp_path / "new"):
        assert lock_owner(tmp_path / "new") == os.getpid()


def test_a_folder_without_a_lock_has_no_owner(tmp_path: Path) -> None:
    assert lock_owner(tmp_path) is None


def test_the_second_waits_for_an_owner_on_its_way_out(tmp_path: Path) -> None:
    first = StateLock(tmp_path).acquire()
    second = StateLock(tmp_path).acquire(wait_s=3, sleep=lambda _: first.release())
    assert lock_owner(tmp_path) == os.getpid()
    second.release()


def test_a_killed_owner_leaves_no_lock_behind(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"held\n"
    assert lock_owner(tmp_path) == child.pid
    with pytest.raises(StateLocked, match=str(child.pid)):
        StateLock(tmp_path).acquire(wait_s=0)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    StateLock(tmp_path).acquire(wait_s=0).release()
