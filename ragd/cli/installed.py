"""Files that ragd wrote elsewhere: known again by a mark, and never replaced where somebody changed them."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ragd.disk.atomic import write_atomic
from ragd.domain.errors import PathInvalid

_MARK = re.compile(r"\A# Written by `ragd service install`, ([0-9a-f]{16})\n")


@dataclass(frozen=True, slots=True)
class Target:
    """A file to be: where, and what it holds."""

    path: Path
    text: str


class Standing(StrEnum):
    """What is at a place: nothing, what ragd wrote, that with changes of somebody, or somebody else's file."""

    MISSING = "missing"
    WRITTEN = "written"
    CHANGED = "changed"
    FOREIGN = "foreign"


def marked(text: str) -> str:
    """The text with the mark that tells later whether somebody changed it."""
    return f"# Written by `ragd service install`, {_digest(text)}\n{text}"


def standing(path: Path) -> Standing:
    """What is at `path`. Raises PathInvalid when it cannot be read."""
    held = _read(path)
    if held is None:
        return Standing.MISSING
    mark = _MARK.match(held)
    if mark is None:
        return Standing.FOREIGN
    return Standing.WRITTEN if _digest(held[mark.end() :]) == mark[1] else Standing.CHANGED


def place(wanted: Target, *, force: bool, tell: Callable[[str], None]) -> bool:
    """Writes one file and tells so; False, with the difference told, where it holds what ragd did not write."""
    path, text = wanted.path, marked(wanted.text)
    held = _read(path)
    if held == text:
        tell(f"unchanged {path}")
        return True
    if held is not None and standing(path) is not Standing.WRITTEN and not force:
        lines = difflib.unified_diff(held.splitlines(), text.splitlines(), str(path), "what ragd would write", "", "")
        tell("\n".join([f"not written: {path} is not as ragd left it", *lines]))
        return False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text.encode())
    except OSError as error:
        raise PathInvalid(f"{path}: {error.strerror}", hint="write where you may: --user, or --prefix DIR") from error
    tell(f"wrote {path}")
    return True


def remove(path: Path) -> None:
    """Removes a file, and the folder of drop-ins that it leaves empty. Raises PathInvalid when that is not allowed."""
    try:
        path.unlink()
        if path.parent.name.endswith(".d") and "@" in path.parent.name and not any(path.parent.iterdir()):
            path.parent.rmdir()
    except OSError as error:
        raise PathInvalid(f"{path}: {error.strerror}", hint="run it as the user who wrote it") from error


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", "replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PathInvalid(f"{path}: {error.strerror}", hint="see whose file that is") from error


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
