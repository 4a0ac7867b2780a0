from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import pytest

from ragd.config.schema import Config
from ragd.daemon.supervisor import Patience, Supervisor
from ragd.daemon.workers import worker_command, worker_counts, worker_environment
from ragd.domain.errors import BrokerUnavailable

SLEEP = (sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)")
STUBBORN = (
    sys.executable,
    "-I",
    "-S",
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)",
)


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Taken:
    """Remembers what was to be reclaimed; away as long as told."""

    died: list[tuple[str, int]] = field(default_factory=list)
    rounds: int = 0
    is_away: bool = False
    told: dict[tuple[str, int], bytes] = field(default_factory=dict)

    def process_died(self, queue: str, pid: int) -> int:
        if self.is_away:
            raise BrokerUnavailable("away")
        self.died.append((queue, pid))
        return 1

    def beats(self) -> Mapping[tuple[str, int], bytes]:
        if self.is_away:
            raise BrokerUnavailable("away")
        return self.told

    def step(self) -> int:
        self.rounds += 1
        return 0


@dataclass
class Server:
    """A Redis that runs or not, and starts or not, as told."""

    runs: bool = True
    refuses: bool = False
    starts: int = 0
    pid: int | None = 1

    def is_running(self) -> bool:
        return self.runs

    def start(self) -> None:
        if self.refuses:
            raise BrokerUnavailable("no program")
        self.runs, self.starts = True, self.starts + 1

    def stop(self) -> None:
        self.runs = False


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def taken() -> Taken:
    return Taken()


class Build(Protocol):
    """Makes a supervisor that is stopped when the test ends."""

    def __call__(
        self,
        counts: Mapping[str, int] = ...,
        command: Sequence[str] = ...,
        server: Server | None = None,
        patience: Patience | None = None,
    ) -> Supervisor: ...


@pytest.fixture
def build(clock: Clock, taken: Taken) -> Iterator[Build]:
    made: list[Supervisor] = []

    def make(
        counts: Mapping[str, int] = MappingProxyType({"extract": 1}),
        command: Sequence[str] = SLEEP,
        server: Server | None = None,
        patience: Patience | None = None,
    ) -> Supervisor:
        made.append(Supervisor(counts, lambda _: command, taken, server=server, patience=patience, clock=clock))
        return made[-1]

    yield make
    for supervisor in made:
        supervisor.stop(budget_s=0)


def kill(supervisor: Supervisor, place: int = 0) -> int:
    pid = supervisor.status()[place].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid


def test_as_many_workers_run_as_were_asked_for(build: Build) -> None:
    supervisor = build(counts={"extract": 1, "embed": 2})
    assert not supervisor.is_healthy
    supervisor.step()
    assert [(child.kind, child.state) for child in supervisor.status()] == [
        ("extract", "running"),
        ("embed", "running"),
        ("embed", "running"),
    ]
    assert supervisor.is_healthy


def test_a_killed_worker_is_reclaimed_at_once_and_started_again_after_a_pause(
    build: Build, clock: Clock, taken: Taken
) -> None:
    supervisor = build(patience=Patience(first_s=1, most_s=8))
    supervisor.step()
    pid = kill(supervisor)
    assert not supervisor.is_healthy
    supervisor.step()
    assert taken.died == [("extract", pid)]
    assert (supervisor.status()[0].state, supervisor.status()[0].last_end) == ("waiting", "signal SIGKILL")
    clock.now += 1
    supervisor.step()
    assert supervisor.status()[0].state == "running"
    assert supervisor.status()[0].deaths == 1


def test_the_pause_doubles_up_to_the_most_and_a_healthy_life_starts_it_over(build: Build, clock: Clock) -> None:
    supervisor = build(patience=Patience(first_s=1, most_s=4, healthy_s=60))
    pauses = []
    for lived_s in (0, 0, 0, 0, 60):
        supervisor.step()
        clock.now += lived_s
        kill(supervisor)
        supervisor.step()
        pauses.append(supervisor.status()[0].wait_s)
        clock.now += pauses[-1]
    assert pauses == [1, 2, 4, 4, 1]


def test_what_a_dead_worker_held_is_reclaimed_once_redis_is_back(build: Build, taken: Taken) -> None:
    supervisor = build()
    supervisor.step()
    taken.is_away = True
    pid = kill(supervisor)
    supervisor.step()
    assert taken.died == []
    taken.is_away = False
    supervisor.step()
    assert taken.died == [("extract", pid)]


def test_workers_elsewhere_are_looked_after_every_few_seconds(build: Build, clock: Clock, taken: Taken) -> None:
    supervisor = build(counts={})
    supervisor.step()
    clock.now += 5
    supervisor.step()
    supervisor.step()
    assert taken.rounds == 1


