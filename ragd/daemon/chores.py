"""Short-lived children of the daemon for heavy, trusted work: preparing a run's data, evaluating its result."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragd.config.events import get_log
from ragd.disk.atomic import no_room_named
from ragd.domain.errors import LaunchFailed
from ragd.flow.training import ChoreEnd
from ragd.jobs.launch import bound_to_this_process

_LOG = get_log("ragd.daemon")
_LAST_BYTES = 64 * 1024


@dataclass(slots=True)
class _Chore:
    process: subprocess.Popen[bytes]
    output: Path
    timeout_s: float
    deadline: float
    is_late: bool = False

    def kill(self) -> None:
        """Ends it with all that it started: it has a session of its own."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


class Chores:
    """Starts children by module name and tells how they ended; `step` never waits.

    Call it from one thread that lives as long as the process, since the children end with it. They are niced and have
    `threads` threads; what they print goes to a file, of which the last line is their answer.
    """

    def __init__(
        self, environment: Mapping[str, str], *, nice: int = 10, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._environment = dict(environment)
        self._nice = nice
        self._clock = clock
        self._running: dict[str, _Chore] = {}

    def start(
        self, name: str, module: str, arguments: Sequence[str], output: Path, *, threads: int = 1, timeout_s: float
    ) -> None:
        """Runs `python -m MODULE ARGUMENTS` as the chore `name`; nothing happens when it is running already.

        Raises LaunchFailed when its output has no folder, or the machine has no room for one more process; DiskFull.
        """
        if name in self._running:
            return
        limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
        command = [sys.executable, "-P", "-m", module, *arguments]
        try:
            with no_room_named(output), output.open("wb") as stream:
                process = subprocess.Popen(
                    bound_to_this_process(["nice", "-n", str(self._nice), *command]),
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    env={**self._environment, **limits, "TOKENIZERS_PARALLELISM": "false"},
                    start_new_session=True,
                )
        except OSError as error:
            raise LaunchFailed(f"{name} cannot be started: {error}", hint="see whether its folder is there") from error
        self._running[name] = _Chore(process, output, timeout_s, self._clock() + timeout_s)
        _LOG.info("chore_started", name=name, pid=process.pid)

    def is_running(self, name: str) -> bool:
        """True until `step` has told the chore's end."""
        return name in self._running

    def step(self) -> list[ChoreEnd]:
        """The chores that ended since the last call; one that took too long is ended here."""
        ended = []
        for name, chore in list(self._running.items()):
            if self._clock() > chore.deadline:
                chore.is_late = True
                chore.kill()
            done, status, usage = os.wait4(chore.process.pid, os.WNOHANG)
            if not done:
                continue
            chore.process.returncode = os.waitstatus_to_exitcode(status)  # it is reaped: Popen must not wait again
            del self._running[name]
            cpu_s = usage.ru_utime + usage.ru_stime
            _LOG.info("chore_ended", name=name, status=chore.process.returncode, cpu_s=round(cpu_s, 2))
            said = _late(chore) if chore.is_late else _last_line(chore.output)
            ended.append(ChoreEnd(name, chore.process.returncode, said, cpu_s))
        return ended

    def stop(self, name: str) -> None:
        """Ends a chore now; its end is told by the next `step`."""
        if name in self._running:
            self._running[name].kill()

    def close(self) -> None:
        """Ends every chore and waits for it."""
        for chore in self._running.values():
            chore.kill()
            chore.process.wait()
        self._running.clear()


def _late(chore: _Chore) -> Mapping[str, Any]:
    return {"reason": f"it took longer than {chore.timeout_s:g} s", "hint": f"what it printed is in {chore.output}"}


def _last_line(output: Path) -> Mapping[str, Any]:
    try:
        with output.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _LAST_BYTES))
            lines = stream.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:  # its folder was removed meanwhile
        return {}
    try:
        said = json.loads(lines[-1]) if lines else {}
    except ValueError:
        said = {"reason": lines[-1][:500]}
    return said if isinstance(said, dict) else {}
