"""`ragd top`: a frame fits its terminal and tells every figure; a daemon that goes away is waited for."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ragd.cli.terminal import Terminal, columns
from ragd.cli.top import watch
from ragd.cli.top_frame import frame, span, waiting
from ragd.domain.errors import DaemonUnreachable

STATUS: dict[str, Any] = {
    "state": "degraded",
    "reasons": ["no train worker is running", "a folder\nwith \x1b[31mred is missing"],
    "version": "1.2.3",
    "uptime_s": 7300.0,
    "documents": {"pending": 1, "text": 2, "searchable": 1203, "failed": 4},
    "chunks": {"total": 20_411, "with_vectors": 20_390},
    "freshness": {
        "words": {"count": 12, "p50_s": 0.41, "p95_s": 0.9},
        "meaning": {"count": 11, "p50_s": 1.24, "p95_s": 75.0},
    },
    "rates": {
        "window_s": 300.0,
        "encoded_chunks_per_s": 10.5,
        "searches_per_s": 1.25,
        "search_p50_s": 0.008,
        "search_p99_s": 0.023,
    },
    "oldest_change_s": 3.2,
    "queues": {"extract": 0, "embed": 3},
    "queue_ages_s": {"extract": 0.0, "embed": 2.5},
    "workers": [{"queue": "embed", "is_busy": True}, {"queue": "embed", "is_busy": False}],
    "workers_wanted": {"embed": 2, "train": 1},
    "redis": {"kind": "embedded", "version": "7.2", "memory_bytes": 3 << 20, "ping_ms": 0.21},
    "generations": [
        {
            "kind": "ivf",
            "model": "minilm",
            "serving": True,
            "chunks": 20_390,
            "lacking": 21,
            "dimension": 384,
            "size_bytes": 16 << 20,
            "ann_recall": 0.9851,
            "snapshot_age_s": 12.0,
        },
        {
            "kind": "exact",
            "model": "lora/2",
            "serving": False,
            "chunks": 7,
            "lacking": 0,
            "dimension": 384,
            "size_bytes": 900,
            "ann_recall": None,
            "snapshot_age_s": None,
        },
    ],
    "spend": {"day": {"train": {"cpu_s": 720.0, "gpu_s": 30.0}, "observe": {"cpu_s": 3.0, "gpu_s": 0.0}}},
    "told_at": 10_000.0,
    "proof": {"at": 9_820.0, "is_equal": True, "wrong": 0},
    "process": {"memory_bytes": 210 << 20, "threads": 12, "open_fds": 43, "cpu_s": 1.0},
    "disk": {"free_bytes": 12 << 30, "size_bytes": 50 << 30},
}


def test_a_frame_tells_every_figure_in_plain_text() -> None:
    assert frame(STATUS, Terminal(105), "16:55:01") == [
        "ragd 1.2.3  degraded, up 2 h" + "16:55:01".rjust(77),
        "! no train worker is running",
        "! a folder with \ufffd[31mred is missing",
        "documents   1,203 searchable · 2 text · 1 pending · 4 failed · 20,411 chunks, 21 lack a vector",
        "freshness   words p50 410 ms p95 900 ms of 12 · meaning p50 1.2 s p95 1 min of 11 · oldest waits 3.2 s",
        "queues      extract 0 · embed 3 (oldest 2.5 s)",
        "workers     embed 1 of 2 busy · train 0 of 0 busy, 1 MISSING",
        "encoding    10.5 chunks/s · 2 s left",
        "searches    1.25/s · p50 8 ms · p99 23 ms",
        "spent       train 12 min CPU + 30 s GPU · observe 3 s CPU · in 24 h",
        "proof       equal to the catalog, 3 min ago",
        "redis       embedded 7.2 · 3.0 MiB · ping 0.2 ms",
        "daemon      210 MiB memory · 12 threads · 43 files open · 12 GiB of 50 GiB disk free",
        "index       ivf of minilm · 20,390 vectors of 384 · 21 lacking · 16 MiB · ann_recall 0.985",
        "            snapshot 12 s ago",
        "            exact of lora/2 (does not serve) · 7 vectors of 384 · 900 B",
    ]


@pytest.mark.parametrize("width", [10, 24, 40, 47, 48, 60, 79, 200])
@pytest.mark.parametrize("is_colour", [False, True])
def test_no_line_is_wider_than_the_terminal(width: int, is_colour: bool) -> None:
    lines = frame(STATUS, Terminal(width, is_colour), "16:55:01")
    plain = [line.replace("\x1b[0m", "") for line in lines]
    for code in ("1", "2", "31", "32", "33"):
        plain = [line.replace(f"\x1b[{code}m", "") for line in plain]
    assert not any("\x1b" in line for line in plain)
    assert [line for line in plain[1:] if columns(line) > max(width, 12)] == []
    assert any("MISSING" in line for line in plain) or width < 30
    assert is_colour == any("\x1b" in line for line in lines)


def test_what_the_daemon_does_not_tell_is_left_out() -> None:
    bare = {key: STATUS[key] for key in ("state", "version", "documents", "chunks")} | {"reasons": []}
    text = "\n".join(frame(bare, Terminal(80), ""))
    assert "documents" in text
    for label in ("queues", "workers", "encoding", "searches", "proof", "redis", "index", "spent"):
        assert label not in text
    away = STATUS | {
        "redis": {"kind": "configured", "url": "redis://h"},
        "proof": STATUS["proof"] | {"is_equal": False},
    }
    text = "\n".join(frame(away, Terminal(80), ""))
    assert "configured: not reached" in text
    assert "NOT EQUAL to the catalog" in text


class Stage:
    """Answers and failures one after the other, then Ctrl-C."""

    def __init__(self, *answers: Mapping[str, Any] | Exception) -> None:
        self.answers = list(answers)
        self.frames: list[Sequence[str]] = []
        self.slept: list[float] = []

    def status(self) -> Mapping[str, Any]:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if not self.answers:
            raise KeyboardInterrupt


def test_a_daemon_that_goes_away_is_said_so_and_waited_for() -> None:
    stage = Stage(STATUS, DaemonUnreachable("the daemon at /run/x went away"), STATUS)
    with pytest.raises(KeyboardInterrupt):
        watch(stage.status, stage.frames.append, lambda: Terminal(80), every_s=1.5, sleep=stage.sleep)
    assert [lines[0].split()[1] for lines in stage.frames] == ["1.2.3", "not", "1.2.3"]
    assert "the daemon at /run/x went away" in stage.frames[1]
    assert stage.slept == [1.5, 1.5, 1.5]
    assert waiting("gone", Terminal(80), "")[-1] == "waiting for it; Ctrl-C ends"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0042, "4 ms"), (1.25, "1.2 s"), (59.9, "59.9 s"), (61, "1 min"), (7300, "2 h")]
)
def test_a_span_has_the_figure_that_matters(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_once_prints_one_frame_of_what_the_daemon_tells(ragd: Any, backend: Any) -> None:
    result = ragd("top", "--once")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].startswith("ragd 0.1.0  degraded, up 2 h")
    assert "documents   1,203 searchable" in result.stdout
    assert "\x1b" not in result.stdout


def test_once_without_a_daemon_is_an_error_with_its_remedy(ragd: Any, state: Path) -> None:
    result = ragd("top", "--once")
    assert result.exit_code == 4
    assert "hint: start one with `ragd run FOLDER`" in result.stderr


@pytest.mark.slow
def test_on_a_terminal_it_draws_waits_for_the_daemon_and_ends_with_ctrl_c(backend: Any, state: Path) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "RAGD_STATE": str(state)}
    command = [sys.executable, "-m", "ragd", "top", "-n", "0.2"]
    with subprocess.Popen(
        command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        seen = _until(ours, b"documents")
        assert b"degraded" in seen
        (state / "ragd.sock").rename(state / "elsewhere.sock")
        backend.fault = DaemonUnreachable("gone")
        seen = _until(ours, b"not answering")
        process.send_signal(signal.SIGINT)
        rest = _until(ours, b"")
        assert process.wait(20) == 0
    os.close(ours)
    assert b"Traceback" not in seen + rest


def _until(descriptor: int, text: bytes, timeout_s: float = 30.0) -> bytes:
    """What comes until `text` does, or until the end where it is empty."""
    seen, deadline = b"", time.monotonic() + timeout_s
    while not text or text not in seen:
        assert time.monotonic() < deadline, seen[-500:]
        try:
            seen += os.read(descriptor, 65536)
        except OSError:  # the other side has closed its terminal
            assert not text, seen[-500:]
            return seen
    return seen


def test_the_status_tells_freshness_and_room_as_well(ragd: Any, backend: Any) -> None:
    backend.answers["status"] = {key: STATUS[key] for key in ("freshness", "oldest_change_s", "disk")}
    lines = ragd("status").stdout.splitlines()
    fresh = next(line for line in lines if line.startswith("fresh"))
    assert "found by words after 410 ms, 95 % within 900 ms" in fresh
    assert "found by meaning after 1.2 s, 95 % within 1 min" in fresh
    assert "a change waits since 3.2 s" in fresh
    assert lines[-1].startswith("state")
    assert lines[-1].endswith(", 12 GiB free")
