"""A filter of system calls for a process that only computes: no sockets, no programs, no children, no signals."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from types import MappingProxyType

from ragd.hooks import linux

# seccomp(2), linux/seccomp.h, linux/filter.h, linux/audit.h.
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _MODE_FILTER = 22, 38, 2
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_LOAD, _EQUALS, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_CLONE_THREAD = 0x10000
_X32 = 0x40000000  # a second set of numbers on x86-64

_REFUSED = (
    *("socket", "connect", "bind", "listen", "accept", "accept4", "socketpair", "sendto"),
    *("execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd"),
    *("pidfd_send_signal", "pidfd_open", "unshare", "setns", "mount", "bpf", "perf_event_open", "userfaultfd"),
    *("keyctl", "add_key", "request_key", "io_uring_setup"),
)
_SIGNALS = ("kill", "tgkill")
# fmt: off
_X86_64 = MappingProxyType({
    "socket": 41, "connect": 42, "accept": 43, "sendto": 44, "bind": 49, "listen": 50, "socketpair": 53, "clone": 56,
    "fork": 57, "vfork": 58, "execve": 59, "kill": 62, "ptrace": 101, "mount": 165, "tkill": 200, "tgkill": 234,
    "add_key": 248, "request_key": 249, "keyctl": 250, "unshare": 272, "accept4": 288, "perf_event_open": 298,
    "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311, "bpf": 321, "execveat": 322, "userfaultfd": 323,
    "pidfd_send_signal": 424, "io_uring_setup": 425, "pidfd_open": 434, "clone3": 435, "pidfd_getfd": 438,
})
_AARCH64 = MappingProxyType({
    "mount": 40, "unshare": 97, "ptrace": 117, "kill": 129, "tkill": 130, "tgkill": 131, "socket": 198,
    "socketpair": 199, "bind": 200, "listen": 201, "accept": 202, "connect": 203, "sendto": 206, "add_key": 217,
    "request_key": 218, "keyctl": 219, "clone": 220, "execve": 221, "perf_event_open": 241, "accept4": 242,
    "setns": 268, "process_vm_readv": 270, "process_vm_writev": 271, "bpf": 280, "execveat": 281, "userfaultfd": 282,
    "pidfd_send_signal": 424, "io_uring_setup": 425, "pidfd_open": 434, "clone3": 435, "pidfd_getfd": 438,
})
# fmt: on
# Which numbers, and how the kernel calls the architecture they belong to.
_TABLES = MappingProxyType({"x86_64": (_X86_64, 0xC000003E), "aarch64": (_AARCH64, 0xC00000B7)})

ARCHITECTURES = tuple(_TABLES)


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


Step = tuple[int, int, int, int]


def only_compute() -> bool:
    """Binds this process for good; returns whether it could, which is false where the kernel or machine is another.

    Afterwards it opens no socket and sends through none, starts no program and no child (threads it may), sends
    signals to itself alone, and looks into no other process: each of these fails with EPERM. What is open stays open.
    Call it before other threads are started.
    """
    table = _TABLES.get(platform.machine())
    if not linux.IS_LINUX or table is None or ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    steps = program(*table, pid=os.getpid())
    instructions = (_Instruction * len(steps))(*(_Instruction(*step) for step in steps))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    filtering = _Program(len(steps), ctypes.cast(instructions, ctypes.POINTER(_Instruction)))
    return bool(libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(filtering), 0, 0) == 0)


def program(numbers: MappingProxyType[str, int], architecture: int, *, pid: int) -> list[Step]:
    """The filter as steps (code, skip if true, skip if false, value) of classic BPF, decided call by call."""
    refuse, allow = (_RETURN, 0, 0, _ERRNO | errno.EPERM), (_RETURN, 0, 0, _ALLOW)
    steps: list[Step] = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUALS, 1, 0, architecture),
        refuse,
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, 0, 1, _X32),
        refuse,
    ]
    for name in (*_REFUSED, "tkill"):
        if name in numbers:
            steps += [(_EQUALS, 0, 1, numbers[name]), refuse]
    # Told that there is no clone3, the C library asks with clone, whose flags can be looked at.
    steps += [(_EQUALS, 0, 1, numbers["clone3"]), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    flags: Step = (_LOAD, 0, 0, _FIRST_ARGUMENT_AT)
    steps += [(_EQUALS, 0, 4, numbers["clone"]), flags, (_ANY_BIT, 1, 0, _CLONE_THREAD), refuse, allow]
    for name in _SIGNALS:
        steps += [(_EQUALS, 0, 4, numbers[name]), flags, (_EQUALS, 1, 0, pid), refuse, allow]
    return [*steps, allow]
