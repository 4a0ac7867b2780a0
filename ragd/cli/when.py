"""Times as people write and read them: `2d`, `2026-11-03`, `3 min ago`."""

from __future__ import annotations

import re
from datetime import datetime

from ragd.domain.errors import BadRequest

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_LONGEST_S = 1000 * 365 * 86400
_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")


def moment(text: str, now: float, flag: str) -> float:
    """Unix seconds of an ISO date or time (local when it names no zone) or of an age such as `2d` or `3h`.

    Raises BadRequest naming the flag.
    """
    if age := _AGO.fullmatch(text.strip().lower()):
        return now - float(age[1]) * _UNITS_S[age[2]]
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise BadRequest(
            f"{flag}: {text!r} is not a time",
            hint="give a date (2026-11-03), a time (2026-11-03T14:30), or an age (45m, 3h, 2d, 1w)",
        ) from error


def span(text: str, flag: str) -> float:
    """Seconds of a span of time such as `90d` or `12h`, up to 1000 years. Raises BadRequest naming the flag."""
    found = _AGO.fullmatch(text.strip().lower())
    span_s = float(found[1]) * _UNITS_S[found[2]] if found else 0.0
    if not 0 < span_s <= _LONGEST_S:
        raise BadRequest(f"{flag}: {text!r} is not a span of time", hint="give one such as 45m, 12h, 90d or 8w")
    return span_s


def ago(at: float, now: float) -> str:
    """How long ago a moment was, in one unit."""
    return f"{duration(now - at)} ago" if now - at >= 1 else "just now"


def duration(seconds: float) -> str:
    """A span of time in the unit that reads best."""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    for limit, divisor, unit in ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h")):
        if seconds < limit:
            return f"{int(seconds / divisor)} {unit}"
    return f"{int(seconds / 86400)} d"
