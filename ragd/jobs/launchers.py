"""Starts the process of a run on this machine: in a session of its own, bound to the worker, its words in the log."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from ragd.domain.deciding import Cost
from ragd.domain.errors import LaunchFailed
from ragd.domain.learning import Resources
from ragd.domain.plugins import Launched, Launcher
from ragd.jobs.launch import bound_to_this_process

LOCAL: Final = "local"
_LOG: Final = "log.txt"
_END_S: Final = 2.0


class LocalLauncher:
    """The built-in launcher: a child process. It dies when its worker does, however that ends."""

    name = LOCAL

    def launch(self, command: Sequence[str], folder: Path, resources: Resources) -> Launched:
        """Starts the command; what it prints is added to `log.txt` in the folder. Raises LaunchFailed."""
        try:
            with (folder / _LOG).open("ab") as log:
                process = subprocess.Popen(
                    bound_to_this_process(command),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=folder,
                    start_new_session=True,
                )
        except OSError as error:
            raise LaunchFailed(
                f"the process of the run cannot be started: {error}",
                hint="see whether the machine has memory and processes left",
            ) from error
        return LocalProcess(process)


class LocalProcess:
    """A run under way as a child of this process."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._begun_at = time.monotonic()

    def poll(self) -> int | None:
        """The exit status (negative: a signal), None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """Ends it now: it is given a moment to end its trainer and write the outcome, then killed."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_S)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def cost(self) -> Cost:
        """Not measured here: the run's own outcome tells it."""
        return Cost()


class MissingLauncher:
    """Stands for a launcher that nobody offers here: each run fails with its name and what to do."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        self._known = ", ".join(sorted(known))

    def launch(self, command: Sequence[str], folder: Path, resources: Resources) -> Launched:
        """Raises LaunchFailed."""
        raise LaunchFailed(
            f"there is no launcher {self.name!r} here",
            hint=f"set learn.launcher to one of {self._known}, or install the plugin that offers it",
        )


def choose(name: str, offered: Iterable[Launcher]) -> Launcher:
    """The launcher of this name: the built-in one, a plugin's, or one that says that it is missing."""
    known: dict[str, Launcher] = {**{launcher.name: launcher for launcher in offered}, LOCAL: LocalLauncher()}
    return known.get(name) or MissingLauncher(name, known)
