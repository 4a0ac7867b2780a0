"""The round trip without a hand on it: index, search, edit, find the edit, rename, delete, receipts, verify, stop.

    python -m bench.demo [--record docs/tutorial/first-five-minutes.txt]

Every command is run as it is shown, by a shell, in a home folder of its own, and what it prints is checked: a step
that does not show what it must ends the demo with exit code 1. `--record` writes what was shown to a file.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
START = "ragd run ~/notes"
PROMPT = "$ "
START_TIMEOUT_S = 300.0
STOP_TIMEOUT_S = 60.0
COMMAND_TIMEOUT_S = 90.0
FRAMES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Step:
    """What is said, the command line that follows, and what its output must and must not hold (as patterns)."""

    said: str
    command: str
    must: tuple[str, ...] = ()
    must_not: tuple[str, ...] = ()


BEFORE = (Step("A folder of notes: a copy of this project's documentation.", "cp -r docs ~/notes"),)

STEPS = (
    Step(
        "Ask in your own words: hits are found by words and by meaning.",
        "ragd search -n 3 what becomes of my index when the power fails",
        must=(r"^ 1  ", r"^ 3  ", r"explanation/architecture\.md"),
    ),
    Step(
        "Edit a file ...",
        r"printf '\n## Boathouse\n\nOur otter Mimi guards the spare keys.\n' >> ~/notes/README.md",
    ),
    Step(
        "... and find the edit by what it means: none of these words is in it.",
        "ragd search -n 1 --after latest --mode dense which animal could unlock the door",
        must=(r"^ 1  README\.md", r"otter Mimi"),
    ),
    Step(
        "The receipt tells what that took, in milliseconds, and what was encoded, in characters: not the whole file.",
        "ragd receipts ~/notes/README.md",
        must=(r"modify .* searchable",),
    ),
    Step("Rename it ...", "mv ~/notes/README.md ~/notes/otters.md"),
    Step(
        "... and it is found under its new name.",
        "ragd search -n 1 --after latest --mode words otter",
        must=(r"^ 1  otters\.md",),
        must_not=("README",),
    ),
    Step(
        "Nothing was read and nothing encoded for that.",
        "ragd receipts ~/notes/otters.md",
        must=(r"add( +[-\d,]+){4} +0 +searchable",),
    ),
    Step("Delete it ...", "rm ~/notes/otters.md"),
    Step(
        "... and it is gone, at once.",
        "ragd search --after latest --mode words otter",
        must=("nothing found",),
        must_not=("Mimi",),
    ),
    Step("Everything that happened has a receipt.", "ragd receipts -n 6", must=("deleted", "searchable", "modify")),
    Step("How the daemon is.", "ragd status", must=("ready", r"0 pending, 0 failed")),
    Step("And the proof that the index equals the folder.", "ragd verify", must=("equal: ",)),
)


class DemoFailed(Exception):
    """A step did not show what it must; the text says which and what."""


class Screen:
    """Shows lines, and keeps them with the home folder written as `~`."""

    def __init__(self, home: Path) -> None:
        self._home = str(home)
        self.lines: list[str] = []

    def show(self, text: str = "") -> None:
        """Prints lines now."""
        for line in text.splitlines() or [""]:
            self.lines.append(line.replace(self._home, "~").rstrip())
            print(self.lines[-1], flush=True)


class Daemon:
    """`ragd run` on a terminal of its own, so that it shows what a person would see."""

    def __init__(self, environment: dict[str, str]) -> None:
        terminal, its_end = os.openpty()
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {START}"],
            env=environment,
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=its_end,
            stderr=its_end,
        )
        os.close(its_end)
        self._terminal = terminal
        self._heard = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        """Everything it printed so far."""
        return self._heard.decode("utf-8", "replace").replace("\r\n", "\n")

    def wait_ready(self) -> None:
        """Returns once it said that everything is searchable."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while "all searchable" not in self.text.rpartition("\n")[0]:
            if self.process.poll() is not None:
                raise DemoFailed(f"`{START}` ended with exit code {self.process.returncode}:\n{self.text}")
            if time.monotonic() > deadline:
                raise DemoFailed(f"`{START}` was not ready after {START_TIMEOUT_S:g} s:\n{self.text}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Ends it as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        if self.process.wait(STOP_TIMEOUT_S) != 0:
            raise DemoFailed(f"`{START}` ended with exit code {self.process.returncode}:\n{self.text}")
        self._reader.join(5)

    def close(self) -> None:
        """Leaves nothing behind, whatever happened."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(STOP_TIMEOUT_S)
        os.close(self._terminal)

    def _read(self) -> None:
        while True:
            try:
                block = os.read(self._terminal, 65536)
            except OSError:
                return
            if not block:
                return
            self._heard += block


def main() -> int:
    """Runs the demo; 0 when every step showed what it must."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, metavar="FILE", help="write what was shown to this file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ragd-demo-") as scratch:
        home = Path(scratch).resolve()
        screen = Screen(home)
        begun = time.monotonic()
        try:
            play(screen, environment(home))
        except DemoFailed as failure:
            print(f"demo failed: {failure}", file=sys.stderr)
            return 1
    print(f"\nThe demo took {time.monotonic() - begun:.0f} s, and every step showed what it must.")
    if given.record:
        given.record.parent.mkdir(parents=True, exist_ok=True)
        given.record.write_text("\n".join(screen.lines) + "\n", encoding="utf-8")
    return 0


def environment(home: Path) -> dict[str, str]:
    """A new user's environment: an empty home folder, no configuration, and `ragd` on the path."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("RAGD_", "XDG_")) and name not in ("COLUMNS", "LINES", "PYTHONPATH")
    }
    path = f"{Path(sys.executable).parent}:{inherited.get('PATH', '/usr/bin:/bin')}"
    return {**inherited, "HOME": str(home), "PATH": path, "NO_COLOR": "1"}


def commands() -> list[str]:
    """Every command line of the demo, in order."""
    return [*(step.command for step in BEFORE), f"{START} &", *(step.command for step in STEPS)]


def play(screen: Screen, env: dict[str, str]) -> None:
    """The whole demo. Raises DemoFailed at the first step that does not show what it must."""
    for step in BEFORE:
        perform(step, screen, env)
    screen.show("\n# Start the daemon. The first start makes the model ready, once.")
    screen.show(f"{PROMPT}{START} &")
    daemon = Daemon(env)
    try:
        following(daemon, screen.show, daemon.wait_ready)
        for step in STEPS:
            perform(step, screen, env)
        screen.show("\n# Stop it with Ctrl-C. What is done stays done; the next start goes on from here.")
        screen.show("^C")
        following(daemon, screen.show, daemon.stop)
    finally:
        daemon.close()


def perform(step: Step, screen: Screen, env: dict[str, str]) -> None:
    """Shows and runs one command, and checks what it printed."""
    screen.show(f"\n# {step.said}")
    screen.show(f"{PROMPT}{step.command}")
    done = subprocess.run(
        ["/bin/sh", "-c", step.command],
        env=env,
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
    )
    if done.stdout:
        screen.show(done.stdout)
    if done.returncode != 0:
        raise DemoFailed(f"`{step.command}` ended with exit code {done.returncode}")
    for pattern in step.must:
        if not re.search(pattern, done.stdout, re.MULTILINE):
            raise DemoFailed(f"`{step.command}` did not show {pattern!r}")
    for pattern in step.must_not:
        if re.search(pattern, done.stdout, re.MULTILINE):
            raise DemoFailed(f"`{step.command}` shows {pattern!r}, which must be gone")


def following(daemon: Daemon, show: Callable[[str], None], until: Callable[[], None]) -> None:
    """Shows what the daemon prints meanwhile: whole lines, and a few of the progress lines that it rewrites."""
    before = len(daemon.text)
    until()
    for line in settled_lines(daemon.text[before:]):
        show(line)


def settled_lines(text: str) -> list[str]:
    """The lines of a terminal's output; of a line that was rewritten many times a few states, evenly chosen."""
    lines: list[str] = []
    for line in text.split("\n"):
        *frames, last = (re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", frame) for frame in line.split("\r"))
        moving = list(dict.fromkeys(frame for frame in frames if frame.strip()))
        count = min(len(moving), FRAMES_SHOWN)
        lines += [moving[i * (len(moving) - 1) // max(1, count - 1)] for i in range(count)]
        lines += [last] if last.strip() else []
    return lines


if __name__ == "__main__":
    sys.exit(main())
