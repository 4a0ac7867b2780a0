"""Watches over a child and all it starts: memory, processes, disk, time; and ends them all, orphans included."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from subprocess import Popen
from typing import Any

from ragd.domain.deciding import Cost
from ragd.domain.learning import Resources
from ragd.hooks import linux, tree

# A random word that a child is started with: its descendants carry it, wherever they went.
TREE_VARIABLE = "RAGD_TREE"
_MIB = 1 << 20
_KILL_S = 10.0
_STEP_S = 0.01


class Watch:
    """Watches the tree of `process`, which must lead a session of its own (`start_new_session=True`).

    The tree is: its descendants, its session, and whoever carries its token (`environment`; read from the child where
    it is not given). With `adopts` this
    process becomes the parent of orphans, so that a child which left its session, dropped its variables and lost its
    parent is still seen; it is meant for a process that has no other business, such as the train worker.
    Not for use by two threads at once.
    """

    def __init__(
        self,
        process: Popen[Any],
        resources: Resources,
        folder: Path,
        *,
        adopts: bool = True,
        token: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if adopts:
            linux.adopt_orphans()
        self._process = process
        self._resources = resources
        self._folder = folder
        self._adopts = adopts
        self._clock = clock
        self._started = clock()
        self._token = token
        main = tree.process(process.pid)
        self._birth = main.started if main is not None else 0
        self._seen: dict[int, int] = {}  # pid -> started: a number that was given away again is another process
        self._cpu_s = 0.0
        self.peak_memory_mb = 0.0

    def check(self) -> str | None:
        """The limit that the tree has crossed, in one sentence with figures; None while it keeps to all."""
        members = self._members()
        limits = self._resources
        took_s = self._clock() - self._started
        if took_s > limits.timeout_s:
            return f"took longer than {limits.timeout_s:g} s"
        if len(members) > limits.processes:
            return f"started more than {limits.processes} processes ({len(members)} at once)"
        memory_mb = self._memory_mb(members)
        self.peak_memory_mb = max(self.peak_memory_mb, memory_mb)
        if memory_mb > limits.memory_mb:
            return f"used more than {limits.memory_mb} MiB of memory ({memory_mb:.0f} MiB)"
        written_mb = self._written_mb(members)
        if written_mb > limits.disk_mb:
            return f"wrote more than {limits.disk_mb} MiB ({written_mb:.0f} MiB)"
        return None

    def cost(self) -> Cost:
        """What the tree took so far; its GPU seconds are its time on the clock where it was given one."""
        gpu_s = self._clock() - self._started if self._resources.device == "cuda" else 0.0
        return Cost(self._cpu_s, gpu_s)

    def kill_all(self) -> bool:
        """Ends every process of the tree; returns whether none is left. Safe to call twice.

        They are stopped first, until there is none that could start another, then killed.
        """
        deadline = self._clock() + _KILL_S
        while self._clock() < deadline:
            stopped: set[int] = set()
            while True:
                fresh = {p.pid for p in self._members() if p.state not in "ZX"} - stopped
                if not fresh or self._clock() > deadline:
                    break
                self._send(fresh, signal.SIGSTOP)
                stopped |= fresh
            self._send(stopped, signal.SIGKILL)
            self._reap()
            if not any(process.state not in "ZX" for process in self._members()):
                return True
            time.sleep(_STEP_S)
        return False

    def _members(self) -> list[tree.Process]:
        """The processes of the tree now, those included that were seen in it and lost their parent."""
        found = tree.processes()
        # A process that is just being started has no variables yet.
        self._token = self._token or tree.variable(self._process.pid, TREE_VARIABLE)
        known = {pid for pid, started in self._seen.items() if pid in found and found[pid].started == started}
        known |= {process.pid for process in found.values() if self._is_stray(process)}
        members = [found[pid] for pid in sorted(tree.family(found, self._process.pid, known)) if pid != os.getpid()]
        self._seen = {process.pid: process.started for process in members}
        self._cpu_s = max(self._cpu_s, sum(process.cpu_s for process in members))
        return members

    def _is_stray(self, process: tree.Process) -> bool:
        """Whether a process that is not the child's descendant is one of its tree all the same."""
        if not self._birth or process.started < self._birth or process.pid == os.getpid():
            return False
        token = tree.variable(process.pid, TREE_VARIABLE)
        if token and self._token:
            return token == self._token
        is_adopted = self._adopts and process.parent == os.getpid()
        return is_adopted and process.session != os.getsid(0) and process.pid != self._process.pid

    def _memory_mb(self, members: list[tree.Process]) -> float:
        """Resident memory; what members share is counted once, which costs more to find out, where it matters."""
        total = sum(process.rss_bytes for process in members) / _MIB
        if total <= self._resources.memory_mb or len(members) == 1:
            return total
        return sum(tree.shared_out_bytes(process.pid) or process.rss_bytes for process in members) / _MIB

    def _written_mb(self, members: list[tree.Process]) -> float:
        hidden = sum(tree.unlinked_bytes(process.pid) for process in members)
        return (tree.folder_bytes(str(self._folder)) + hidden) / _MIB

    def _send(self, pids: set[int], number: signal.Signals) -> None:
        for pid in pids:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    def _reap(self) -> None:
        """Takes leave of those that ended: the child by its own handle, adopted ones by their number."""
        self._process.poll()
        for pid in list(self._seen):
            if pid != self._process.pid:
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