def test_a_worker_that_gives_no_sign_of_life_is_ended_and_replaced(build: Build, clock: Clock, taken: Taken) -> None:
    supervisor = build(patience=Patience(first_s=0.0))
    supervisor.step()
    pid = supervisor.status()[0].pid
    assert pid is not None
    for beat in (b"1", b"2", b"2", b"2", b"2"):
        taken.told = {("extract", pid): beat}
        clock.now += 6
        supervisor.step()
    assert supervisor.status()[0].pid == pid
    taken.told = {("extract", pid): b""}  # its registration expired meanwhile: still no sign of life
    clock.now += 6
    supervisor.step()
    clock.now += 6
    supervisor.step()
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    supervisor.step()
    assert taken.died == [("extract", pid)]
    facts = supervisor.status()[0]
    assert (facts.state, facts.deaths) == ("running", 1)
    assert facts.last_end == "it gave no sign of life for 30 s and was ended"


def test_silence_does_not_count_while_redis_is_away_or_a_worker_begins(
    build: Build, clock: Clock, taken: Taken
) -> None:
    supervisor = build()
    supervisor.step()
    pid = supervisor.status()[0].pid
    assert pid is not None
    for is_away, told in ((False, b"1"), (True, b"1"), (True, b"1"), (False, b"1")):
        taken.is_away, taken.told = is_away, {("extract", pid): told}
        clock.now += 20
        supervisor.step()
    taken.told = {}  # it left the register, to come back with other settings
    for _ in range(10):
        clock.now += 20
        supervisor.step()
    assert supervisor.status()[0].pid == pid
    clock.now += 200
    supervisor.step()
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    supervisor.step()
    assert "no sign of life" in supervisor.status()[0].last_end


def test_a_dead_redis_is_started_again_before_anything_else(build: Build, clock: Clock) -> None:
    server = Server()
    supervisor = build(server=server, patience=Patience(first_s=1))
    server.runs = False
    supervisor.step()
    assert (server.starts, supervisor.status()[0].state, supervisor.status()[1].state) == (0, "waiting", "waiting")
    clock.now += 1
    supervisor.step()
    assert server.starts == 1
    assert supervisor.is_healthy


def test_a_redis_that_does_not_start_is_tried_again_with_patience(build: Build, clock: Clock) -> None:
    server = Server(runs=False, refuses=True)
    supervisor = build(server=server, patience=Patience(first_s=1, most_s=30))
    supervisor.step()
    clock.now += 1
    supervisor.step()
    redis = supervisor.status()[0]
    assert (redis.kind, redis.last_end, redis.wait_s, redis.deaths) == ("redis", "no program", 2, 2)
    server.refuses = False
    clock.now += 2
    supervisor.step()
    assert server.starts == 1


def test_a_redis_that_was_well_before_is_tried_with_patience_too(build: Build, clock: Clock) -> None:
    server = Server()
    supervisor = build(counts={}, server=server, patience=Patience(first_s=1, healthy_s=60))
    server.runs = False
    supervisor.step()
    clock.now += 1
    supervisor.step()
    clock.now += 3600
    server.runs, server.refuses = False, True
    waits = []
    for _ in range(4):
        supervisor.step()
        waits.append(supervisor.status()[0].wait_s)
        clock.now += waits[-1]
    assert waits == [1, 2, 4, 8]


def test_a_worker_that_cannot_be_started_is_tried_with_patience(build: Build, clock: Clock) -> None:
    supervisor = build(command=(*SLEEP, "x" * 200_000), patience=Patience(first_s=1))  # more than the system takes
    for wait_s in (1, 2, 4):
        supervisor.step()
        facts = supervisor.status()[0]
        assert (facts.state, facts.wait_s) == ("waiting", wait_s)
        assert "it cannot be started: " in facts.last_end
        clock.now += wait_s


def test_stopping_ends_the_workers_in_order(build: Build) -> None:
    supervisor = build(counts={"extract": 2})
    supervisor.step()
    supervisor.stop()
    assert {(child.state, child.last_end) for child in supervisor.status()} == {("stopped", "signal SIGTERM")}
    supervisor.step()
    assert all(child.pid is None for child in supervisor.status())


def pids(supervisor: Supervisor) -> list[tuple[str, int | None]]:
    return [(child.kind, child.pid) for child in supervisor.status()]


def until_gone(supervisor: Supervisor, taken: Taken, count: int) -> None:
    deadline = time.monotonic() + 10
    while len(taken.died) < count:
        assert time.monotonic() < deadline
        supervisor.step()


