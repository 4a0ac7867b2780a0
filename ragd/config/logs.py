"""Log lines on standard error: time, level, then an event name with key=value, one line each."""

from __future__ import annotations

import logging
import sys


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        # A file name or a message of a library may hold a line break; only tracebacks may span lines.
        return text if record.exc_info else text.replace("\n", "\\n")


def log_to_stderr(level: str) -> None:
    """Sends ragd's own log lines of at least this level to standard error; other libraries' from warning on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("ragd").setLevel(level.upper())
