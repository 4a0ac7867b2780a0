"""A systemd of the test's own, in its own namespaces and cgroup, which runs the units it is given and no others."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

SYSTEMD = Path("/usr/lib/systemd/systemd")
INSIDE = Path(__file__).with_name("private_systemd.sh")
# What a unit asks for by itself, as units that do nothing.
TARGETS = ("sysinit", "basic", "shutdown", "local-fs", "network-online", "multi-user")
USER_ID = 987
_START_S = 20.0


class Manager:
    """One private systemd. `units` is the folder of its units, `var_lib` its /var/lib."""

    def __init__(self, folder: Path, cgroup: Path) -> None:
        self.folder, self._cgroup = folder, cgroup
        self.units, self.var_lib = folder / "units", folder / "var-lib"
        self._pid = 0

    def prepare(self, units: Mapping[str, str]) -> None:
        """Writes the units, the user `ragd`, and the targets that units name."""
        self.var_lib.mkdir(mode=0o755)
        for name in TARGETS:
            units = {**units, f"{name}.target": "[Unit]\nDefaultDependencies=no\n"}
        for name, text in {**units, "only.target": "[Unit]\nDefaultDependencies=no\n"}.items():
            (self.units / name).parent.mkdir(parents=True, exist_ok=True)
            (self.units / name).write_text(text)
        user = f"ragd:x:{USER_ID}:{USER_ID}::/var/lib/ragd:/usr/sbin/nologin\n"
        (self.folder / "passwd").write_text(f"root:x:0:0::/root:/bin/sh\n{user}")
        (self.folder / "group").write_text(f"root:x:0:\nragd:x:{USER_ID}:\n")

    def start(self) -> subprocess.Popen[bytes]:
        """Starts it in the cgroup and waits until it answers."""
        python = Path(sys.base_prefix)
        closed = [folder for folder in reversed([python, *python.parents]) if not folder.stat().st_mode & 0o001]
        kinds = ("--mount", "--pid", "--fork", "--cgroup", "--ipc", "--uts", "--net", "--mount-proc", "--kill-child")
        inside = ["sh", str(INSIDE), str(self.folder), str(python), str(closed[0]) if closed else ""]
        # The shell enters the cgroup first, so that the namespace begins there.
        enter = ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(self._cgroup)]
        with (self.folder / "inside.log").open("wb") as log:
            process = subprocess.Popen([*enter, "unshare", *kinds, *inside], stdout=log, stderr=log)
        until = time.monotonic() + _START_S
        while not self._answers():
            if process.poll() is not None or time.monotonic() > until:
                process.kill()
                pytest.skip(f"no private systemd here: {(self.folder / 'inside.log').read_text().strip() or 'silence'}")
            time.sleep(0.05)
        return process

    def control(self, *arguments: str, check: bool = True) -> str:
        """What `systemctl` says there."""
        done = subprocess.run(
            [*self.enter(), "systemctl", "--no-pager", *arguments], check=False, text=True, capture_output=True
        )
        assert not check or done.returncode == 0, f"{done.stderr}{self.told()}"
        return done.stdout

    def told(self) -> str:
        """How its units stand, and what they printed to /run/test/log."""
        log = self.folder / "log"
        return self.control("status", "ragd*", check=False) + (log.read_text() if log.exists() else "")

    def facts(self, unit: str, *names: str) -> dict[str, str]:
        """Properties of a unit."""
        lines = self.control("show", unit, *(f"--property={name}" for name in names)).splitlines()
        return dict(line.split("=", 1) for line in lines)

    def outside_pid(self, inside: str) -> int:
        """A process of it by the id that this process knows."""
        for procs in self._cgroup.rglob("cgroup.procs"):
            for pid in procs.read_text().split():
                status = Path(f"/proc/{pid}/status").read_text()
                (ids,) = [line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")]
                if ids[-1] == inside:
                    return int(pid)
        raise AssertionError(f"no process {inside} in {self._cgroup}")

    def enter(self) -> list[str]:
        """The beginning of a command that runs inside."""
        return ["nsenter", f"--target={self._pid}", "--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup"]

    def _answers(self) -> bool:
        with suppress(OSError, LookupError):
            self._pid = int((self._cgroup / "init.scope" / "cgroup.procs").read_text().split()[0])
            return self.control("is-active", "only.target", check=False).strip() == "active"
        return False


@contextmanager
def private_systemd(folder: Path, units: Mapping[str, str]) -> Iterator[Manager]:
    """A running one; nothing is left of it afterwards. Skips, with the reason, where it cannot be had."""
    _skip_unless_possible()
    cgroup = _unified() / f"ragd-test-{os.getpid()}"
    try:
        cgroup.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup may be made here: {error}")
    process: subprocess.Popen[bytes] | None = None
    try:
        manager = Manager(folder, cgroup)
        manager.prepare(units)
        process = manager.start()
        yield manager
    finally:
        _end(process, cgroup)


def _end(process: subprocess.Popen[bytes] | None, cgroup: Path) -> None:
    """Ends it with all that runs in it: the kernel does so when the first process of its namespace ends."""
    for pid in (cgroup / "cgroup.procs").read_text().split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)  # unshare: its --kill-child takes systemd along
    if process is not None:
        process.wait(20)
    until = time.monotonic() + 20
    for path in [*sorted(cgroup.rglob("*/"), key=lambda path: -len(path.parts)), cgroup]:
        while path.is_dir():
            try:
                path.rmdir()
            except OSError:
                assert time.monotonic() < until, f"{path} is still in use"
                time.sleep(0.05)


def _skip_unless_possible() -> None:
    if os.geteuid() != 0:
        pytest.skip("a private systemd needs root")
    if Path(sys.prefix).is_relative_to("/tmp"):
        pytest.skip("what lies below /tmp is not seen by units, which have a /tmp of their own")
    missing = [name for name in ("unshare", "nsenter", "systemctl", "mount") if shutil.which(name) is None]
    if missing or not SYSTEMD.exists():
        pytest.skip(f"not installed: {', '.join(missing) or SYSTEMD}")


def _unified() -> Path:
    """Where the unified hierarchy of cgroups is mounted."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if right.startswith("cgroup2 "):
            return Path(left.split()[4])
    pytest.skip("there is no unified hierarchy of cgroups")
