"""Starts a program that dies with its parent: `python launch.py PARENT_PID PROGRAM [ARGUMENT…]`.

Run as a file by an isolated interpreter (`-I -S`), so it imports the standard library only and is
quick. The parent-death signal survives exec and is set here, in the child, because code between fork and
exec in a process with threads is not safe.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def main(arguments: Sequence[str]) -> None:
    """Asks the kernel to kill this process when its parent dies, then becomes the program; never returns."""
    parent, program = int(arguments[0]), list(arguments[1:])
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the signal was armed
            raise SystemExit(1)
    os.execvp(program[0], program)  # noqa: S606 - the program is chosen by the parent, without a shell


def bound_to_this_process(program: Sequence[str]) -> list[str]:
    """The command line that runs `program` so that it dies when the calling process does.

    The signal is bound to the calling thread: start children from one that lives as long as the process.
    """
    return [sys.executable, "-I", "-S", os.path.abspath(__file__), str(os.getpid()), *program]


if __name__ == "__main__":
    main(sys.argv[1:])
