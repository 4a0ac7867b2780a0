"""Log lines: one event, its fields, one form for every process and library, and nothing secret in them."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ragd.config.events import Event, get_log, logfmt
from ragd.config.logs import Form, formatter, stream_form, without_secrets

LOG = get_log("ragd.test_logs")
UTC_TIME = re.compile(r"time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ")
Lines = Callable[[Form], io.StringIO]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What is written in a form from now on."""
    root, before = logging.getLogger(), logging.getLogger().level
    handlers: list[logging.Handler] = []

    def written(form: Form) -> io.StringIO:
        stream = io.StringIO()
        handlers.append(logging.StreamHandler(stream))
        handlers[-1].setFormatter(formatter(form, "embed"))
        root.addHandler(handlers[-1])
        root.setLevel(logging.DEBUG)
        return stream

    yield written
    root.setLevel(before)
    for handler in handlers:
        root.removeHandler(handler)


def test_a_line_tells_time_level_process_and_room_before_the_event_with_its_fields(lines: Lines) -> None:
    out = lines("logfmt")
    LOG.info("snapshot_written", generation=3, seconds=0.123456789, path="/a folder/x", is_new=True, problem=None)
    line = out.getvalue()
    assert UTC_TIME.match(line)
    assert UTC_TIME.sub("", line) == (
        "level=info process=embed logger=ragd.test_logs event=snapshot_written "
        'generation=3 seconds=0.123457 path="/a folder/x" is_new=true problem=none\n'
    )


def test_json_keeps_numbers_and_truth_values_and_tells_everything_else_as_text(lines: Lines) -> None:
    out = lines("json")
    LOG.warning("worker_died", pid=7, pause_s=1.5, is_last=False, where=Path("/x"), reason=OSError("no room"))
    told = json.loads(out.getvalue())
    assert told.pop("time").endswith("Z")
    assert told == {
        "level": "warning",
        "process": "embed",
        "logger": "ragd.test_logs",
        "event": "worker_died",
        "pid": 7,
        "pause_s": 1.5,
        "is_last": False,
        "where": "/x",
        "reason": "no room",
    }


def test_the_journal_gets_a_priority_on_every_line_and_no_time(lines: Lines) -> None:
    out = lines("journald")
    LOG.debug("looked")
    LOG.info("started")
    LOG.warning("waits")
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        LOG.exception("broke")
    written = out.getvalue().splitlines()
    assert [line[:3] for line in written] == ["<7>", "<6>", "<4>"] + ["<3>"] * (len(written) - 3)
    assert "time=" not in out.getvalue()
    assert written[-1] == "<3>    second"
    assert any(line == "<3>    Traceback (most recent call last):" for line in written)


def test_a_bug_is_one_object_in_json_with_its_traceback(lines: Lines) -> None:
    out = lines("json")
    try:
        raise ValueError("redis://:hidden@host")
    except ValueError:
        LOG.exception("broke")
    told = json.loads(out.getvalue())
    assert told["exception"].startswith("Traceback (most recent call last):")
    assert "hidden" not in out.getvalue()


def test_records_of_libraries_and_warnings_take_the_same_form(lines: Lines) -> None:
    out = lines("json")
    for name in ("uvicorn.error", "rq.worker", "watchdog.observers", "py.warnings"):
        logging.getLogger(name).error("%s said\nthis", name)
    told = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(line["logger"], line["event"], line["process"]) for line in told] == [
        (name, f"{name} said\nthis", "embed")
        for name in ("uvicorn.error", "rq.worker", "watchdog.observers", "py.warnings")
    ]


