"""The filter of system calls, call by call: run here as the kernel runs it, and for real in a process of its own."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap

import pytest

from ragd.hooks import seccomp
from ragd.hooks.seccomp import Step, program

ALLOW, PID = 0x7FFF0000, 4711
REFUSE, UNKNOWN = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
READ = {"x86_64": 0, "aarch64": 63}
THREAD = 0x3D0F00  # what the C library asks of clone for a thread


def verdict(steps: list[Step], number: int, architecture: int, first: int = 0) -> int:
    """What a classic BPF machine returns for one call."""
    data = {0: number, 4: architecture, 16: first & 0xFFFFFFFF}
    at = held = 0
    while True:
        code, if_true, if_false, value = steps[at]
        at += 1
        if code == 0x20:
            held = data[value]
        elif code == 0x06:
            return value
        else:
            holds = {0x15: held == value, 0x35: held >= value, 0x45: bool(held & value)}[code]
            at += if_true if holds else if_false


@pytest.mark.parametrize("machine", seccomp.ARCHITECTURES)
def test_sockets_programs_and_looks_into_others_are_refused_and_the_rest_is_not(machine: str) -> None:
    numbers, architecture = seccomp._TABLES[machine]
    steps = program(numbers, architecture, pid=PID)
    assert len(steps) < 4096
    assert all(0 <= skip < 256 for step in steps for skip in step[1:3])
    own = {"clone", "clone3", "kill", "tgkill"}
    for name, number in numbers.items():
        if name not in own:
            assert verdict(steps, number, architecture) == REFUSE, name
    assert verdict(steps, numbers["clone3"], architecture) == UNKNOWN
    assert verdict(steps, numbers["clone"], architecture, THREAD) == ALLOW
    assert verdict(steps, numbers["clone"], architecture, 0x11) == REFUSE
    for name in ("kill", "tgkill"):
        assert verdict(steps, numbers[name], architecture, PID) == ALLOW
        assert verdict(steps, numbers[name], architecture, 1) == REFUSE
        assert verdict(steps, numbers[name], architecture, -1) == REFUSE
    assert verdict(steps, READ[machine], architecture) == ALLOW
    assert verdict(steps, READ[machine], 0x40000003) == REFUSE  # the numbers of another architecture mean other calls
    assert verdict(steps, 0x40000000 | READ[machine], architecture) == REFUSE


@pytest.mark.skipif(os.uname().machine not in seccomp.ARCHITECTURES, reason="no filter for this machine")
def test_a_process_that_only_computes_keeps_what_is_open_and_gets_nothing_new() -> None:
    code = """
        import os, signal, socket, subprocess, threading
        from ragd.hooks.seccomp import only_compute

        there, here = socket.socketpair()
        assert only_compute()
        os.write(there.fileno(), b"still open")
        assert here.recv(99) == b"still open"
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()
        os.kill(os.getpid(), 0)
        refused = 0
        for attempt in (
            lambda: socket.socket(),
            lambda: socket.socketpair(),
            os.fork,
            lambda: os.execv("/bin/true", ["true"]),
            lambda: subprocess.run(["/bin/true"]),
            lambda: os.posix_spawn("/bin/true", ["true"], {}),
            lambda: os.kill(os.getppid(), 0),
            lambda: os.pidfd_open(os.getppid()),
        ):
            try:
                attempt()
            except PermissionError:
                refused += 1
        print(refused)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("8\n", "")
