from __future__ import annotations

import math
import subprocess
import sys

import pytest

from ragd.domain.errors import WorkerStuck
from ragd.domain.index import EmbeddingSpace, EncoderSpec
from ragd.domain.work import ExtractBatch, ReadLimits, SplitPolicy
from ragd.jobs.broker import HELD_PREFIX, Broker
from ragd.jobs.embedded import EmbeddedRedis
from ragd.jobs.queue import Queues
from ragd.jobs.settings import WorkerModel, WorkerSettings
from ragd.jobs.stride import Stride
from ragd.jobs.worker import stride_of

# A worker whose handler waits for ever outside of Python's own lock, as native code in a deadlock does.
WORKER = """
import sys, threading
from ragd.jobs import loop
from ragd.jobs.options import WorkerOptions
from ragd.jobs.broker import Broker
from ragd.jobs.pulse import Pulse
from ragd.jobs.stride import Stride

class QuickPulse(Pulse):
    def __init__(self, *given, **named):
        super().__init__(*given, **named, every_s=0.1)

loop.Pulse = QuickPulse
options = WorkerOptions(is_disposable=True, stride=Stride(0.5))
loop.run_worker("extract", Broker(sys.argv[1]), {"extract": lambda task: threading.Event().wait()}, options)
"""


def test_a_step_may_take_its_time_and_waiting_for_a_job_any() -> None:
    now = [100.0]
    stride = Stride(10.0, clock=lambda: now[0])
    now[0] += 1000.0
    assert stride.overdue_s == 0.0
    for _ in range(5):
        stride.step()
        now[0] += 10.0
        assert stride.overdue_s == 0.0
    now[0] += 0.5
    assert stride.overdue_s == 10.5
    stride.rest()
    assert stride.overdue_s == 0.0
    stride.end_if_stuck()


def test_a_worker_whose_job_hangs_ends_itself_and_its_job_is_kept(
    server: EmbeddedRedis, broker: Broker, queues: Queues
) -> None:
    queues.extract(ExtractBatch("bulk-1", b"/root", (), False))
    done = subprocess.run(
        [sys.executable, "-c", WORKER, server.url], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == WorkerStuck.exit_code
    assert "work_stuck" in done.stderr
    assert "Traceback" not in done.stderr
    (held,) = broker.connection.keys(f"{HELD_PREFIX}extract-*")
    assert broker.connection.lrange(held, 0, -1) == [b"bulk-1"]


def test_a_worker_that_was_frozen_whole_has_time_to_get_on() -> None:
    now = [100.0]
    stride = Stride(10.0, clock=lambda: now[0])
    stride.step()
    for _ in range(3):
        now[0] += 3600.0
        assert stride.overdue_s >= 3600.0
        stride.end_if_stuck()  # this process goes on: it is the first look that finds it so
        stride.step()
        assert stride.overdue_s == 0.0


@pytest.mark.parametrize(
    ("kind", "read_s", "stuck_s", "limit_s"),
    [
        ("extract", 30.0, 600.0, 600.0),
        ("extract", 500.0, 600.0, 1120.0),
        ("embed", 500.0, 70.0, 70.0),
        ("train", 500.0, 70.0, math.inf),
    ],
)
def test_no_step_is_given_less_than_its_own_limit(kind: str, read_s: float, stuck_s: float, limit_s: float) -> None:
    settings = WorkerSettings(ReadLimits(timeout_s=read_s), SplitPolicy("", 1, 2), (), stuck_s=stuck_s)
    assert stride_of(kind, settings).limit_s == limit_s


def test_the_calls_of_an_endpoint_have_limits_of_their_own() -> None:
    model = WorkerModel(EncoderSpec(kind="openai", url="http://h/v1"), EmbeddingSpace("f", 3, "m", 9))
    settings = WorkerSettings(ReadLimits(), SplitPolicy("", 1, 2), (model,))
    assert stride_of("embed", settings).limit_s == math.inf
    assert stride_of("extract", settings).limit_s == 600.0
