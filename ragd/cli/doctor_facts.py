"""What `ragd doctor` looks at, as values: facts that were gathered, findings that follow from them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class Level(StrEnum):
    """How a finding counts: only `wrong` makes the doctor end with its exit code."""

    FINE = "fine"
    NOTE = "note"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the screen: what was looked at, how it stands, the command that mends it, and words beside that."""

    check: str
    level: Level
    says: str
    command: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Shell:
    """Who asks, and what can be typed here: `programs` that are installed, how `ragd` and `python` are called.

    `config` and `state` are the options that a `ragd` command needs to mean the same, as they are typed.
    """

    user: str
    uid: int
    program: str
    python: str
    programs: frozenset[str] = frozenset()
    config: str = ""
    state: str = ""

    @property
    def ragd(self) -> str:
        """`ragd` with the options that mean the same configuration and state folder."""
        return " ".join(part for part in (self.program, self.config, self.state) if part)

    def ragd_in(self, state: str) -> str:
        """`ragd` with another state folder, given as it is typed."""
        return " ".join(part for part in (self.program, self.config, f"--state {state}") if part)

    def as_root(self, command: str) -> str:
        """The command as this user has to type it when only the superuser may do it."""
        if self.uid == 0:
            return command
        return f"sudo {command}" if "sudo" in self.programs else f"su -c {shlex.quote(command)}"

    def as_owner(self, uid: int, command: str) -> str:
        """The command as this user has to type it when the owner of a file may do it."""
        return command if uid == self.uid else self.as_root(command)

    def write(self, text: str, path: str) -> str:
        """Writes a line into a file of the superuser."""
        if self.uid == 0:
            return f"echo {shlex.quote(text)} > {path}"
        return f"echo {shlex.quote(text)} | {self.as_root(f'tee {path}')}"


@dataclass(frozen=True, slots=True)
class ConfigFacts:
    """The file in use, its mode and owner, whether it holds a secret; what is wrong with it, a line each."""

    file: Path | None
    problems: tuple[str, ...] = ()
    hint: str = ""
    mode: int = 0
    uid: int = 0
    holds_secret: bool = False


@dataclass(frozen=True, slots=True)
class StateFacts:
    """The state folder: `kind` is folder, nothing or other; `foreign` files in it belong to others than its owner."""

    path: Path
    kind: str
    uid: int = 0
    owner: str = ""
    mode: int = 0
    is_writable: bool = True
    foreign: tuple[Path, ...] = ()
    mount: str = ""
    is_network: bool = False
    socket_bytes: int = 0
    socket_limit: int = 107


@dataclass(frozen=True, slots=True)
class DaemonFacts:
    """Who holds the state folder (a process id), how it answered, and what it says of itself."""

    pid: int | None = None
    command: str = ""
    answers: bool = False
    problem: str = ""
    reasons: tuple[str, ...] = ()
    version: str = ""


@dataclass(frozen=True, slots=True)
class CatalogFacts:
    """The catalog: its format, or the code of the error, what it said and its remedy."""

    exists: bool
    error: str = ""
    says: str = ""
    format: int = 0
    hint: str = ""


@dataclass(frozen=True, slots=True)
class DoorFacts:
    """Where HTTP is answered beside the socket, and how many valid tokens there are; or why they cannot be used."""

    tcp: str
    is_wide: bool = False
    needs_token: bool = False
    tokens: int = 0
    file: Path = Path()
    error: str = ""


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """The disk below a folder, in bytes and files; `needed_bytes` is what a snapshot of all takes."""

    path: Path
    mount: str
    kind: str
    size_bytes: int
    free_bytes: int
    free_files: int
    needed_bytes: int
    is_read_only: bool = False


@dataclass(frozen=True, slots=True)
class FolderFacts:
    """A watched folder: how it stands, on what it is mounted, how many folders it has, which cannot be listed."""

    path: Path
    state: str
    uid: int = 0
    kind: str = ""
    is_network: bool = False
    folders: int = 0
    is_partial: bool = False
    unlistable: tuple[Path, ...] = ()
    barrier: Path | None = None
    barrier_uid: int = 0
    future: int = 0


@dataclass(frozen=True, slots=True)
class InotifyFacts:
    """What the kernel allows of watches and instances, by the key that sets it, and what others use of them."""

    watches: Mapping[str, int] = field(default_factory=dict)
    instances: Mapping[str, int] = field(default_factory=dict)
    watches_used: int = 0
    instances_used: int = 0


@dataclass(frozen=True, slots=True)
class FilesFacts:
    """Open files: limits of the daemon, or of this process where none runs, and how many the daemon has open."""

    soft: int
    hard: int
    open: int = 0
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """The Redis in use: `url` without its password, or the private one's program; or the error and where it is set."""

    url: str
    origin: str = ""
    error: str = ""
    hint: str = ""
    version: str = ""
    policy: str = ""
    max_memory_bytes: int = 0
    memory_bytes: int = 0
    is_persistent: bool = False
    can_write: bool = True
    has_password: bool = False
    is_private: bool = False
    is_remote: bool = False
    server: str = ""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The encoder: what it is, what is wrong with it, and files that are not what their card says."""

    name: str
    error: str = ""
    hint: str = ""
    origin: str = ""
    is_packaged: bool = False
    damaged: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class PluginsFacts:
    """The plugin folder and each file in it that does not run: path, problem, remedy."""

    folder: Path
    count: int = 0
    problems: tuple[tuple[Path, str, str], ...] = ()
    pins_problem: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class VersionsFacts:
    """Versions by distribution: those that are installed ("" for none) and those that were tested."""

    python: tuple[int, int]
    installed: Mapping[str, str]
    tested: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ClockFacts:
    """Unix seconds now, how far two clocks went apart while looking, and files of the state folder from the future."""

    now: float
    drift_s: float
    future: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class KernelFacts:
    """What holds a reading process on this machine, and the settings that keep namespaces away."""

    missing: tuple[str, ...]
    settings: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MemoryFacts:
    """Memory in bytes, what may be used of it now, swap, and how the kernel overcommits."""

    total_bytes: int
    available_bytes: int
    swap_bytes: int
    overcommit: int
    wanted_bytes: int = 0
