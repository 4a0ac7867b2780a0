"""Log lines on standard error, of ragd and of the libraries it uses: logfmt, JSON or for the journal, one a line."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping
from types import TracebackType
from typing import Any, Literal, cast

from structlog.processors import JSONRenderer, format_exc_info
from structlog.stdlib import ProcessorFormatter

from ragd.config.events import Event, logfmt, printable

Form = Literal["auto", "logfmt", "json", "journald"]
"""How a line looks; `auto` is `journald` where standard error is the journal, else `logfmt`."""

_Fields = MutableMapping[str, Any]
_MOST_CHARACTERS = 4000
_MOST_OF_TRACEBACK = 32_000
_HIDDEN = "***"
# scheme://user:password@, also where the password holds an @ or a slash; a port with a path is no password.
# Every repetition is bounded: what is told may come from a stranger's file.
_PASSWORD = re.compile(r"([a-z][a-z0-9+.-]{0,20}://[^\s/:@]{0,200}):(?!\d{1,5}/)\S{0,1000}@", re.IGNORECASE)
_USER = re.compile(r"([a-z][a-z0-9+.-]{0,20}://)[^\s/:@]{1,1000}@", re.IGNORECASE)
_NAMED = re.compile(r"((?:password|passwd|secret|token|api_?key)\s{0,9}[=:]\s{0,9})[^\s&,;]+", re.IGNORECASE)
_TOLD = re.compile(r"\b((?:Bearer|requirepass)\s{1,9})\S+", re.IGNORECASE)
_SECRET_NAME = re.compile(r"(?:^|_)(?:password|passwd|secret|token|api_key|authorization)$", re.IGNORECASE)
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


def log_to_stderr(level: str, form: Form = "auto", *, process: str = "daemon") -> Form:
    """Sends ragd's own log lines of at least this level to standard error; other libraries' from warning on.

    `process` says in every line who speaks: `daemon`, or the kind of a worker. Returns the form that was chosen.
    """
    chosen = stream_form(os.environ, sys.stderr.fileno()) if form == "auto" else form
    handler = _Stderr(sys.stderr)
    handler.setFormatter(formatter(chosen, process))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(True)
    sys.excepthook = _main_broke
    threading.excepthook = _thread_broke
    logging.getLogger("ragd").setLevel(level.upper())
    return chosen


def stream_form(environment: Mapping[str, str], descriptor: int) -> Form:
    """`journald` when systemd says that this descriptor is the journal (`$JOURNAL_STREAM`), else `logfmt`."""
    told = environment.get("JOURNAL_STREAM", "")
    try:
        status = os.fstat(descriptor)
    except OSError:
        return "logfmt"
    return "journald" if told == f"{status.st_dev}:{status.st_ino}" else "logfmt"


def formatter(form: Form, process: str) -> logging.Formatter:
    """What makes a line of a record in this form; the records of every library go the same way."""
    has_time = form != "journald"

    def opened(_: Any, __: str, fields: _Fields) -> _Fields:
        return _opened(fields, process, has_time=has_time)

    render = {"json": JSONRenderer(), "journald": _journald}.get(form, _logfmt)
    return ProcessorFormatter(
        foreign_pre_chain=[opened, format_exc_info, redacted],
        processors=[cast("Callable[[Any, str, _Fields], str]", render)],
    )


def redacted(_: Any, __: str, fields: _Fields) -> _Fields:
    """The same fields without what looks like a password in an address, a token or a key."""
    return {name: _without_secrets(name, value) for name, value in fields.items()}


def without_secrets(text: str) -> str:
    """The text with passwords in addresses, tokens and keys replaced by ***."""
    text = _USER.sub(rf"\1{_HIDDEN}@", _PASSWORD.sub(rf"\1:{_HIDDEN}@", text))
    return _TOLD.sub(rf"\1{_HIDDEN}", _NAMED.sub(rf"\1{_HIDDEN}", text))


def _without_secrets(name: str, value: object) -> object:
    if isinstance(value, bool | int | float) or value is None:
        return value
    if _SECRET_NAME.search(name):
        return _HIDDEN
    return without_secrets(_cut(str(value), _MOST_OF_TRACEBACK if name == "exception" else _MOST_CHARACTERS))


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    # At a space, lest an address be cut between a password and the @ that tells it is one.
    head, _, _ = text[:most].rpartition(" ")
    return f"{head} ... ({len(text)} characters)"


def _opened(fields: _Fields, process: str, *, has_time: bool) -> _Fields:
    record: logging.LogRecord = fields["_record"]
    told = record.msg
    opened: dict[str, Any] = {}
    if has_time:
        seconds, milliseconds = divmod(int(record.created * 1000), 1000)
        opened["time"] = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{milliseconds:03d}Z"
    opened |= {"level": record.levelname.lower(), "process": process, "logger": record.name}
    opened["event"] = told.name if isinstance(told, Event) else fields["event"]
    # A field must not pass for the time or the level of its line.
    named = told.fields.items() if isinstance(told, Event) else ()
    opened |= {f"{name}_" if name in opened else name: value for name, value in named}
    if fields.get("exc_info"):
        opened["exc_info"] = fields["exc_info"]
    return opened


def _logfmt(_: Any, __: str, fields: _Fields) -> str:
    return "\n".join(_lines(fields))


def _journald(_: Any, level: str, fields: _Fields) -> str:
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    priority = next((priority for least, priority in _PRIORITIES if number >= least), 7)
    return "\n".join(f"<{priority}>{line}" for line in _lines(fields))


def _lines(fields: _Fields) -> list[str]:
    """The event in one line; where a bug is told, its traceback in the next ones, each indented."""
    traceback = fields.pop("exception", "")
    return [logfmt(fields.items()), *(f"    {printable(line)}" for line in traceback.splitlines())]


def _main_broke(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A bug that ends the process is one more line of the log."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    _broke(Event("process_broke", {"error": kind.__name__}), kind, error, trace)


def _thread_broke(told: threading.ExceptHookArgs) -> None:
    """As `_main_broke`, for a bug that ends a thread."""
    if told.exc_value is not None and not issubclass(told.exc_type, SystemExit):
        name = told.thread.name if told.thread is not None else ""
        event = Event("thread_broke", {"thread": name, "error": told.exc_type.__name__})
        _broke(event, told.exc_type, told.exc_value, told.exc_traceback)


def _broke(event: Event, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger("ragd").error(event, exc_info=(kind, error, trace))


class _Stderr(logging.StreamHandler[Any]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """A line that cannot be written (a full disk, a closed pipe) is lost; what was to be told goes on."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)
