"""What a log line says, as a value: one event name with its fields, put into words only when somebody reads it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Fields = Mapping[str, object]

# Control characters (they could forge lines, or steer a terminal) and line separators of Unicode.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_QUOTED = re.compile(r'[\s="\\]')


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened: `name` in snake_case, `fields` with units in their names."""

    name: str
    fields: Fields

    def __str__(self) -> str:
        return f"{self.name} {logfmt(self.fields.items())}".rstrip()


class Log:
    """Where one room tells what happens: an event name, then fields by name.

    Say neither text of documents nor secrets. Values that are no number, text or bool are told as their `str`.
    """

    __slots__ = ("_logger",)

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, /, **fields: object) -> None:
        """For somebody who looks for a fault."""
        self._tell(logging.DEBUG, event, fields)

    def info(self, event: str, /, **fields: object) -> None:
        """What a calm day has."""
        self._tell(logging.INFO, event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        """What ragd works around."""
        self._tell(logging.WARNING, event, fields)

    def error(self, event: str, /, **fields: object) -> None:
        """What a person has to look at."""
        self._tell(logging.ERROR, event, fields)

    def exception(self, event: str, /, **fields: object) -> None:
        """A bug, with the traceback of the exception at hand."""
        self._tell(logging.ERROR, event, fields, has_traceback=True)

    def _tell(self, level: int, event: str, fields: Fields, *, has_traceback: bool = False) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, Event(event, fields), exc_info=has_traceback, stacklevel=3)


def get_log(name: str) -> Log:
    """The log of a room, `ragd.daemon` for one; what is told reaches the handlers of Python's `logging`."""
    return Log(name)


def logfmt(pairs: Iterable[tuple[str, object]]) -> str:
    """`key=value key="a value"`: quoted where a reader could not tell the end, without control characters."""
    return " ".join(f"{key}={_value(value)}" for key, value in pairs)


def printable(text: str) -> str:
    """The text with control characters shown as escapes: one line, and harmless on a terminal."""
    return _CONTROL.sub(lambda found: _NAMED.get(found[0], f"\\x{ord(found[0]):02x}"), text)


def _value(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    if not text or _QUOTED.search(text):
        text = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return printable(text)
