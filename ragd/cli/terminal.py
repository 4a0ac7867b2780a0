"""Plain text for people: safe to print, aligned by display width, in colour only on a terminal."""

from __future__ import annotations

import re
import shutil
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True, slots=True)
class Terminal:
    """Where text goes: its width in columns and whether it understands colour."""

    width: int = 100
    is_colour: bool = False

    @classmethod
    def of(cls, stream: IO[str], env: Mapping[str, str]) -> Terminal:
        """The terminal behind a stream; NO_COLOR and TERM=dumb switch colour off."""
        is_tty = stream.isatty()
        is_colour = is_tty and not env.get("NO_COLOR") and env.get("TERM") != "dumb"
        width = min(shutil.get_terminal_size((100, 24)).columns, 120) if is_tty else 100
        return cls(width, is_colour)

    def bold(self, text: str) -> str:
        return self._styled(text, "1")

    def dim(self, text: str) -> str:
        return self._styled(text, "2")

    def red(self, text: str) -> str:
        return self._styled(text, "31")

    def green(self, text: str) -> str:
        return self._styled(text, "32")

    def yellow(self, text: str) -> str:
        return self._styled(text, "33")

    def _styled(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.is_colour and text else text


def safe(text: str) -> str:
    """A text without control characters: what a document holds must not steer the terminal."""
    return _UNSAFE.sub("\ufffd", text)


def one_line(text: str) -> str:
    """A text on one line, its white space collapsed, safe to print."""
    return safe(" ".join(text.split()))


def columns(text: str) -> int:
    """How many columns a text takes on a terminal; wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def clip(text: str, width: int) -> str:
    """The text cut to `width` columns, with an ellipsis where something is missing."""
    if columns(text) <= width:
        return text
    used, end = 0, 0
    for end, char in enumerate(text):  # noqa: B007
        used += columns(char)
        if used > width - 1:
            break
    return text[:end] + "…"


def clip_left(text: str, width: int) -> str:
    """The text's end in `width` columns: of a long path the last parts tell most."""
    if columns(text) <= width:
        return text
    return clip(text[::-1], width)[::-1]


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], terminal: Terminal, *, right: str = "") -> list[str]:
    """Aligned lines under dimmed headers. `right` holds one letter a column, `r` for numbers.

    The last column is cut where a line would be wider than the terminal.
    """
    widths = [max(columns(row[i]) for row in (headers, *rows)) for i in range(len(headers))]
    room = terminal.width - sum(widths[:-1]) - 2 * (len(widths) - 1)
    widths[-1] = max(min(widths[-1], room), 8)
    aligns = right.ljust(len(headers), "l")

    def line(cells: Sequence[str]) -> str:
        return "  ".join(_cell(text, widths[i], aligns[i]) for i, text in enumerate(cells)).rstrip()

    return [terminal.dim(line(headers)), *(line(row) for row in rows)]


def _cell(text: str, width: int, align: str) -> str:
    text = clip(text, width)
    blank = " " * (width - columns(text))
    return blank + text if align == "r" else text + blank


def count(number: float) -> str:
    """A number with thousands separated."""
    return f"{number:,.0f}"


def size(size_bytes: float) -> str:
    """A size in the unit that reads best."""
    value, unit = float(size_bytes), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 or value >= 10 else f"{value:.1f} {_UNITS[unit]}"
