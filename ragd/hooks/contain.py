"""Keeps the process of a plugin inside its folder and its limits; it is called in that process, before the plugin.

This is against accidents and carelessness, not a vault: a plugin is trusted by its user, and runs as that user.
"""

from __future__ import annotations

import gc
import os
import resource
import secrets
import signal
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ragd.domain.learning import Resources
from ragd.hooks import linux
from ragd.hooks.fence import Fence, Trespass
from ragd.hooks.oversee import TREE_VARIABLE, Watch

__all__ = ["Containment", "Fence", "Trespass", "Watch", "confine", "environment"]

_MIB = 1 << 20
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_OPEN_FILES = 1024


@dataclass(frozen=True, slots=True)
class Containment:
    """What holds the process: Landlock's ABI (0: none), whether it left the network; `fence` knows the offences."""

    fence: Fence
    landlock: int
    is_offline: bool
    has_own_shared_memory: bool

    @property
    def missing(self) -> tuple[str, ...]:
        """What this system could not do, in words for `ragd status`."""
        told = {
            "Landlock (programs that a plugin starts could write outside its folder)": self.landlock,
            "network namespaces (a plugin could open connections)": self.is_offline,
        }
        return tuple(words for words, has in told.items() if not has)


def environment(work: Path, resources: Resources, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables that the child of a run starts with: one tree token, few threads, a home and tmp in `work`.

    `base` is the environment it is made from, by default this process's without ragd's own, which may hold passwords.
    """
    home, temporary = work / ".home", work / ".tmp"
    for folder in (home, temporary):
        folder.mkdir(parents=True, exist_ok=True)
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAGD_")}
    kept = own if base is None else dict(base)
    threads = dict.fromkeys(_THREAD_VARIABLES, str(resources.threads))
    return kept | threads | {
        TREE_VARIABLE: secrets.token_hex(8),
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "TMPDIR": str(temporary),
        "CUDA_CACHE_PATH": str(home / ".nv"),
        "HF_HUB_OFFLINE": "1",
        "MALLOC_ARENA_MAX": "2",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }  # fmt: skip


def confine(
    work: Path,
    resources: Resources,
    *,
    writable: Iterable[Path] = (),
    readable: Iterable[Path] = (),
    hidden: Iterable[Path] = (),
    network: bool = False,
    parent: int | None = None,
) -> Containment:
    """Binds this process, for good: it writes below `work` (and `writable`) only, within `resources`, offline.

    What lies at or below `hidden` cannot be read, but for `readable` and `work`; with nothing hidden everything can.
    `network` leaves the network as it is. With `parent`, its process id, it ends when that does. What the kernel
    lacks is left out, and told by the result; writes by Python outside are refused either way. To be called before
    any other thread is started: raises RuntimeError where there are more already.
    """
    if linux.IS_LINUX and len(os.listdir("/proc/self/task")) > 1:
        raise RuntimeError("confine comes first: this process has started threads already")
    if parent is not None:
        _end_with(parent)
    work.mkdir(parents=True, exist_ok=True)
    sys.dont_write_bytecode = True
    temporary = work / ".tmp"
    temporary.mkdir(exist_ok=True)
    tempfile.tempdir = str(temporary)
    is_offline, has_shared = linux.leave(network=network, shared_memory_mb=resources.memory_mb)
    inside = [work, *writable, *([Path("/dev/shm")] if has_shared else [])]  # noqa: S108 - one of its own
    _limit(resources)
    away = list(hidden)
    landlock = linux.restrict(
        inside,
        devices=_devices(resources),
        readable=[*linux.everything_but(away), *readable] if away else None,
        network=network or is_offline,  # a network of its own may be used: helpers of libraries listen there
    )
    fence = Fence(inside)
    sys.addaudithook(fence)
    gc.freeze()  # what was loaded so far lives as long as the process
    return Containment(fence, landlock, is_offline or (landlock >= 4 and not network), has_shared)


def _end_with(parent: int) -> None:
    """Ends with the parent, also when that is killed; at once when it is gone already."""
    linux.end_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(0)


def _devices(resources: Resources) -> list[Path]:
    gpu = sorted(Path("/dev").glob("nvidia*")) if resources.device == "cuda" else []
    return [*map(Path, _DEVICES), *gpu, *(sorted(Path("/dev/nvidia-caps").glob("*")) if gpu else [])]


def _limit(resources: Resources) -> None:
    """Memory that cannot be had is a MemoryError, a file that gets too large an OSError: both can be named."""
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: resources.disk_mb * _MIB,
        resource.RLIMIT_NOFILE: _OPEN_FILES,
    }
    if resources.device == "cpu":  # a GPU's driver maps far more than it uses
        limits[resource.RLIMIT_DATA] = resources.memory_mb * _MIB
    if linux.IS_LINUX:
        limits[resource.RLIMIT_NPROC] = linux.tasks_of_user() + resources.processes * max(8, resources.threads)
    for kind, most in limits.items():
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (most, most))
