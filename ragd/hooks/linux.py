"""What Linux offers to keep a process inside bounds, by system calls: Landlock, namespaces, prctl."""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import socket
import stat
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

IS_LINUX = sys.platform == "linux"
CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
_MS_REC, _MS_PRIVATE = 16384, 1 << 18
_MS_NOSUID, _MS_NODEV = 2, 4
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_SET_CHILD_SUBREAPER = 1, 38, 36
# The numbers are the same on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_PATH_BENEATH = 1
_WRITE_FILE, _READ_FILE, _READ_DIR, _REFER, _TRUNCATE = 1 << 1, 1 << 2, 1 << 3, 1 << 13, 1 << 14
# Removing and making files, folders, links, sockets, pipes and devices.
_CHANGE_FOLDER = sum(1 << bit for bit in range(4, 13))
_TCP = 0b11  # bind and connect
_SCOPES = 0b11  # abstract Unix sockets, signals
_READ_FILES = 0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
_CAPSET = MappingProxyType({"x86_64": 126, "aarch64": 91})


class _RulesetAttributes(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _failed(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")


def end_with_parent(signal_number: int) -> None:
    """This process gets the signal when its parent's thread ends; elsewhere than on Linux nothing happens."""
    if IS_LINUX:
        _libc().prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)


def adopt_orphans() -> None:
    """Descendants whose parent ends become children of this process, so that it can still see and end them."""
    if IS_LINUX:
        _libc().prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def landlock_version() -> int:
    """The kernel's Landlock ABI, 0 where there is none."""
    if not IS_LINUX:
        return 0
    found = _libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    return max(0, int(found))


def restrict(
    writable: Iterable[Path], *, devices: Iterable[Path] = (), readable: Iterable[Path] | None = None, network: bool
) -> int:
    """Binds this process and its descendants for good, by Landlock; returns the ABI used, 0 where there is none.

    They may change files only below `writable`, write to `devices`, read only below `readable` where that is given,
    and, where the kernel can (ABI 4 and 6), open no TCP connection unless `network`, and send no signal to processes
    outside. It binds the calling thread: call it before others are started. Raises OSError.
    """
    version = landlock_version()
    if not version:
        return 0
    change = _WRITE_FILE | _CHANGE_FOLDER | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    read = _READ_FILE | _READ_DIR if readable is not None else 0
    attributes = _RulesetAttributes(
        change | read, 0 if network or version < 4 else _TCP, _SCOPES if version >= 6 else 0
    )
    size = 8 if version < 4 else 16 if version < 6 else 24
    libc = _libc()
    ruleset = int(libc.syscall(_CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(size), ctypes.c_uint32(0)))
    if ruleset < 0:
        raise _failed("landlock_create_ruleset")
    try:
        for path in writable:
            _allow(libc, ruleset, path, change | read)
        for path in devices:
            _allow(libc, ruleset, path, (_WRITE_FILE | _TRUNCATE | _READ_FILE) & attributes.files)
        for path in readable or ():
            _allow(libc, ruleset, path, read)
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            raise _failed("no_new_privs")
        if libc.syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0)) != 0:
            raise _failed("landlock_restrict_self")
    finally:
        os.close(ruleset)
    return version


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, access: int) -> None:
    """Adds a rule for a path that is there; one that is not needs none."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            access &= _WRITE_FILE | _READ_FILE | _TRUNCATE
        rule = _PathBeneath(access, descriptor)
        if access and libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), ctypes.c_uint32(0)) != 0:
            raise _failed(f"landlock_add_rule {path}")
    finally:
        os.close(descriptor)


def everything_but(hidden: Iterable[Path]) -> list[Path]:
    """Paths that together hold all there is now but what lies at or below `hidden`.

    Links are left out: what they lead to is reached by its own path. Folders above `hidden` are not listed whole.
    """
    away = {Path(os.path.realpath(path)) for path in hidden}
    found: list[Path] = []
    waiting = [Path("/")]
    while waiting:
        folder = waiting.pop()
        if not any(path.is_relative_to(folder) for path in away):
            found.append(folder)
            continue
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                path = Path(entry.path)
                if path not in away and not entry.is_symlink():
                    waiting.append(path) if entry.is_dir(follow_symlinks=False) else found.append(path)
    return found


def leave(*, network: bool, shared_memory_mb: int) -> tuple[bool, bool]:
    """Moves this process into namespaces of its own; returns whether it left the network, and the shared memory.

    Its network is then a loopback of its own (unless `network`: it stays), its `/dev/shm` an empty one of limited size
    that goes with it. Where the system does not allow it nothing happens. Only a process of one thread can do this.
    """
    if not IS_LINUX:
        return False, False
    kinds = (0 if network else CLONE_NEWNET) | CLONE_NEWNS
    user, group = os.geteuid(), os.getegid()
    if user == 0 and _libc().unshare(kinds) == 0:
        pass
    elif _libc().unshare(CLONE_NEWUSER | kinds) == 0:
        if not _keep_identity(user, group):  # nobody could not make files in a shared memory of its own
            return (not network and _loopback_up()), False
    elif network or _libc().unshare(CLONE_NEWNET) != 0:
        return False, False
    else:
        return _loopback_up(), False
    return (not network and _loopback_up()), _own_shared_memory(shared_memory_mb)


def _keep_identity(user: int, group: int) -> bool:
    """Whether the process is the same user and group inside the namespace: without that it is nobody."""
    with suppress(OSError):
        Path("/proc/self/setgroups").write_bytes(b"deny")
        Path("/proc/self/uid_map").write_bytes(b"%d %d 1" % (user, user))
        Path("/proc/self/gid_map").write_bytes(b"%d %d 1" % (group, group))
        return True
    return False


def _loopback_up() -> bool:
    """Starts the loopback: libraries talk to their own helpers by it. Having left the network is true either way."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        name = b"lo".ljust(16, b"\0")
        flags = struct.unpack_from("16sH", fcntl.ioctl(control, 0x8913, struct.pack("16sH14x", name, 0)))[1]
        fcntl.ioctl(control, 0x8914, struct.pack("16sH14x", name, flags | 1))
    return True


def _own_shared_memory(size_mb: int) -> bool:
    libc = _libc()
    options = f"size={size_mb}m,mode=1777".encode()
    if libc.mount(None, b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None) != 0:
        return False
    kind = ctypes.c_ulong(_MS_NOSUID | _MS_NODEV)
    return os.path.isdir("/dev/shm") and libc.mount(b"tmpfs", b"/dev/shm", b"tmpfs", kind, options) == 0  # noqa: S108


def drop_capabilities() -> None:
    """Gives up what sets a superuser apart, but for reading the files of others: its own code may belong to them."""
    if IS_LINUX:
        header = struct.pack("Ii", 0x20080522, 0)
        kept = struct.pack("6I", _READ_FILES, _READ_FILES, 0, 0, 0, 0)
        number = _CAPSET.get(platform.machine())
        if number is not None:
            _libc().syscall(number, header, kept)


def tasks_of_user() -> int:
    """Threads of this user now: the kernel's limit counts them together, whoever started them."""
    user, found = os.getuid(), 0
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with suppress(OSError):
                if os.stat(f"/proc/{name}").st_uid == user:
                    found += len(os.listdir(f"/proc/{name}/task"))
    return found
