"""Which processes belong to a child, by parents, session, and a token that they inherit; read from /proc."""

from __future__ import annotations

import os
import signal
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS_S = 1.0 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Process:
    """A process as /proc tells it. `started` (ticks since boot) and the pid together name it for good.

    `cpu_s` is its own time and that of its children that ended and were waited for.
    """

    pid: int
    parent: int
    session: int
    state: str
    started: int
    rss_bytes: int
    cpu_s: float


def ending(status: int) -> str:
    """How a process ended, from its return code, in words; signals without a name of their own have a number."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"


def processes() -> dict[int, Process]:
    """Every process there is now, by its id; nothing where there is no /proc."""
    found: dict[int, Process] = {}
    with suppress(OSError):
        for name in os.listdir("/proc"):
            if name.isdecimal():
                one = process(int(name))
                if one is not None:
                    found[one.pid] = one
    return found


def process(pid: int) -> Process | None:
    """One process, None when there is none of this id."""
    try:
        return _read(pid)
    except (OSError, ValueError, IndexError):
        return None


def _read(pid: int) -> Process:
    with open(f"/proc/{pid}/stat", "rb") as file:
        # The name in parentheses may hold anything, so what follows its last parenthesis counts.
        fields = file.read().rpartition(b")")[2].split()
    times = sum(int(fields[place]) for place in (11, 12, 13, 14))
    return Process(
        pid,
        parent=int(fields[1]),
        session=int(fields[3]),
        state=fields[0].decode("ascii"),
        started=int(fields[19]),
        rss_bytes=int(fields[21]) * PAGE_BYTES,
        cpu_s=times * TICKS_S,
    )


def family(found: Mapping[int, Process], root: int, known: Collection[int] = ()) -> set[int]:
    """The ids of `root`, of those in its session, of `known` ones, and of all their descendants."""
    members = {pid for pid, process in found.items() if pid == root or process.session == root or pid in known}
    children: dict[int, list[int]] = {}
    for process in found.values():
        children.setdefault(process.parent, []).append(process.pid)
    waiting = list(members)
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in members:
                members.add(child)
                waiting.append(child)
    return members


def variable(pid: int, name: str) -> str:
    """What a process was started with in an environment variable; "" where it is not set or cannot be read."""
    with suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
        for entry in file.read().split(b"\0"):
            key, _, value = entry.partition(b"=")
            if key == os.fsencode(name):
                return os.fsdecode(value)
    return ""


def shared_out_bytes(pid: int) -> int:
    """The memory of a process, what it shares with others counted in proportion; 0 when it cannot be read."""
    with suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        for line in file:
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def unlinked_bytes(pid: int) -> int:
    """The size of files that a process holds open although they have no name any more."""
    size = 0
    with suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                facts = os.stat(f"/proc/{pid}/fd/{name}")
                if facts.st_nlink == 0 and facts.st_mode & 0o170000 == 0o100000:
                    size += facts.st_blocks * 512
    return size


def folder_bytes(folder: str) -> int:
    """The room that files below a folder take on the disk; what vanishes meanwhile does not count."""
    size, waiting = 0, [folder]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        size += entry.stat(follow_symlinks=False).st_blocks * 512
    return size
