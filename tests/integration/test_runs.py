"""Runs for real: the process of a run, train workers over a real Redis, kills, limits, stops, and a worker far away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from safetensors.numpy import load_file

from ragd.domain.index import EmbeddingSpace, EncoderSpec
from ragd.domain.learning import Resources
from ragd.domain.training import RunOutcome, RunPlaces
from ragd.domain.work import ReadLimits, SplitPolicy
from ragd.hooks.trust import trust
from ragd.jobs.broker import Broker
from ragd.jobs.embedded import EmbeddedRedis
from ragd.jobs.hold import Hold
from ragd.jobs.payload import decode
from ragd.jobs.queue import Queues, RunEnded, RunProgress, RunWantsFiles
from ragd.jobs.reclaim import Reclaimer
from ragd.jobs.settings import TrainSettings, WorkerModel, WorkerSettings, publish
from ragd.jobs.transfer import RunFiles
from ragd.learn.records import Follower, read_attempts, reopen
from tests.integration.runs_site import PLUGIN, command, environment, make_run, train

pytestmark = pytest.mark.slow

SMALL = Resources(timeout_s=60.0, memory_mb=400, disk_mb=16, processes=8)


def until(claim: Callable[[], object], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not claim():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.02)


def done(places: RunPlaces) -> int:
    """The furthest step that was reported."""
    return max((step.done for step in Follower(places.progress).news()), default=0)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> RunOutcome:
    """The outcome of a run that nothing happened to."""
    return train(make_run(tmp_path_factory.mktemp("calm") / "runs"))


def test_a_run_ends_with_an_artefact_its_hashes_and_its_costs(undisturbed: RunOutcome) -> None:
    assert (undisturbed.state, undisturbed.artifact, undisturbed.examples) == ("trained", "work/out", 32)
    assert undisturbed.files.keys() == {"transform.json", "transform.safetensors"}
    assert undisturbed.facts == {"rank": 8}
    assert undisturbed.loss is not None
    assert 0 < undisturbed.cpu_s < 30
    assert undisturbed.peak_memory_mb > 10


@pytest.mark.parametrize(
    ("trainer", "mode", "reason", "error"),
    [
        ("descent", "nan", "loss became nan at step 2 of 2", "training_failed"),
        ("descent", "bug", "ValueError: a secret plan", ""),
        ("descent", "exits", "it ended its process (SystemExit 3)", ""),
        ("descent", "dies", "its process died (exit status 9)", "training_failed"),
        ("descent", "outside", "it writes outside its run folder: ", "training_failed"),
        ("descent", "needy", "no local model serves as query-adapter", "model_unavailable"),
        ("descent", "memory", "out of memory: needed more than 400 MiB", "training_failed"),
        ("descent", "disk", "wrote more than 16 MiB", "training_failed"),
        ("rubbish", "nothing", "`train` returned NoneType, not an Artifact", "artifact_invalid"),
        ("rubbish", "empty", "holds no files", "artifact_invalid"),
        ("rubbish", "pickle", "model.bin in the artefact is a pickle, which is never loaded", "artifact_invalid"),
        ("rubbish", "link", "more.json in the artefact is not a plain file", "artifact_invalid"),
        ("rubbish", "elsewhere", "the artefact /usr is not inside the run's folder", "artifact_invalid"),
        ("nobody", "", "the plugin runs_plugin offers no trainer nobody", "plugin_refused"),
    ],
)
def test_whatever_a_trainer_does_its_run_fails_with_a_reason(
    trainer: str, mode: str, reason: str, error: str, tmp_path: Path
) -> None:
    places = make_run(tmp_path / "runs", trainer=trainer, resources=SMALL, mode=mode)
    outcome = train(places)
    assert outcome.state == "failed"
    assert outcome.reason.startswith("plugin runs_plugin: ")
    assert reason in outcome.reason
    assert "\n" not in outcome.reason
    assert outcome.error == error
    assert outcome.hint
    assert not (tmp_path / "runs" / "mine.txt").exists()


def test_what_a_trainer_babbles_into_the_channel_of_its_process_is_passed_over(
    tmp_path: Path, undisturbed: RunOutcome
) -> None:
    outcome = train(make_run(tmp_path / "runs", mode="babbles"))
    assert (outcome.state, outcome.files, outcome.examples) == ("trained", undisturbed.files, undisturbed.examples)


def test_a_run_that_hangs_is_ended_by_its_time_limit(tmp_path: Path) -> None:
    began = time.monotonic()
    outcome = train(make_run(tmp_path / "runs", resources=Resources(timeout_s=1.0), mode="hang"))
    assert outcome.reason == "plugin runs_plugin: took longer than 1 s"
    assert outcome.hint == "raise trainers.descent.timeout_s or learn.timeout_s"
    assert time.monotonic() - began < 20


def test_a_file_that_is_not_the_trusted_one_is_not_run(tmp_path: Path) -> None:
    places = make_run(tmp_path / "runs")
    text = places.request.read_text()
    sha256 = text.partition('"sha256": "')[2][:64]
    places.request.write_text(text.replace(sha256, "0" * 64))
    outcome = train(places)
    assert outcome.error == "plugin_refused"
    assert "is not the file that was trusted" in outcome.reason


def test_the_serving_encoder_is_at_hand(tmp_path: Path, models: Path) -> None:
    places = make_run(tmp_path / "runs", mode="encodes", models=models)
    assert train(places).state == "trained", places.log.read_text()
    assert "encoded (2, 384) (1, 384)" in places.log.read_text()


def test_a_stopped_run_resumes_from_its_checkpoint_with_the_same_result(
    tmp_path: Path, undisturbed: RunOutcome
) -> None:
    places = make_run(tmp_path / "runs", pause_s=0.2)
    process = subprocess.Popen(command(places), env=environment())
    until(lambda: done(places) >= 2)
    places.stop.touch()
    assert process.wait(30) == 3
    reached = done(places)
    assert reached < 20
    reopen(places)
    outcome = train(places)
    assert f"resumed at {reached}" in places.log.read_text()
    assert (outcome.state, outcome.loss, outcome.files) == ("trained", undisturbed.loss, undisturbed.files)
    assert read_attempts(places).count == 2


def test_a_trainer_that_is_killed_is_started_again_and_goes_on(tmp_path: Path, undisturbed: RunOutcome) -> None:
    places = make_run(tmp_path / "runs", pause_s=0.1)
    process = subprocess.Popen(command(places), env=environment())
    until(lambda: done(places) >= 3)
    (trainee,) = psutil.Process(process.pid).children()
    trainee.kill()
    assert process.wait(60) == 0
    assert "resumed at" in places.log.read_text()
    outcome = train(places)
    assert (outcome.loss, outcome.files) == (undisturbed.loss, undisturbed.files)


def test_a_trainer_that_is_killed_again_and_again_is_given_up(tmp_path: Path) -> None:
    outcome = train(make_run(tmp_path / "runs", mode="resolute"))
    assert outcome.reason == "plugin runs_plugin: its process was killed 5 times without getting on"


@dataclass
class Yard:
    """A private Redis with the daemon's part played by hand, and train workers as real processes."""

    folder: Path
    broker: Broker
    queues: Queues
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    progress: list[RunProgress] = field(default_factory=list)
    ended: list[RunEnded] = field(default_factory=list)
    answers: Callable[[RunWantsFiles], object] | None = None

    def start(self, state: str = "state", **more: str) -> subprocess.Popen[bytes]:
        home = self.folder / state
        home.mkdir(exist_ok=True)
        given = {"RAGD_REDIS__URL": self.broker.url, "RAGD_STATE": str(home), **more}
        with (self.folder / "worker.log").open("ab") as log:
            self.workers.append(
                subprocess.Popen(
                    [sys.executable, "-P", "-m", "ragd", "worker", "train"],
                    env={**environment(), **given},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )
        return self.workers[-1]

    def reclaim(self, worker: subprocess.Popen[bytes]) -> int:
        worker.wait(30)
        return Reclaimer(self.broker, self.queues).process_died("train", worker.pid)

    def hears(self) -> list[RunEnded]:
        """Takes what the workers answered, as the daemon's main thread does."""
        index = Hold(self.broker.connection, "index", "daemon")
        while (taken := index.take(None)) is not None:
            index.finish(taken.task)
            if taken.task.name == "run_progress":
                self.progress.append(decode(RunProgress, taken.task.body))
            elif taken.task.name == "run_ended":
                self.ended.append(decode(RunEnded, taken.task.body))
            elif taken.task.name == "run_wants_files" and self.answers is not None:
                self.answers(decode(RunWantsFiles, taken.task.body))
        return self.ended

    def ends(self, timeout_s: float = 60.0) -> RunEnded:
        until(self.hears, timeout_s)
        return self.ended[-1]


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    server = EmbeddedRedis(tmp_path / "b")
    server.start()
    broker = Broker(server.url)
    yard = Yard(tmp_path, broker, Queues(broker))
    publish(broker, settings())
    yield yard
    for worker in yard.workers:
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait(30)
    broker.close()
    server.stop()
    assert "Traceback" not in (tmp_path / "worker.log").read_text()


def settings(train: TrainSettings | None = None) -> WorkerSettings:
    model = WorkerModel(EncoderSpec(), EmbeddingSpace("f", 8, "m", 256))
    return WorkerSettings(ReadLimits(), SplitPolicy("", 1, 100), (model,), train=train or TrainSettings())


def test_a_worker_trains_tells_how_far_it_is_and_how_it_ended(yard: Yard, undisturbed: RunOutcome) -> None:
    places = make_run(yard.folder / "state" / "runs", pause_s=0.1)
    assert yard.queues.train("r1", str(places.folder))
    assert not yard.queues.train("r1", str(places.folder))
    worker = yard.start()
    ended = yard.ends()
    assert (ended.run_id, ended.is_remote) == ("r1", False)
    assert (ended.outcome.state, ended.outcome.files) == ("trained", undisturbed.files)
    assert 2 <= len(yard.progress) <= 8  # twice a second at most
    last = yard.progress[-1]
    assert (last.done, last.total, last.attempt, last.metrics["loss"]) == (20, 20, 1, undisturbed.loss)
    until(lambda: not yard.queues.is_alive("r1"))
    # A job that comes twice is answered twice, and trained once.
    yard.queues.train("r1", str(places.folder))
    until(lambda: len(yard.hears()) == 2)
    assert yard.ended[1].outcome == ended.outcome
    assert read_attempts(places).count == 1
    worker.terminate()
    assert worker.wait(30) == 0


def test_the_run_of_a_killed_worker_dies_with_it_and_is_resumed_by_the_next(
    yard: Yard, undisturbed: RunOutcome
) -> None:
    places = make_run(yard.folder / "state" / "runs", pause_s=0.15)
    yard.queues.train("r1", str(places.folder))
    for attempt in range(1, 4):  # more often than a batch may end workers
        worker = yard.start()
        until(lambda at=attempt: done(places) >= 3 * at)  # type: ignore[misc]
        family = psutil.Process(worker.pid).children(recursive=True)
        assert len(family) == 2
        worker.kill()
        assert yard.reclaim(worker) == 1
        until(lambda some=family: not any(one.is_running() for one in some), 10)  # type: ignore[misc]
    yard.start()
    outcome = yard.ends().outcome
    assert "resumed at" in places.log.read_text()
    assert (outcome.state, outcome.loss, outcome.files) == ("trained", undisturbed.loss, undisturbed.files)
    assert read_attempts(places).count == 4
    assert outcome.train_s > 20 * 0.15 * 0.8  # of all attempts together


def test_a_run_is_stopped_through_redis(yard: Yard) -> None:
    places = make_run(yard.folder / "state" / "runs", pause_s=0.2, steps=1000)
    yard.queues.train("r1", str(places.folder))
    yard.start()
    until(lambda: done(places) >= 2)
    yard.queues.stop_run("r1")
    outcome = yard.ends().outcome
    assert (outcome.state, outcome.reason) == ("stopped", "stopped when asked, with a checkpoint")
    assert outcome.loss is not None
    yard.queues.stop_run("r2")
    waiting = make_run(yard.folder / "state" / "runs", "r2")
    reopen(places)
    yard.queues.train("r1", str(places.folder))  # forgets the wish, and goes on
    until(lambda: done(places) > 5)
    assert done(waiting) == 0


def test_a_worker_that_is_to_end_pauses_its_run_for_the_next_one(yard: Yard, undisturbed: RunOutcome) -> None:
    places = make_run(yard.folder / "state" / "runs", pause_s=0.15)
    yard.queues.train("r1", str(places.folder))
    worker = yard.start()
    until(lambda: done(places) >= 3)
    began = time.monotonic()
    worker.terminate()
    assert worker.wait(30) == 0
    assert time.monotonic() - began < 9
    assert yard.hears() == []
    assert yard.queues.lengths()["train"] == 1
    assert not places.outcome.exists()
    yard.start()
    outcome = yard.ends().outcome
    assert (outcome.state, outcome.loss, outcome.files) == ("trained", undisturbed.loss, undisturbed.files)


def test_a_worker_with_another_disk_fetches_a_run_and_sends_back_what_it_made(
    yard: Yard, undisturbed: RunOutcome
) -> None:
    places = make_run(yard.folder / "daemon" / "runs", chunks=32)
    files = RunFiles(yard.broker)
    yard.answers = lambda wanted: files.send(places, wanted.lacks)
    trust(PLUGIN, yard.folder / "config" / "ragd" / "plugins", yard.folder / "elsewhere", taken=(), at=1.0)
    yard.queues.train("r1", "/nowhere/at/all/r1")
    yard.start("elsewhere", XDG_CONFIG_HOME=str(yard.folder / "config"))
    ended = yard.ends()
    assert ended.is_remote
    assert (ended.outcome.state, ended.outcome.files) == ("trained", undisturbed.files)
    files.receive("r1", places)
    made = load_file(places.folder / ended.outcome.artifact / "transform.safetensors")
    assert made["weight"].shape == (8, 8)
    assert "done" in places.log.read_text()
    assert done(places) == 20
    assert not yard.broker.connection.keys("ragd:files:*")
    assert (yard.folder / "elsewhere" / "away" / "r1").is_dir()  # for a day, in case the answer is lost


def test_a_run_whose_files_do_not_fit_fails_with_the_reason(yard: Yard) -> None:
    places = make_run(yard.folder / "daemon" / "runs")
    files = RunFiles(yard.broker)

    def damaged(wanted: RunWantsFiles) -> None:
        files.send(places, wanted.lacks)
        (part, *_) = sorted(yard.broker.connection.keys("ragd:files:r1:out:*"))
        yard.broker.connection.set(part, b"other")

    yard.answers = damaged
    yard.queues.train("r1", "/nowhere/r1")
    yard.start("elsewhere")
    outcome = yard.ends().outcome
    assert (outcome.state, outcome.error) == ("failed", "payload_invalid")


@pytest.mark.filterwarnings("ignore")
def test_a_worker_starts_runs_through_submitit_when_told(yard: Yard, undisturbed: RunOutcome) -> None:
    pytest.importorskip("submitit")
    publish(yard.broker, settings(TrainSettings(launcher="slurm")))
    places = make_run(yard.folder / "state" / "runs")
    yard.queues.train("r1", str(places.folder))
    yard.start(SLURM_LAUNCHER_EXECUTOR="local")
    outcome = yard.ends().outcome
    assert (outcome.state, outcome.files) == ("trained", undisturbed.files)
    assert list((places.folder / "submitit").iterdir())


def test_a_launcher_that_is_not_there_fails_the_run(yard: Yard) -> None:
    publish(yard.broker, settings(TrainSettings(launcher="moon")))
    places = make_run(yard.folder / "state" / "runs")
    yard.queues.train("r1", str(places.folder))
    yard.start()
    outcome = yard.ends().outcome
    assert (outcome.error, outcome.reason) == ("launch_failed", "there is no launcher 'moon' here")
