"""Files of examples, line by line: gzip or plain, each broken line named with its reason, none passed over."""

from __future__ import annotations

import gzip
import json
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Any, Final, TypeVar

from ragd.domain.errors import PairsInvalid

MOST_LINE_BYTES: Final = 1 << 20
_LISTED: Final = 5

Read = TypeVar("Read")


class BrokenLine(ValueError):
    """What is wrong with one line, in words for the person who wrote it."""


def read_lines(path: Path, read: Callable[[str, int], Read | None]) -> list[Read]:
    """What `read` makes of each line that is not blank (text, number from 1); lines that give None are left out.

    When any line raises BrokenLine the file is refused whole: PairsInvalid names the first five with their reasons.
    Raises PairsInvalid also for a file that cannot be read.
    """
    found: list[Read] = []
    broken: list[str] = []
    count = 0
    for number, line in _numbered(path):
        try:
            value = read(line, number)
        except BrokenLine as error:
            count += 1
            if count <= _LISTED:
                broken.append(f"line {number}: {error}")
            continue
        if value is not None:
            found.append(value)
    if count:
        more = f"; and {count - _LISTED} more" if count > _LISTED else ""
        raise PairsInvalid(
            f"{path}: {'; '.join(broken)}{more}", hint="correct these lines; nothing of the file was used until then"
        )
    return found


def json_object(line: str) -> dict[str, Any]:
    """The JSON object of a line. Raises BrokenLine."""
    try:
        value = json.loads(line)
    except ValueError as error:
        raise BrokenLine(f"not JSON ({error})") from error
    except RecursionError as error:
        raise BrokenLine("JSON nested too deeply") from error
    if not isinstance(value, dict):
        raise BrokenLine("not a JSON object")
    return value


def text_field(raw: dict[str, Any], *names: str) -> str:
    """The text of the first of these fields that is there, without spaces around it. Raises BrokenLine for none."""
    for name in names:
        if name in raw:
            value = raw[name]
            if not isinstance(value, str) or not value.strip():
                raise BrokenLine(f"`{name}` is not a text")
            return value.strip()
    raise BrokenLine(f"`{names[0]}` is missing")


def number_field(raw: dict[str, Any], name: str, least: float, most: float) -> float | None:
    """A number between `least` and `most`, None when the field is not there. Raises BrokenLine."""
    value = raw.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise BrokenLine(f"`{name}` is not a number from {least:g} to {most:g}")
    return float(value)


def existing(path: Path) -> Path | None:
    """`path`, or `path` with .gz, whichever is a file; None when neither is."""
    packed = path.with_name(f"{path.name}.gz")
    return next((candidate for candidate in (path, packed) if candidate.is_file()), None)


def _numbered(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with _opened(path) as plain, gzip.open(plain, "rb") if path.suffix == ".gz" else nullcontext(plain) as file:
            number = 0
            while raw := file.readline(MOST_LINE_BYTES + 1):
                number += 1
                if len(raw) > MOST_LINE_BYTES:
                    raise PairsInvalid(
                        f"{path}: line {number}: longer than {MOST_LINE_BYTES} bytes", hint="split or remove that line"
                    )
                if raw.strip():
                    yield number, _decoded(path, number, raw)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise PairsInvalid(f"{path} cannot be read: {reason}", hint="check the path and its permissions") from error


def _opened(path: Path) -> IO[bytes]:
    """A regular file, opened without waiting for a writer: a pipe or a device would never end. Raises PairsInvalid."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise PairsInvalid(f"{path} is not a regular file", hint="give a file, or a folder in BEIR's layout")
    return os.fdopen(descriptor, "rb")


def _decoded(path: Path, number: int, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
    except UnicodeDecodeError as error:
        raise PairsInvalid(f"{path}: line {number}: not UTF-8 ({error.reason})", hint="save it as UTF-8") from error
