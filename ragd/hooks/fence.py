"""Names and refuses what Python code writes outside its folders, also where the kernel has no fence of its own."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Audit events that change something, and which of their arguments are paths.
_EVENTS = {
    "os.mkdir": (0,),
    "os.rmdir": (0,),
    "os.remove": (0,),
    "os.rename": (0, 1),
    "os.link": (1,),
    "os.symlink": (1,),
    "os.truncate": (0,),
    "os.chmod": (0,),
    "os.chown": (0,),
    "os.utime": (0,),
    "os.setxattr": (0,),
}
_MOST_OFFENCES = 20


class Trespass(PermissionError):
    """Code wrote, or tried to write, outside its folder."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.EACCES, f"writes outside its run folder: {path}")
        self.path = path

    def __str__(self) -> str:
        return str(self.strerror)


class Fence:
    """An audit hook: anything that opens for writing, makes, moves or removes a file beyond `inside` is a Trespass.

    `offences` holds the first twenty paths. It sees Python only; Landlock sees the rest. A fence that is `open` lets
    everything pass, since a hook cannot be taken away.
    """

    def __init__(self, inside: Sequence[Path], devices: Sequence[str] = ("/dev",)) -> None:
        self._inside = tuple(os.path.realpath(folder) for folder in inside)
        self._allowed = self._inside + tuple(devices)
        self._is_looking = False
        self.offences: list[str] = []
        self.is_open = False

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        """Raises Trespass for a write outside."""
        if self.is_open or self._is_looking:
            return
        if event == "open":
            path, flags = arguments[0], arguments[2]
            if isinstance(flags, int) and flags & _WRITING:
                self._check(path)
        elif event in _EVENTS:
            for place in _EVENTS[event]:
                self._check(arguments[place])

    def _check(self, path: object) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return  # an open descriptor
        name = os.fsdecode(path)
        self._is_looking = True
        try:
            place = os.path.join(os.path.realpath(os.path.dirname(name) or "."), os.path.basename(name))
        finally:
            self._is_looking = False
        if not any(place == folder or place.startswith(folder.rstrip("/") + "/") for folder in self._allowed):
            if len(self.offences) < _MOST_OFFENCES:
                self.offences.append(place)
            raise Trespass(place)