@pytest.mark.parametrize("form", ["logfmt", "json", "journald"])
def test_a_file_name_can_neither_forge_a_line_nor_steer_a_terminal(lines: Lines, form: Form) -> None:
    out = lines(form)
    LOG.info("read", path="a\nlevel=error event=\x1b[31mforged\u2028\x9b", level="error", time="now")
    written = out.getvalue()
    assert written.count("\n") == 1
    assert "\x1b" not in written
    assert "\u2028" not in written
    assert "\x9b" not in written
    if form == "json":
        assert json.loads(written)["level"] == "info"
        assert json.loads(written)["level_"] == "error"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://:s3cret@host:6379/0", "redis://:***@host:6379/0"),
        ("rediss://me:s3cret@host away", "rediss://me:***@host away"),
        ("redis://me:s3cr@et/s3cret@host/0", "redis://me:***@host/0"),
        ("redis://:s3'cret@host", "redis://:***@host"),
        ("https://s3cret@host/v1", "https://***@host/v1"),
        ("POST http://host/v1?token=s3cret&limit=3", "POST http://host/v1?token=***&limit=3"),
        ("Authorization: Bearer s3cret", "Authorization: Bearer ***"),
        ("RAGD_EMBED__API_KEY=s3cret", "RAGD_EMBED__API_KEY=***"),
        ("requirepass s3cret", "requirepass ***"),
        ("unix:///run/ragd/redis.sock", "unix:///run/ragd/redis.sock"),
        ("http://127.0.0.1:8377/a@b is no password", "http://127.0.0.1:8377/a@b is no password"),
        ("who@example.org wrote 12:30", "who@example.org wrote 12:30"),
    ],
)
def test_what_looks_like_a_secret_is_not_written(lines: Lines, text: str, shown: str) -> None:
    assert without_secrets(text) == shown
    forms: tuple[Form, ...] = ("logfmt", "json")
    for form in forms:
        out = lines(form)
        LOG.info("asked", reason=OSError(text))
        logging.getLogger("uvicorn.error").error("failed: %s", text)
        assert "s3cr" not in out.getvalue()
        assert "***" in out.getvalue() or shown == text


def test_a_field_that_is_named_a_secret_is_not_written_at_all(lines: Lines) -> None:
    out = lines("logfmt")
    LOG.info("asked", api_key="s3cret", redis_password="s3cret", tokens=7, token="s3cret")
    assert "s3cret" not in out.getvalue()
    assert "tokens=7" in out.getvalue()


def test_a_value_without_end_is_cut_and_no_secret_is_uncovered_by_that(lines: Lines) -> None:
    out = lines("logfmt")
    LOG.info("said", line="x" * 100_000)
    LOG.info("said", line="x " * 1990 + "redis://:" + "s3cret" * 20 + "@host")
    LOG.info("said", line="a://b:" * 20_000 + " " + "a" * 20_000 + "://")
    assert len(out.getvalue()) < 15_000
    assert "(100000 characters)" in out.getvalue()
    assert "s3cret" not in out.getvalue()


def test_the_journal_is_known_by_the_stream_that_systemd_names(tmp_path: Path) -> None:
    with (tmp_path / "stream").open("w") as stream:
        status = os.fstat(stream.fileno())
        named = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        assert stream_form(named, stream.fileno()) == "journald"
        assert stream_form({"JOURNAL_STREAM": "1:2"}, stream.fileno()) == "logfmt"
        assert stream_form({}, stream.fileno()) == "logfmt"
        gone = stream.fileno()
    assert stream_form(named, gone) == "logfmt"


def test_a_full_disk_under_the_log_stops_nothing() -> None:
    program = (
        "import os; from ragd.config.logs import log_to_stderr; from ragd.config.events import get_log; "
        "log_to_stderr('info', 'logfmt'); log = get_log('ragd.x'); log.info('told', n=1); log.info('told', n=2); "
        "print('went on', flush=True); os._exit(0)"
    )
    with open("/dev/full", "w") as full:
        child = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=full, check=False)
    assert (child.returncode, child.stdout) == (0, b"went on\n")


def test_a_bug_that_ends_a_thread_or_the_process_is_told_in_the_same_form() -> None:
    program = (
        "import threading, warnings; from ragd.config.logs import log_to_stderr; log_to_stderr('info', 'json'); "
        "warnings.warn('old'); t = threading.Thread(target=lambda: 1 / 0, name='watch'); t.start(); t.join(); "
        "raise ValueError('redis://:s3cret@host')"
    )
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    told = [json.loads(line) for line in child.stderr.splitlines()]
    assert child.returncode == 1
    assert [(line["event"], line.get("thread"), line.get("error")) for line in told[1:]] == [
        ("thread_broke", "watch", "ZeroDivisionError"),
        ("process_broke", None, "ValueError"),
    ]
    assert told[0]["logger"] == "py.warnings"
    assert all("Traceback" in line["exception"] for line in told[1:])
    assert "s3cret" not in child.stderr


def test_an_event_reads_as_logfmt_wherever_python_shows_it() -> None:
    assert str(Event("started", {"pid": 1, "why": 'said "no"'})) == r'started pid=1 why="said \"no\""'
    assert str(Event("stopped", {})) == "stopped"
    assert logfmt([("a", ""), ("b", "x=y"), ("c", "back\\slash")]) == r'a="" b="x=y" c="back\\slash"'
