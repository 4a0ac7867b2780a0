from __future__ import annotations

import os
import subprocess
import sys

from ragd.jobs import launch
from ragd.jobs.launch import bound_to_this_process


def test_the_program_takes_the_place_of_the_launcher_under_its_number() -> None:
    program = subprocess.Popen(
        bound_to_this_process([sys.executable, "-I", "-S", "-c", "import os; print(os.getpid(), os.getppid())"]),
        stdout=subprocess.PIPE,
    )
    said, _ = program.communicate(timeout=30)
    assert said.split() == [b"%d" % program.pid, b"%d" % os.getpid()]
    assert program.returncode == 0


def test_a_program_whose_parent_is_already_gone_does_not_start() -> None:
    orphan = [sys.executable, "-I", "-S", launch.__file__, "1", sys.executable, "-c", "print('started')"]
    said = subprocess.run(orphan, check=False, capture_output=True)
    assert (said.returncode, said.stdout) == (1, b"")
