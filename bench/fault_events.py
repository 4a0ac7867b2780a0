"""What can happen to the news of changes: more than the kernel keeps, and no watches left to hear them by."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

from bench.fault import Outcome, Scenario, Skipped
from bench.fault_site import NotSo, Site, site

_QUEUE: Final = Path("/proc/sys/fs/inotify/max_queued_events")
_WATCHES: Final = "/proc/sys/user/max_inotify_watches"
_FEW: Final = 6


def overflow(scratch: Path) -> Outcome:
    """More events than the kernel keeps while nobody listens (the daemon is stopped); the newest ones are lost."""
    with site(scratch) as one:
        scans = one.status()["watch"][0]["scans"]
        os.kill(one.daemon.process.pid, signal.SIGSTOP)
        for _ in range(int(_QUEUE.read_text()) // 2 + 1000):
            for name in ("noise-a.md", "noise-b.md"):  # by turns: equal events in a row count as one
                os.close(os.open(one.folder / name, os.O_WRONLY | os.O_CREAT, 0o644))
        one.edit()
        for name in ("noise-a.md", "noise-b.md"):
            (one.folder / name).unlink()
        begun = time.monotonic()
        os.kill(one.daemon.process.pid, signal.SIGCONT)
        found = one.outcome(begun, "heard of the loss and walked the folder")
        if one.status()["watch"][0]["scans"] == scans:
            raise NotSo("no events were lost: the storm was too small to show anything")
        return found


def exhausted(scratch: Path) -> Outcome:
    """The user has no inotify watches left for most folders, then gets more; events, then walks, then events again."""
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        raise Skipped("unshare and nsenter are not installed")
    limited = ["unshare", "-U", "-r", "sh", "-c", f'echo {_FEW} > {_WATCHES} && exec "$0" "$@"']
    if subprocess.run([*limited, "true"], capture_output=True, check=False).returncode:
        raise Skipped("a user namespace with a limit of its own is not allowed here")
    made = Site(scratch, prefix=limited, environment={"RAGD_WATCH__RESCAN_S": "2"})
    for number in range(3 * _FEW):
        made.write(f"f{number}/note.md")
    try:
        made.launch()
        said = made.until_said("no inotify watches left", "user.max_inotify_watches")
        made.until(lambda: not made.wrong(), "everything is served all the same")
        made.edit()
        made.write(f"f{3 * _FEW - 1}/new.md")
        made.until(lambda: not made.wrong(), "edits are found by walking")
        begun = time.monotonic()
        enter = ["nsenter", "--preserve-credentials", "-U", "-t", str(made.daemon.process.pid)]
        subprocess.run([*enter, "sh", "-c", f"echo 10000 > {_WATCHES}"], check=True, capture_output=True)
        return made.outcome(begun, f"walked meanwhile; said: {said.partition(': ')[2][:90]}...")
    finally:
        made.close()


SCENARIOS: Final = (
    Scenario("events-overflow", "more events than the kernel keeps: the newest are lost", overflow),
    Scenario("events-no-watches", "no inotify watches are left for most folders", exhausted),
)
