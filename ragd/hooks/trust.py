"""Which plugin files may run: those that their user pinned by hash, in a folder that nobody else can write.

The pins lie in the state folder, not beside the plugins: who copies a plugin folder to another machine, or restores it
from somewhere, does not bring the trust along, and each daemon runs what was trusted for it.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from ragd.disk.atomic import write_atomic
from ragd.domain.errors import NotFound, PluginRefused
from ragd.hooks.sources import check_name, digest, read_plugin

PINS_NAME = "trusted-plugins.json"
NOT_TRUSTED = "not trusted yet"
CHANGED = "changed since it was trusted"
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_FILE_MODE, _PINS_MODE, _FOLDER_MODE = 0o644, 0o600, 0o700


@dataclass(frozen=True, slots=True)
class Pin:
    """A plugin file that was trusted: the SHA-256 of its bytes in hex, and when (Unix seconds)."""

    name: str
    sha256: str
    at: float


def read_pins(state: Path) -> Mapping[str, Pin]:
    """The pins of a state folder by plugin name; none where nothing was trusted yet.

    Raises PluginRefused for a file of pins that somebody else could have written, or that cannot be read.
    """
    file = state / PINS_NAME
    try:
        problem = _ownership_problem(file)
        if problem:
            raise PluginRefused(f"{file} {problem[0]}", hint=problem[1])
        held = json.loads(file.read_text("utf-8"))
        return {str(name): Pin(str(name), str(pin["sha256"]), float(pin["at"])) for name, pin in held.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise PluginRefused(
            f"{file} cannot be read: {error}", hint="remove it, and trust your plugins again"
        ) from error


def write_pin(state: Path, pin: Pin) -> None:
    """Adds or replaces one pin, durably. Raises DiskFull, PluginRefused where it cannot be written."""
    file = state / PINS_NAME
    with _writing(file):
        state.mkdir(parents=True, exist_ok=True)
        folder = os.open(state, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)  # others may add a pin at the same time
            held = {name: asdict(known) for name, known in read_pins(state).items()} | {pin.name: asdict(pin)}
            write_atomic(file, json.dumps(held, indent=1, sort_keys=True).encode("utf-8"), mode=_PINS_MODE)
        finally:
            os.close(folder)


def problem_of(path: Path, pins: Mapping[str, Pin]) -> tuple[str, str, str]:
    """Why a plugin file may not run, what to do about it, and its hash; ("", "", hash) for one that may.

    The hash is "" where the file was not read. Raises nothing for what is wrong with the file.
    """
    problem = _folder_problem(path.parent) or _ownership_problem(path)
    if problem:
        return (*problem, "")
    try:
        check_name(path.stem)
        sha256 = digest(read_plugin(path))
    except PluginRefused as error:
        return str(error), error.hint, ""
    pin = pins.get(path.stem)
    if pin is None or pin.sha256 != sha256:
        return NOT_TRUSTED if pin is None else CHANGED, f"look at it, then `ragd plugins trust {path}`", sha256
    return "", "", sha256


def trust(path: Path, folder: Path, state: Path, *, taken: Collection[str], at: float) -> tuple[Path, Pin]:
    """Pins a plugin file, after copying it into the plugin folder where it lies elsewhere; returns its place and pin.

    `taken` are names of other plugins, `at` is Unix seconds. Raises NotFound for a file that is not there,
    PluginRefused for a name that cannot be used or a folder or file that others can write or that this user cannot,
    DiskFull.
    """
    if not path.is_file():
        raise NotFound(f"{path} is not a file", hint="name a plugin's Python file")
    if path.suffix != ".py":
        raise PluginRefused(f"{path} is not a Python file", hint="its name must end in .py")
    check_name(path.stem)
    if path.stem in taken:
        raise PluginRefused(f"another plugin is called {path.stem}", hint=f"rename the file {path.name}")
    place = folder / path.name
    with _writing(place):
        folder.mkdir(parents=True, exist_ok=True, mode=_FOLDER_MODE)
    problem = _folder_problem(folder)
    if problem:
        raise PluginRefused(f"{folder}: {problem[0]}", hint=problem[1])
    data = read_plugin(path)
    if place.is_symlink() or not place.exists() or not place.samefile(path):
        with _writing(place):
            write_atomic(place, data, mode=_FILE_MODE)
    problem = _ownership_problem(place)
    if problem:
        raise PluginRefused(f"{place} {problem[0]}", hint=problem[1])
    pin = Pin(path.stem, digest(data), at)
    write_pin(state, pin)
    return place, pin


@contextmanager
def _writing(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PluginRefused(
            f"{file} cannot be written: {error.strerror}", hint="check the folder, and your rights there"
        ) from error


def _ownership_problem(path: Path) -> tuple[str, str] | None:
    """Why somebody else could have written a file, with a remedy. Raises OSError when it is not there."""
    try:
        facts = path.lstat()
    except FileNotFoundError:
        raise
    except OSError as error:
        return f"cannot be looked at: {error.strerror}", "check the rights of its folder"
    if not stat.S_ISREG(facts.st_mode):
        return "is a link or no regular file", "put the file itself there"
    return _writers_problem(facts, path)


def _folder_problem(folder: Path) -> tuple[str, str] | None:
    """Why somebody else could put files into a folder, or another folder in its place, by its path or a link on it."""
    real = Path(os.path.realpath(folder))
    problem = _writers_problem(real.stat(), folder)
    if problem:
        return f"its folder {problem[0]}", problem[1]
    named = Path(os.path.abspath(folder))
    for above in dict.fromkeys((*real.parents, *named.parents)):
        problem = _above_problem(above)
        if problem:
            return problem
    for link in (path for path in (named, *named.parents) if path.is_symlink()):
        if link.lstat().st_uid not in (os.geteuid(), 0):
            return f"the link {link} on its way belongs to another user", f"name the folder itself: {real}"
    return None


def _above_problem(above: Path) -> tuple[str, str] | None:
    """Why somebody else could put another folder in the place of one below; a sticky folder, as /tmp, is no problem."""
    facts = above.stat()
    if facts.st_uid not in (os.geteuid(), 0):
        return f"{above}, above it, belongs to another user", f"move the plugins, or `chown $USER {above}`"
    if facts.st_mode & stat.S_ISVTX:
        return None
    if facts.st_mode & stat.S_IWOTH:
        return f"everybody may write in {above}, above it", f"chmod o-w {above}"
    if facts.st_mode & stat.S_IWGRP and facts.st_gid not in (os.getegid(), 0):
        return f"a group may write in {above}, above it", f"chmod g-w {above}"
    return None


def _writers_problem(facts: os.stat_result, path: Path) -> tuple[str, str] | None:
    if facts.st_uid not in (os.geteuid(), 0):
        return "belongs to another user", f"chown it to yourself: `chown $USER {path}`"
    if facts.st_mode & _OTHERS_WRITE:
        return "can be written by others", f"chmod go-w {path}"
    return None
