"""Binds the process that reads documents before it sees one: no network, no files but its own code, no children.

What reads a document has to be taken for what its author wants it to be. It gets each file as an open descriptor, so
that it needs no right to open any.
"""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ragd.domain.training import PluginSource
from ragd.hooks import linux, seccomp
from ragd.hooks.fence import Fence

OPEN_FILES = 256
THREADS = 64
_DEVICES = (Path(os.devnull), Path("/dev/urandom"), Path("/dev/random"), Path("/dev/zero"))
# Programs and libraries, and what these ask of the machine; of /etc only what holds no secret.
_SYSTEM = (
    *("/usr", "/lib", "/lib32", "/lib64", "/bin", "/nix/store", "/proc/self", "/proc/cpuinfo", "/proc/meminfo"),
    *("/sys/devices/system/cpu", "/sys/fs/cgroup", "/etc/ld.so.cache", "/etc/localtime", "/etc/mime.types"),
    "/etc/fonts",
)
# Nothing else of the environment is handed on: it may hold passwords and keys.
_KEPT = (
    *("PATH", "HOME", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"),
    *("PYTHONUTF8", "PYTHONHASHSEED"),
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What holds the process: the version of Landlock (0: none), its own network, the filter of system calls."""

    landlock: int
    is_offline: bool
    is_filtered: bool

    @property
    def missing(self) -> tuple[str, ...]:
        """What this system cannot do, in words for `ragd status` and `ragd doctor`."""
        told = {
            "no Landlock: a hostile document could make its reader read and write files": self.landlock,
            "no network namespaces and no seccomp: a hostile document could make its reader open connections": (
                self.is_offline or self.is_filtered
            ),
            "no seccomp: a hostile document could make its reader start programs": self.is_filtered,
        }
        return tuple(words for words, has in told.items() if not has)


def environment(base: Mapping[str, str]) -> dict[str, str]:
    """Those variables of `base` that a reader may see."""
    return {name: value for name, value in base.items() if name in _KEPT or name.startswith("LC_")}


def bind(readable: Iterable[Path]) -> Bounds:
    """Binds this process for good; it may read below `readable` and below its own programs, and write nothing.

    Descriptors that are open stay usable. What the system lacks is left out and told by the result. Call it before
    any other thread is started.
    """
    _limit()
    is_offline, _ = linux.leave(network=False, shared_memory_mb=1)
    linux.drop_capabilities()
    version = 0
    with suppress(OSError):
        version = linux.restrict((), devices=_DEVICES, readable=[*_own_code(), *readable], network=False)
    if not version:
        sys.addaudithook(Fence(()))
    return Bounds(version, is_offline, seccomp.only_compute())


def places_of(plugins: Sequence[PluginSource] | None, tokenizer: str) -> list[Path]:
    """The files and folders beyond ragd's own code that readers and the splitter need."""
    found = [Path(tokenizer)] if tokenizer else []
    for plugin in plugins or ():
        if plugin.source == "file":
            found.append(Path(plugin.path))
        elif plugin.path:
            found += _package(plugin.path.partition(":")[0].partition(".")[0])
    return found


def _own_code() -> list[Path]:
    """Where Python and its modules lie."""
    named = [*_SYSTEM, sys.prefix, sys.base_prefix, sys.exec_prefix, *(path for path in sys.path if path)]
    return [*map(Path, named), *_package("ragd"), *_package("ragd.bundled")]


def _package(name: str) -> list[Path]:
    """The folders or the file of an importable package or module; nothing where there is none."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    return folders or ([Path(spec.origin)] if spec.origin else [])


def _limit() -> None:
    """No core files, few open files and few threads."""
    for kind, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_NPROC, linux.tasks_of_user() + THREADS),
    ):
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (most, most))


if __name__ == "__main__":  # what `ragd doctor` asks: what holds on this machine
    bound = bind(())
    sys.stdout.write(json.dumps(asdict(bound)))
