from __future__ import annotations

import subprocess
import sys

import pytest

from ragd.domain.errors import OutOfMemory
from ragd.jobs.memory import while_memory_lasts

IN_A_JOB = """
with while_memory_lasts(is_disposable=True):
    raise MemoryError
"""
IN_A_THREAD = """
def fails():
    raise MemoryError
end_threads_too()
thread = threading.Thread(target=fails)
thread.start()
thread.join()
"""


@pytest.mark.parametrize("code", [IN_A_JOB, IN_A_THREAD])
def test_a_worker_without_memory_ends_at_once_and_says_so_in_one_line(code: str) -> None:
    head = "import threading\nfrom ragd.jobs.memory import end_threads_too, while_memory_lasts\n"
    tail = "\nprint('went on')"
    done = subprocess.run([sys.executable, "-c", head + code + tail], capture_output=True, text=True, check=False)
    assert done.returncode == OutOfMemory.exit_code
    assert "went on" not in done.stdout
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    assert "out_of_memory" in done.stderr


def test_a_process_that_does_more_than_work_sees_the_error() -> None:
    with pytest.raises(MemoryError), while_memory_lasts(is_disposable=False):
        raise MemoryError
