"""Keeps the daemon's children alive: its worker processes and its private Redis, restarted with patience."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from ragd.config.events import get_log
from ragd.domain.errors import BrokerUnavailable, OutOfMemory, RagdError, WorkerStuck
from ragd.hooks.tree import ending
from ragd.jobs.launch import bound_to_this_process

_LOG = get_log("ragd.daemon")
_REMOTE_EVERY_S: Final = 5.0


class Server(Protocol):
    """The private Redis, as far as it is kept alive."""

    @property
    def pid(self) -> int | None: ...

    def is_running(self) -> bool: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...


class Reclaims(Protocol):
    """Takes back the jobs of dead workers."""

    def process_died(self, queue: str, pid: int) -> int: ...

    def beats(self) -> Mapping[tuple[str, int], bytes]: ...

    def step(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Patience:
    """How fast what dies is started again: `first_s`, doubled each time up to `most_s`, all seconds.

    A child that lived for `healthy_s` starts anew with `first_s`. A worker that gave no sign of life for `hung_s`, or
    did not get as far as its first one in `starting_s`, hangs: it is ended and replaced.
    """

    first_s: float = 0.1
    most_s: float = 30.0
    healthy_s: float = 60.0
    hung_s: float = 25.0
    starting_s: float = 300.0


@dataclass(frozen=True, slots=True)
class ChildFacts:
    """One child for `ragd status`: `state` is `running`, `waiting` (to be started again in `wait_s`) or `stopped`."""

    kind: str
    pid: int | None
    state: str
    deaths: int
    wait_s: float
    last_end: str


@dataclass(slots=True, eq=False)
class _Child:
    """One place for a process, and what became of those that filled it."""

    kind: str
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_after: float = 0.0
    pause_s: float = 0.0
    deaths: int = 0
    last_end: str = ""
    beat: bytes | None = None
    beat_at: float = 0.0
    verdict: str = ""
    unclaimed: list[int] = field(default_factory=list)


class Supervisor:
    """Starts, watches and stops the children; `step` does one round and never waits.

    Call `step` and `stop` from one thread that lives as long as the process, because children are bound
    to it and die with it; `status` and `is_healthy` from any. `command` is a worker's command line for a
    kind; its output goes where ours goes.
    """

    def __init__(
        self,
        counts: Mapping[str, int],
        command: Callable[[str], Sequence[str]],
        reclaims: Reclaims,
        *,
        server: Server | None = None,
        environment: Mapping[str, str] | None = None,
        patience: Patience | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._children = [_Child(kind) for kind, count in counts.items() for _ in range(count)]
        self._command, self._reclaims, self._server = command, reclaims, server
        self._environment = environment
        self._patience = patience or Patience()
        self._clock = clock
        self._redis = _Child("redis")
        self._remote_at = clock() + _REMOTE_EVERY_S
        self._leaving: list[_Child] = []
        self._wanted: tuple[Mapping[str, int], Mapping[str, str], frozenset[str]] | None = None
        self._is_stopping = False

    def follow(self, counts: Mapping[str, int], environment: Mapping[str, str], *, anew: Collection[str] = ()) -> None:
        """From the next `step` on so many workers of each kind; those of kinds in `anew` are replaced. Any thread.

        Who leaves finishes the job at work first.
        """
        before = self._wanted[2] if self._wanted is not None else ()  # asked for, and not taken up yet
        self._wanted = (counts, environment, frozenset((*anew, *before)))

    @property
    def is_healthy(self) -> bool:
        """True while Redis and every worker run; what the service manager's watchdog is fed by."""
        server_runs = self._server is None or self._server.is_running()
        return server_runs and all(_runs(child.process) for child in self._children)

    def step(self) -> None:
        """One round: Redis first, then the dead are noticed and reclaimed, then the missing are started."""
        if self._is_stopping or not self._keep_server():
            return
        self._follow()
        for child in self._children:
            self._notice_end(child)
        self._reclaim()
        for child in self._children:
            if child.process is None and self._clock() >= child.start_after:
                self._start(child)

    def stop(self, *, budget_s: float = 10.0) -> None:
        """Ends the workers: SIGTERM lets the job at work finish, SIGKILL after `budget_s`. Redis is left running."""
        self._is_stopping = True
        running = [child for child in (*self._children, *self._leaving) if child.process is not None]
        for child in running:
            _signal(child, signal.SIGTERM)
        deadline = self._clock() + budget_s
        for child in running:
            process = child.process
            if process is None:
                continue
            try:
                process.wait(max(0.0, deadline - self._clock()))
            except subprocess.TimeoutExpired:
                _LOG.warning("worker_killed", kind=child.kind, pid=process.pid, after_s=budget_s)
                process.kill()
                process.wait()
            child.process, child.last_end = None, _ending(process.returncode)

    def status(self) -> tuple[ChildFacts, ...]:
        """Every child, Redis (when it is ours) first."""
        now = self._clock()
        children = [*([self._redis] if self._server is not None else []), *self._children]
        return tuple(self._facts(child, now) for child in children)

    def _follow(self) -> None:
        """Lets workers go that are no longer wanted, and makes places for new ones."""
        if self._wanted is not None:
            (counts, self._environment, anew), self._wanted = self._wanted, None
            staying: list[_Child] = []
            for kind, count in counts.items():
                mine = [child for child in self._children if child.kind == kind and kind not in anew][:count]
                staying += [*mine, *(_Child(kind) for _ in range(count - len(mine)))]
            leaving = [child for child in self._children if child not in staying]
            for child in leaving:
                _signal(child, signal.SIGTERM)
            self._children, self._leaving = staying, self._leaving + leaving
        for child in self._leaving:
            if child.process is not None and not _runs(child.process):
                child.unclaimed.append(child.process.pid)
                child.process = None
        self._leaving = [child for child in self._leaving if child.process is not None or child.unclaimed]

    def _keep_server(self) -> bool:
        if self._server is None or self._server.is_running():
            return True
        child, now = self._redis, self._clock()
        if not child.start_after:
            self._plan_restart(child, "it died")
        if now < child.start_after:
            return False
        try:
            self._server.start()
        except (RagdError, OSError) as error:
            self._plan_restart(child, str(error))
            return False
        child.started_at, child.start_after = now, 0.0
        _LOG.info("redis_started", deaths=child.deaths)
        return True

    def _notice_end(self, child: _Child) -> None:
        process = child.process
        if process is None or _runs(process):
            return
        child.process = None
        child.unclaimed.append(process.pid)
        self._plan_restart(child, child.verdict or _ending(process.returncode))

    def _plan_restart(self, child: _Child, why: str) -> None:
        now = self._clock()
        was_healthy = child.started_at and now - child.started_at >= self._patience.healthy_s
        child.pause_s = (
            self._patience.first_s
            if was_healthy or not child.pause_s
            else min(child.pause_s * 2, self._patience.most_s)
        )
        child.deaths += 1
        child.last_end, child.started_at = why, 0.0
        child.start_after = now + child.pause_s
        _LOG.warning("child_died", kind=child.kind, reason=why, again_in_s=child.pause_s)

    def _reclaim(self) -> None:
        try:
            for child in (*self._children, *self._leaving):
                while child.unclaimed:
                    self._reclaims.process_died(child.kind, child.unclaimed[0])
                    child.unclaimed.pop(0)
            if self._clock() >= self._remote_at:
                self._remote_at = self._clock() + _REMOTE_EVERY_S
                self._end_hung(self._reclaims.beats())
                self._reclaims.step()
        except BrokerUnavailable as error:
            for child in (*self._children, *self._leaving):  # nobody can give a sign of life now
                child.beat_at = self._clock()
            _LOG.info("reclaim_waits", reason=error)

    def _end_hung(self, beats: Mapping[tuple[str, int], bytes]) -> None:
        """Ends workers whose sign of life stands still, by this process's own clock: no jump of time matters."""
        now = self._clock()
        for child in (*self._children, *self._leaving):
            if not _runs(child.process) or child.process is None:
                continue
            beat = beats.get((child.kind, child.process.pid))
            if beat != child.beat and beat != b"":
                child.beat, child.beat_at = beat, now
            silent_s = now - child.beat_at
            if silent_s >= (self._patience.starting_s if beat is None else self._patience.hung_s):
                if not child.verdict:  # said once: one that waits for a disk may be beyond reach for long
                    _LOG.warning("worker_hung", kind=child.kind, pid=child.process.pid, silent_s=round(silent_s, 1))
                child.verdict = f"it gave no sign of life for {silent_s:.0f} s and was ended"
                child.process.kill()

    def _start(self, child: _Child) -> None:
        try:
            child.process = subprocess.Popen(
                bound_to_this_process(self._command(child.kind)),
                stdin=subprocess.DEVNULL,
                env=None if self._environment is None else dict(self._environment),
                start_new_session=True,  # a Ctrl-C in the terminal is for the daemon, which stops them in order
            )
        except OSError as error:  # no more processes, files or memory
            self._plan_restart(child, f"it cannot be started: {error}")
            return
        child.started_at = child.beat_at = self._clock()
        child.beat, child.verdict = None, ""
        _LOG.info("worker_launched", kind=child.kind, pid=child.process.pid)

    def _facts(self, child: _Child, now: float) -> ChildFacts:
        process = child.process  # read once: `step` changes it in its own thread
        if child is self._redis and self._server is not None:
            is_running, pid = self._server.is_running(), self._server.pid
        else:
            is_running, pid = _runs(process), process.pid if process is not None else None
        state = "running" if is_running else "stopped" if self._is_stopping else "waiting"
        wait_s = 0.0 if is_running else max(0.0, child.start_after - now)
        return ChildFacts(child.kind, pid if is_running else None, state, child.deaths, wait_s, child.last_end)


def _runs(process: subprocess.Popen[bytes] | None) -> bool:
    return process is not None and process.poll() is None


def _signal(child: _Child, number: signal.Signals) -> None:
    if child.process is not None and _runs(child.process):
        child.process.send_signal(number)


def _ending(status: int) -> str:
    if status == OutOfMemory.exit_code:
        return "it got no more memory: free some, or lower `workers.embed`"
    if status == WorkerStuck.exit_code:
        return "its job did not get on for `workers.stuck_s`"
    return ending(status)