def test_more_and_fewer_workers_are_had_while_running(build: Build, taken: Taken) -> None:
    supervisor = build({"extract": 1, "embed": 2})
    supervisor.step()
    before = pids(supervisor)
    supervisor.follow({"extract": 2, "embed": 1}, dict(os.environ))
    supervisor.step()
    now = pids(supervisor)
    assert [kind for kind, _ in now] == ["extract", "extract", "embed"]
    assert {before[0], before[1]} < set(now)  # who may stay goes on
    assert supervisor.is_healthy
    until_gone(supervisor, taken, 1)
    assert taken.died == [before[2]]  # what it held is taken back
    assert [child.deaths for child in supervisor.status()] == [0, 0, 0]


def test_workers_of_a_kind_are_replaced_where_their_environment_matters(build: Build, taken: Taken) -> None:
    supervisor = build({"extract": 1, "embed": 1})
    supervisor.step()
    extract, embed = pids(supervisor)
    supervisor.follow({"extract": 1, "embed": 1}, {**os.environ, "RAGD_TEST_TOLD": "anew"}, anew=("extract",))
    supervisor.step()
    assert embed in pids(supervisor)
    assert extract not in pids(supervisor)
    (new,) = [pid for kind, pid in pids(supervisor) if kind == "extract"]
    deadline = time.monotonic() + 10
    while b"RAGD_TEST_TOLD=anew" not in Path(f"/proc/{new}/environ").read_bytes():  # empty while its program is loaded
        assert time.monotonic() < deadline
    until_gone(supervisor, taken, 1)
    assert taken.died == [extract]


def test_what_was_asked_for_before_a_round_came_is_not_forgotten(build: Build, taken: Taken) -> None:
    supervisor = build({"extract": 1})
    supervisor.step()
    before = pids(supervisor)
    supervisor.follow({"extract": 1}, dict(os.environ), anew=("extract",))
    supervisor.follow({"extract": 2}, dict(os.environ))
    supervisor.step()
    assert len(pids(supervisor)) == 2
    assert before[0] not in pids(supervisor)
    supervisor.follow({"extract": 2}, dict(os.environ))
    now = pids(supervisor)
    supervisor.step()
    assert pids(supervisor) == now


def test_who_is_leaving_and_hangs_is_ended(build: Build, clock: Clock, taken: Taken) -> None:
    supervisor = build({"extract": 1})
    supervisor.step()
    ((_, pid),) = pids(supervisor)
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    supervisor.follow({"extract": 0}, dict(os.environ))
    taken.told = {("extract", pid): b"1"}
    for _ in range(6):
        clock.now += 6
        supervisor.step()
    until_gone(supervisor, taken, 1)
    assert taken.died == [("extract", pid)]


def test_who_is_leaving_is_ended_by_a_stop(build: Build) -> None:
    supervisor = build({"extract": 1}, STUBBORN)
    supervisor.step()
    ((_, pid),) = pids(supervisor)
    assert pid is not None
    supervisor.follow({"extract": 0}, dict(os.environ))
    supervisor.step()
    assert pids(supervisor) == []
    supervisor.stop(budget_s=0.0)
    assert not Path(f"/proc/{pid}").exists()


def test_a_worker_that_does_not_stop_in_time_is_killed(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    supervisor = build(command=STUBBORN)
    supervisor.step()
    pid = supervisor.status()[0].pid
    assert pid is not None
    supervisor.stop(budget_s=0)
    assert supervisor.status()[0].pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_worker_is_this_very_program_and_is_told_no_secret_on_its_command_line() -> None:
    command = worker_command("--state", "/s")("embed")
    assert command[1:] == ("-P", "-m", "ragd", "worker", "embed", "--state", "/s")


@pytest.mark.parametrize(
    ("learn", "train"), [({}, 1), ({"workers": 3}, 3), ({"workers": 0}, 0), ({"enabled": False, "workers": 3}, 0)]
)
def test_train_workers_are_started_where_models_are_trained(learn: Mapping[str, object], train: int) -> None:
    given = {"learn": learn, "workers": {"extract": 2, "embed": 4}}
    assert worker_counts(Config.model_validate(given)) == {"extract": 2, "embed": 4, "train": train}


def test_workers_are_told_a_password_in_the_address_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGD_REDIS__PASSWORD_FILE", "/run/secrets/redis")
    monkeypatch.setenv("RAGD_EMBED__API_KEY_FILE", "/run/secrets/key")
    told = worker_environment(Config(), "redis://:hush@redis/0", "info")
    assert told["RAGD_REDIS__URL"] == "redis://:hush@redis/0"
    assert not [name for name in told if name.endswith("_FILE") and name.startswith("RAGD_")]
