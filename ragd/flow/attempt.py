"""One start of a trainer's process: limited, watched, heard, asked to stop, and judged when it has ended."""

from __future__ import annotations

import json
import math
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Final

from ragd.domain.errors import ArtifactInvalid
from ragd.domain.training import RunOutcome, RunPlaces, RunRequest
from ragd.hooks import contain
from ragd.hooks.tree import ending
from ragd.learn.artifact import inspect
from ragd.learn.records import Attempts, Follower, write_attempts

STOP_GRACE_S: Final = 30.0
_LOOK_S: Final = 0.25
_NOTE_S: Final = 1.0
_LEAVE_S: Final = 2.0
_NAP_S: Final = 0.005
_KIB_A_MIB: Final = 1024
_LIMITS: Final = {
    "took longer": "timeout_s",
    "started more": "processes",
    "used more": "memory_mb",
    "wrote more": "disk_mb",
}
_OWN: Final = ("timeout_s", "memory_mb")  # limits that a trainer's own table may set


def environment(request: RunRequest, places: RunPlaces, inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment of the trainer's process: its threads, its seed, no network hubs, caches in its own folder.

    Nothing of ragd's own is passed on (the address of Redis may hold a password), but the key of an encoder's
    endpoint when the run's encoder is one, and that of a teacher's (`RAGD_TEACHER_KEY`) when an option is an address.
    Where `inherited` tells the addresses that the keys are for, they are for no other.
    """
    kept = {name: value for name, value in inherited.items() if not name.startswith("RAGD_")}
    key, teacher_key = inherited.get("RAGD_EMBED__API_KEY", ""), inherited.get("RAGD_TEACHER_KEY", "")
    addresses = {text for value in request.settings.values() if "://" in (text := str(value))}
    teacher = inherited.get("RAGD_LEARN__TEACHER", "")
    has_address = bool(addresses) and (not teacher or addresses == {teacher})
    url = request.encoder.url.rstrip("/")
    is_ours = request.encoder.kind == "openai" and inherited.get("RAGD_EMBED__URL", url).rstrip("/") == url
    given = {
        "OPENBLAS_NUM_THREADS": "1",  # it starts its threads when it is imported, and confining must come before
        "PYTHONHASHSEED": str(request.seed % 2**32),
        "PYTHONUNBUFFERED": "1",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        **({"RAGD_EMBED__API_KEY": key} if key and is_ours else {}),
        **({"RAGD_TEACHER_KEY": teacher_key} if teacher_key and has_address else {}),
        **({} if request.resources.device == "cuda" else {"CUDA_VISIBLE_DEVICES": ""}),
    }
    return contain.environment(places.work, request.resources, kept) | given


class Attempt:
    """One start of the trainer's process, from its launch to its outcome."""

    def __init__(self, places: RunPlaces, request: RunRequest, before: Attempts) -> None:
        self._places, self._request, self._before = places, request, before
        self._is_signalled, self._is_killed = threading.Event(), threading.Event()
        self._stop_at: float | None = None
        self._breach = ""
        self._ended: dict[str, Any] | None = None
        self._started_at = time.monotonic()
        self._examples = 0
        self._train_at: float | None = None
        self._train_s = 0.0
        self._cpu_s = 0.0
        self._peak_mb = before.peak_memory_mb

    def outcome(self) -> RunOutcome | None:
        """Starts the trainer and waits for its end; None when it was killed from outside."""
        self._places.checkpoints.mkdir(parents=True, exist_ok=True)
        signal.signal(signal.SIGTERM, lambda *_: self._is_signalled.set())
        signal.signal(signal.SIGINT, lambda *_: self._is_killed.set())
        ears, mouth = os.pipe()
        process = self._start(mouth)
        os.close(mouth)
        watch = contain.Watch(process, replace(self._request.resources, timeout_s=math.inf), self._places.work)
        with open(ears, "rb", buffering=0) as told:
            try:
                self._hear(process, told, watch)
                self._await(process)
            finally:
                watch.kill_all()
                self._note_cost(watch)
        for name in (".tmp", ".home"):
            shutil.rmtree(self._places.work / name, ignore_errors=True)
        write_attempts(self._places, self._spent())
        if process.returncode == -signal.SIGKILL and not (self._breach or self._ended or self._stop_at):
            return None
        outcome = self._judged(process.returncode)
        return with_costs(replace(outcome, examples=outcome.examples or self._examples), self._spent())

    def _start(self, mouth: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", "ragd.flow.trainee", str(self._places.folder), str(mouth)]
        with self._places.log.open("ab") as log:
            return subprocess.Popen(
                [*command, str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._places.work,
                env=environment(self._request, self._places, os.environ),
                pass_fds=(mouth,),
                start_new_session=True,
            )

    def _hear(self, process: subprocess.Popen[bytes], told: IO[bytes], watch: contain.Watch) -> None:
        """Hears what the trainer tells, passes on the wish to stop, keeps count, until it ended or crossed a limit."""
        listener = select.poll()
        listener.register(told, select.POLLIN | select.POLLHUP)
        rest, looked_at, noted_at = b"", 0.0, 0.0
        while True:
            if listener.poll(_LOOK_S * 1000):
                block = os.read(told.fileno(), 1 << 16)
                *lines, rest = (rest + block).split(b"\n")
                self._note_told(lines)
                if not block or self._ended is not None:
                    return
            now = time.monotonic()
            if now - looked_at >= _LOOK_S:
                looked_at = now
                self._breach = self._overdue() or watch.check() or ""
                if self._breach or self._should_kill(process):
                    return
            if now - noted_at >= _NOTE_S:
                noted_at = now
                self._note_cost(watch)
                write_attempts(self._places, self._spent())

    def _note_told(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            try:
                news = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if not isinstance(news, dict):
                continue
            if news.get("event") == "begun" and self._train_at is None:
                examples = news.get("examples")
                self._train_at, self._examples = time.monotonic(), examples if isinstance(examples, int) else 0
            elif news.get("event") == "ended" and self._ended is None:
                self._ended = {key: value for key, value in news.items() if key != "event"}
                self._train_s = self._training_s()

    def _overdue(self) -> str:
        resources = self._request.resources
        took_s = self._before.train_s + time.monotonic() - self._started_at
        return f"took longer than {resources.timeout_s:g} s" if took_s > resources.timeout_s else ""

    def _should_kill(self, process: subprocess.Popen[bytes]) -> bool:
        """Passes on the wish to stop, and says whether the trainer has had enough time to heed it."""
        if self._is_killed.is_set():
            self._stop_at = self._stop_at or time.monotonic()
            return True
        if self._stop_at is None and (self._is_signalled.is_set() or self._places.stop.exists()):
            self._stop_at = time.monotonic()
            process.send_signal(signal.SIGTERM)
        return self._stop_at is not None and time.monotonic() - self._stop_at > STOP_GRACE_S

    def _judged(self, status: int) -> RunOutcome:
        """How the attempt ended, from what was told, or from how the process ended when nothing was."""
        who, last = f"plugin {self._request.plugin.name}", Follower(self._places.progress).last()
        loss = last.metrics.get("loss") if last else None
        if self._breach:
            return self._over_limit(who, loss)
        if self._ended is not None:
            try:
                return self._checked(RunOutcome(**self._ended))
            except TypeError:
                reason = f"{who}: wrote into the channel of its process"
                return RunOutcome(
                    "failed", error="training_failed", reason=reason, hint="print to standard output only"
                )
        if self._stop_at is not None:
            hint = f"go on from the last checkpoint: `ragd runs resume {self._request.id}`"
            return RunOutcome(
                "stopped", reason=f"{who}: ended without an answer to the wish to stop", hint=hint, loss=loss
            )
        reason, hint = f"{who}: its process died ({ending(status)})", f"see `ragd runs log {self._request.id}`"
        return RunOutcome("failed", error="training_failed", reason=reason, hint=hint, loss=loss)

    def _over_limit(self, who: str, loss: float | None) -> RunOutcome:
        key = next(key for words, key in _LIMITS.items() if self._breach.startswith(words))
        limit = self._request.resources.memory_mb
        text = f"out of memory: needed more than {limit} MiB" if key == "memory_mb" else self._breach
        own = f"trainers.{self._request.trainer}.{key} or " if key in _OWN else ""
        reason, hint = f"{who}: {text}", f"raise {own}learn.{key}"
        return RunOutcome("failed", error="training_failed", reason=reason, hint=hint, loss=loss)

    def _checked(self, told: RunOutcome) -> RunOutcome:
        if told.state != "trained":
            return told
        try:
            files = inspect(self._places.folder / told.artifact, self._places.work, self._request.role)
        except ArtifactInvalid as error:
            reason = f"plugin {self._request.plugin.name}: {error}"
            return replace(told, state="failed", artifact="", error=error.code, reason=reason, hint=error.hint)
        return replace(told, files=files)

    def _await(self, process: subprocess.Popen[bytes]) -> None:
        """Lets a trainer that has said how it ended leave by itself, and takes its own account of what it took."""
        deadline = time.monotonic() + _LEAVE_S
        while time.monotonic() < deadline:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                self._cpu_s = usage.ru_utime + usage.ru_stime
                self._peak_mb = max(self._peak_mb, usage.ru_maxrss / _KIB_A_MIB)
                return
            time.sleep(_NAP_S)

    def _note_cost(self, watch: contain.Watch) -> None:
        self._cpu_s = max(self._cpu_s, watch.cost().cpu_s)
        self._peak_mb = max(self._peak_mb, watch.peak_memory_mb)

    def _training_s(self) -> float:
        return 0.0 if self._train_at is None else time.monotonic() - self._train_at

    def _spent(self) -> Attempts:
        """The costs so far, those of earlier attempts included."""
        before, train_s = self._before, self._train_s or self._training_s()
        return replace(
            before,
            train_s=before.train_s + train_s,
            cpu_s=before.cpu_s + self._cpu_s,
            gpu_s=before.gpu_s + (train_s if self._request.resources.device == "cuda" else 0.0),
            peak_memory_mb=self._peak_mb,
            noted_at=time.time(),
        )


def with_costs(outcome: RunOutcome, spent: Attempts) -> RunOutcome:
    """The outcome with what all attempts together took."""
    return replace(
        outcome,
        train_s=round(spent.train_s, 3),
        cpu_s=round(spent.cpu_s, 3),
        gpu_s=round(spent.gpu_s, 3),
        peak_memory_mb=round(spent.peak_memory_mb, 1),
    )


def stand_back() -> None:
    """A session of its own counts as one in Linux's groups of processes: as a whole it is as nice as its launcher."""
    if os.getsid(0) == os.getpid():
        with suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(os.nice(0)), encoding="ascii")
