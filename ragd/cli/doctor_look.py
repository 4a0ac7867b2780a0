"""Gathers what `ragd doctor` judges about the machine: disk, clock, limits, memory, versions, kernel."""

from __future__ import annotations

import json
import os
import pwd
import re
import resource
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from ragd.cli import doctor_facts as facts
from ragd.cli.tested import TESTED
from ragd.watch.roots import NETWORK_TYPES, mount_of, read_mounts

_PROGRAMS = ("sudo", "sysctl", "setfacl", "prlimit", "redis-cli", "timedatectl", "systemctl", "tee")
_AHEAD_S = 300.0
_LOOK_S = 0.1
_PROBE_S = 20.0
_KERNEL_KEYS = (
    *("kernel/unprivileged_userns_clone", "kernel/apparmor_restrict_unprivileged_userns"),
    "user/max_user_namespaces",
)


def shell(config: Path | None, state: Path | None) -> facts.Shell:
    """What can be typed here; `config` and `state` are the options that were given."""
    called, found = Path(sys.argv[0]), shutil.which("ragd")
    is_plain = found is not None and Path(found).resolve() == called.resolve()
    return facts.Shell(
        user=user_name(os.geteuid()),
        uid=os.geteuid(),
        program="ragd" if is_plain else f"{shlex.quote(sys.executable)} -m ragd",
        python=shlex.quote(sys.executable),
        programs=frozenset(name for name in _PROGRAMS if shutil.which(name)),
        config=f"--config {shlex.quote(str(config))}" if config else "",
        state=f"--state {shlex.quote(str(state))}" if state else "",
    )


def now() -> float:
    """Unix seconds."""
    return time.time()


def user_name(uid: int) -> str:
    """A user's name, or the number where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def kind_of_mount(path: Path) -> tuple[str, str, bool]:
    """Where the file system of a path is mounted, its kind, and whether its changes may come from elsewhere."""
    mount = mount_of(os.fsencode(os.path.realpath(path)), read_mounts())
    if mount is None:
        return "", "", False
    return os.fsdecode(mount.point), mount.kind, mount.kind in NETWORK_TYPES


def disk(state: Path) -> facts.DiskFacts:
    """The disk of the state folder, or of the nearest folder above that is there."""
    place = next((path for path in (state, *state.parents) if path.exists()), Path("/"))
    told = os.statvfs(place)
    mount, kind, _ = kind_of_mount(place)
    catalog = 0
    with suppress(OSError):
        catalog = (state / "catalog.db").stat().st_size
    return facts.DiskFacts(
        path=state,
        mount=mount,
        kind=kind,
        size_bytes=told.f_blocks * told.f_frsize,
        free_bytes=told.f_bavail * told.f_frsize,
        free_files=told.f_favail if told.f_files else 1 << 30,
        needed_bytes=catalog,
        is_read_only=bool(told.f_flag & os.ST_RDONLY),
    )


def clock(state: Path) -> facts.ClockFacts:
    """Whether wall clock and monotonic clock go alike, and which files in the state folder come from the future."""
    wall, steady = time.time(), time.monotonic()
    time.sleep(_LOOK_S)
    drift_s = abs((time.time() - wall) - (time.monotonic() - steady))
    found = [path for path in _entries(state) if _changed_at(path) > time.time() + _AHEAD_S]
    return facts.ClockFacts(time.time(), drift_s, tuple(found[:20]))


def _entries(state: Path) -> Iterable[Path]:
    for folder in (state, state / "generations", state / "runs", state / "models"):
        with suppress(OSError):
            yield from sorted(folder.iterdir())


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def files(pid: int | None) -> facts.FilesFacts:
    """Limits of open files: the daemon's, or this process's where none runs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if pid is None:
        return facts.FilesFacts(soft, hard)
    with suppress(OSError, ValueError):
        limits = Path(f"/proc/{pid}/limits").read_text("ascii")
        told = re.search(r"^Max open files\s+(\S+)\s+(\S+)", limits, re.MULTILINE)
        if told:
            soft, hard = (1 << 20 if value == "unlimited" else int(value) for value in told.groups())
            return facts.FilesFacts(soft, hard, len(os.listdir(f"/proc/{pid}/fd")), pid)
    return facts.FilesFacts(soft, hard)


def inotify(daemon: int | None) -> facts.InotifyFacts:
    """The kernel's limits, and what this user's processes use of them, those of the daemon aside."""
    used, instances = _inotify_used(daemon)
    return facts.InotifyFacts(
        watches=_settings("fs/inotify/max_user_watches", "user/max_inotify_watches"),
        instances=_settings("fs/inotify/max_user_instances", "user/max_inotify_instances"),
        watches_used=used,
        instances_used=instances,
    )


def _inotify_used(daemon: int | None) -> tuple[int, int]:
    watches = instances = 0
    for pid in (name for name in os.listdir("/proc") if name.isdecimal() and name != str(daemon)):
        with suppress(OSError):
            if os.stat(f"/proc/{pid}").st_uid != os.geteuid():
                continue
            for number in os.listdir(f"/proc/{pid}/fd"):
                with suppress(OSError):
                    if os.readlink(f"/proc/{pid}/fd/{number}") == "anon_inode:inotify":
                        instances += 1
                        watches += Path(f"/proc/{pid}/fdinfo/{number}").read_text("ascii").count("inotify wd:")
    return watches, instances


def _settings(*names: str) -> dict[str, int]:
    """Numbers below /proc/sys by the name that sysctl takes; those that are not there are left out."""
    found: dict[str, int] = {}
    for name in names:
        with suppress(OSError, ValueError):
            found[name.replace("/", ".")] = int(Path("/proc/sys", name).read_text("ascii"))
    return found


def versions() -> facts.VersionsFacts:
    """What is installed of what ragd needs."""
    installed = {}
    for name in TESTED:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            installed[name] = ""
    return facts.VersionsFacts(sys.version_info[:2], installed, TESTED)


def kernel() -> facts.KernelFacts:
    """What holds a reading process: tried in one, which binds itself and tells."""
    from ragd.plan.bounds import Bounds

    command = [sys.executable, "-P", "-m", "ragd.plan.bounds"]
    settings = _settings(*_KERNEL_KEYS)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_S, check=False)
        told = json.loads(done.stdout)
        bounds = Bounds(int(told["landlock"]), bool(told["is_offline"]), bool(told["is_filtered"]))
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError, TypeError):
        return facts.KernelFacts(("the process that reads documents cannot be bound at all",), settings)
    return facts.KernelFacts(bounds.missing, settings)


def memory(wanted_bytes: int) -> facts.MemoryFacts:
    """Memory of the machine; `wanted_bytes` is what one reading process may use."""
    told: dict[str, int] = {}
    with suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            name, _, rest = line.partition(":")
            told[name] = int(rest.split()[0]) * 1024
    overcommit = _settings("vm/overcommit_memory").get("vm.overcommit_memory", 0)
    return facts.MemoryFacts(
        told.get("MemTotal", 0), told.get("MemAvailable", 0), told.get("SwapTotal", 0), overcommit, wanted_bytes
    )
