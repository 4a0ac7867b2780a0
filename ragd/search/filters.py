"""Reads what a person writes as filters: checked, normalised values, or a BadRequest that says what was meant."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from pathspec import GitIgnoreSpec

from ragd.domain.errors import BadRequest
from ragd.domain.search import Filters

MAX_VALUES = 64
"""How many alternatives one filter may list."""

MAX_CHARS = 1024
"""How long one folder, glob, type or collection may be, in characters."""

_TYPE = re.compile(r"[a-z0-9][a-z0-9_+-]{0,31}")
_AGO = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)\s*([smhdw])")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_TIMES = (
    "a date (2026-01-31), a time (2026-01-31T08:00+08:00; without offset in UTC), Unix seconds, or an age (7d, 12h)"
)


def parse_filters(
    *,
    collections: Sequence[str] = (),
    folders: Sequence[str] = (),
    globs: Sequence[str] = (),
    types: Sequence[str] = (),
    modified_after: str = "",
    modified_before: str = "",
    now: float,
) -> Filters:
    """Filters of what was written; `now` (Unix seconds) is what ages are counted from. Raises BadRequest."""
    after = parse_time("modified_after", modified_after, now) if modified_after else None
    before = parse_time("modified_before", modified_before, now) if modified_before else None
    if after is not None and before is not None and after >= before:
        raise BadRequest("modified_after is not before modified_before", hint="nothing can match: swap the two times")
    return Filters(
        collections=_values("collection", collections),
        folders=_distinct(folder for value in _values("folder", folders) if (folder := _folder(value))),
        globs=_distinct(_glob(value) for value in _values("glob", globs)),
        types=_distinct(_type(value) for value in _values("type", types)),
        modified_after=after,
        modified_before=before,
    )


def parse_time(name: str, value: str, now: float) -> float:
    """Unix seconds of a date, a time, Unix seconds, or an age before `now`. Raises BadRequest naming `name`."""
    text = value.strip()
    if ago := _AGO.fullmatch(text.lower()):
        return now - float(ago[1]) * _SECONDS[ago[2]]
    try:
        seconds = float(text)
    except ValueError:
        seconds = _calendar(name, text)
    if not math.isfinite(seconds) or not -1e11 < seconds < 1e11:
        raise BadRequest(f"{name} is out of range: {value}", hint=f"give {_TIMES}")
    return seconds


def _calendar(name: str, text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequest(f"{name} is not a time: {text}", hint=f"give {_TIMES}") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _values(name: str, values: Sequence[str]) -> tuple[str, ...]:
    if len(values) > MAX_VALUES:
        raise BadRequest(f"{len(values)} values for {name}", hint=f"at most {MAX_VALUES} are taken")
    for value in values:
        if not value.strip() or "\x00" in value or len(value) > MAX_CHARS:
            raise BadRequest(f"{name} is empty, too long or holds a null character", hint=f"leave {name} out instead")
    return _distinct(values)


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _folder(value: str) -> str:
    if value.startswith(("/", "~")):
        raise BadRequest(
            f"folder is absolute: {value}", hint="give the folder below the watched one, for example guide/install"
        )
    parts = [part for part in value.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise BadRequest(f"folder leads out of the watched one: {value}", hint="leave out the .. parts")
    return "/".join(parts)


def _glob(value: str) -> str:
    hint = "write it like a line of .gitignore: *.md, guide/**, **/notes/*.txt"
    try:
        pattern = GitIgnoreSpec.from_lines([value]).patterns[0]
    except ValueError as error:
        raise BadRequest(f"glob cannot be read: {value}", hint=hint) from error
    if pattern.include is not True:  # a comment, or a negation that has nothing to take away from
        raise BadRequest(f"glob matches nothing: {value}", hint=hint)
    return value


def _type(value: str) -> str:
    kind = value.strip().lower().removeprefix(".").removeprefix("*.")
    if not _TYPE.fullmatch(kind):
        raise BadRequest(f"type is not a file suffix: {value}", hint="give a suffix such as md or pdf")
    return kind
