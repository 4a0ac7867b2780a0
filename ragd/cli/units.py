"""The unit files of ragd: one source for what lies in `systemd/` and for what `ragd service install` writes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ragd.cli.unit_parts import (
    CAGE,
    CALLS,
    MODEST,
    SERVICE_HEAD,
    SERVICE_LIFE,
    SYSUSERS,
    TMPFILES_CONFIG,
    TMPFILES_STATE,
    TRAIN_DROP_IN,
    TRAIN_SLICE,
    USER_NOTE,
    WORKER_HEAD,
    WORKER_LIFE,
)

_NAME = "ragd"
SERVICE, WORKER, SLICE = f"{_NAME}.service", f"{_NAME}-worker@.service", f"{_NAME}-train.slice"
TRAIN = "ragd-worker@train.service.d/slice.conf"
SYSTEM_CONFIG, SYSTEM_STATE = Path("/etc/ragd/ragd.toml"), Path("/var/lib/ragd")
_HIDDEN_BY_PRIVATE_TMP = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - named, not used
_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
_STATES = Path("/var/lib")


@dataclass(frozen=True, slots=True)
class Machine:
    """What the units must know of a machine; the defaults are those of the files in `systemd/`.

    Paths are absolute. `interpreter` is what the program's first line leads to. `folders` are the watched ones, None
    where they are not known yet. `is_user` makes units for a person's own manager, which may take fewer measures.
    """

    program: Path = Path("/usr/bin/ragd")
    interpreter: Path = Path("/usr/bin/python3")
    config: Path = SYSTEM_CONFIG
    state: Path = SYSTEM_STATE
    user: str = "ragd"
    folders: tuple[Path, ...] | None = None
    is_user: bool = False


def files(machine: Machine) -> Mapping[str, str]:
    """The units by their place below the folder of units, as text."""
    return {
        SERVICE: _service(machine),
        WORKER: _worker(machine),
        TRAIN: TRAIN_DROP_IN,
        SLICE: TRAIN_SLICE,
    }


def fragments(machine: Machine) -> Mapping[str, str]:
    """What is no unit and a system service needs too, by the folder in /etc and a name: the user and its folders."""
    state = str(machine.state).replace("%", "%%")
    # A file elsewhere lies in somebody's folder, whose owner is not ours to change.
    folders = TMPFILES_CONFIG if machine.config == SYSTEM_CONFIG else ""
    folders += TMPFILES_STATE if " " not in state else ""  # a name with a space has no way into such a line
    return {
        "sysusers.d/ragd.conf": SYSUSERS.format(user=machine.user, state=quoted(machine.state)),
        "tmpfiles.d/ragd.conf": folders.format(user=machine.user, state=state),
    }


def shipped() -> Mapping[str, str]:
    """The files of `systemd/` in the source tree: everything with default values."""
    named = {
        f"{Path(name).stem}.{Path(name).parts[0].removesuffix('.d')}": t for name, t in fragments(Machine()).items()
    }
    return {**files(Machine()), **named}


def write_shipped(folder: Path) -> None:
    """Writes them."""
    for name, text in shipped().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def quoted(path: Path | str) -> str:
    """A path as one word of a unit file: no specifiers, and nothing that parts it, as spaces and colons do."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"' if any(letter in text for letter in " \t'\"\\:") else text


def _service(machine: Machine) -> str:
    head = SERVICE_HEAD + (USER_NOTE if machine.is_user else "")
    life = SERVICE_LIFE.format(program=quoted(machine.program))
    owner = _owner(machine) + _given("RAGD_STATE", machine.state) + _given("RAGD_CONFIG", machine.config)
    return _joined(head, life + owner, _cage(machine), _target(machine))


def _worker(machine: Machine) -> str:
    owner = _owner(machine) + _given("RAGD_STATE", machine.state)
    if machine.config != SYSTEM_CONFIG:
        owner += _given("RAGD_CONFIG", machine.config)
    head = WORKER_HEAD + (USER_NOTE if machine.is_user else "")
    return _joined(head, WORKER_LIFE.format(program=quoted(machine.program)) + owner, _cage(machine), _target(machine))


def _given(variable: str, path: Path) -> str:
    return f"Environment={quoted(f'{variable}={path}')}\n"


def _owner(machine: Machine) -> str:
    secrets = str(machine.config.parent / "environment").replace("%", "%%")  # the rest of the line, spaces and all
    if machine.is_user:
        return f"UMask=0077\nEnvironmentFile=-{secrets}\n"
    lines = f"User={machine.user}\nGroup={machine.user}\nUMask=0077\n"
    if machine.state.is_relative_to(_STATES):
        lines += f"StateDirectory={quoted(machine.state.relative_to(_STATES))}\nStateDirectoryMode=0700\n"
    else:
        lines += f"ReadWritePaths={quoted(machine.state)}\n"
    return (
        lines + "# Secrets (RAGD_REDIS__URL with a password, RAGD_EMBED__API_KEY) belong here, readable by root only.\n"
        f"EnvironmentFile=-{secrets}\n"
    )


def _cage(machine: Machine) -> str:
    if machine.is_user:
        return MODEST + CALLS
    return CAGE.format(home=_protect_home(machine)) + _folders(machine) + MODEST + CALLS


def _protect_home(machine: Machine) -> str:
    """Homes are out of sight where nothing that is needed lies in one; folders that are not known may lie in one."""
    needed = [machine.program, machine.interpreter, machine.config, machine.state, *(machine.folders or ())]
    is_needed = machine.folders is None or any(_is_in(path, _HOMES) for path in needed)
    return "read-only" if is_needed else "yes"


def _folders(machine: Machine) -> str:
    """Watched folders: never written to, whatever else is changed here, and seen where /tmp is another one."""
    if not machine.folders:
        return ""
    lines = ["# What is watched; after a change of the folders: `ragd service install` again."]
    for folder in machine.folders:
        hidden = _is_in(folder, _HIDDEN_BY_PRIVATE_TMP)
        lines.append(("BindReadOnlyPaths=" if hidden else "ReadOnlyPaths=") + quoted(f"-{folder}"))
    return "\n".join(lines) + "\n"


def _is_in(path: Path, places: tuple[Path, ...]) -> bool:
    return any(Path(os.path.normpath(path)).is_relative_to(place) for place in places)


def _target(machine: Machine) -> str:
    return f"[Install]\nWantedBy={'default.target' if machine.is_user else 'multi-user.target'}\n"


def _joined(*parts: str) -> str:
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


if __name__ == "__main__":
    write_shipped(Path("systemd"))
