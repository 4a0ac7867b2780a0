"""What every trainer, reader, policy and tracker must do: one line in an author's test, or `ragd plugins check`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ragd.domain.deciding import Observed, Reason, TriggerPolicy, Window
from ragd.domain.errors import ReadFailed
from ragd.domain.index import EncoderSpec
from ragd.domain.learning import Resources, Trainer
from ragd.domain.plugins import Launched, Launcher, Tracker
from ragd.domain.ports import EncoderKind, Reader
from ragd.hooks.offers import check_offer
from ragd.testing.clauses import Outcome, must, tried, working_in
from ragd.testing.trainer_contract import trainer_outcomes


def check_trainer(trainer: Trainer, folder: Path, *, settings: Mapping[str, Any] | None = None) -> None:
    """Trains several times over a small corpus in `folder`, and asserts what every trainer must do.

    It writes in its own folder only, reports progress, stops when asked, goes on after it was killed, gives the same
    for the same seed, and makes what its role serves. Raises AssertionError naming every clause that does not hold.
    `settings` are the trainer's options: make its runs short by them.
    """
    _assert(trainer_outcomes(trainer, folder, settings=settings))


def check_reader(reader: Reader, samples: Mapping[str, bytes]) -> None:
    """Reads samples (bytes by suffix, such as ".sub") and broken ones; asserts what every reader must do."""
    _assert(reader_outcomes(reader, samples))


def check_policy(policy: TriggerPolicy) -> None:
    """Asks a policy about quiet and about busy times, twice; asserts that it is quick and says the same."""
    _assert(policy_outcomes(policy))


def check_encoder_kind(kind: EncoderKind, spec: EncoderSpec, models: Path) -> None:
    """Opens an encoder of a kind and encodes with it; asserts shapes, unit length, order, and that it is repeatable."""
    _assert(encoder_outcomes(kind, spec, models))


def check_launcher(launcher: Launcher, folder: Path) -> None:
    """Starts short commands in `folder`: one that ends well, one that fails, one that is stopped."""
    _assert(launcher_outcomes(launcher, folder))


def check_tracker(tracker: Tracker, folder: Path) -> None:
    """Tells a tracker of a run that went well and one that failed; asserts that it raises nothing."""
    _assert(tracker_outcomes(tracker, folder))


def reader_outcomes(reader: Reader, samples: Mapping[str, bytes]) -> Iterator[Outcome]:
    """The clauses of a reader's contract."""
    yield (offered := tried("offers what a reader must", lambda: check_offer("ragd_readers", reader)))
    if offered.problem:
        return
    for suffix, data in samples.items():
        yield tried(f"reads a {suffix or 'nameless'} file", partial(_check_read, reader, data, suffix))
    suffixes = sorted(reader.suffixes)
    yield tried("refuses what it cannot read with a reason", lambda: _check_broken(reader, suffixes))


def policy_outcomes(policy: TriggerPolicy) -> Iterator[Outcome]:
    """The clauses of a trigger policy's contract."""
    yield (offered := tried("offers what a policy must", lambda: check_offer("ragd_trigger_policies", policy)))
    if not offered.problem:
        yield tried("decides by what was observed alone, within a second", lambda: _check_decisions(policy))


def encoder_outcomes(kind: EncoderKind, spec: EncoderSpec, models: Path) -> Iterator[Outcome]:
    """The clauses of the contract of a kind of encoder."""
    yield (offered := tried("offers what a kind of encoder must", lambda: check_offer("ragd_encoders", kind)))
    if not offered.problem:
        yield tried("encodes texts as unit vectors", lambda: _check_encoding(kind, spec, models))


def launcher_outcomes(launcher: Launcher, folder: Path) -> Iterator[Outcome]:
    """The clauses of a launcher's contract."""
    yield (offered := tried("offers what a launcher must", lambda: check_offer("ragd_launchers", launcher)))
    if not offered.problem:
        yield tried("starts, follows and stops a process", lambda: _check_launching(launcher, folder))


def tracker_outcomes(tracker: Tracker, folder: Path) -> Iterator[Outcome]:
    """The clauses of a tracker's contract; it runs in `folder`."""
    yield (offered := tried("offers what a tracker must", lambda: check_offer("ragd_trackers", tracker)))
    if not offered.problem:
        yield tried("hears of runs", lambda: _check_tracking(tracker, folder))


def _assert(outcomes: Iterable[Outcome]) -> None:
    broken = [outcome for outcome in outcomes if outcome.problem]
    lines = [f"{outcome.clause}: {outcome.problem} ({outcome.hint})".removesuffix(" ()") for outcome in broken]
    must(not broken, "\n".join(lines))


def _check_read(reader: Reader, data: bytes, suffix: str) -> None:
    found, again = reader.read(data, suffix), reader.read(data, suffix)
    must(isinstance(found.text, str), f"text is a {type(found.text).__name__}")
    must(found.text.strip(), "it found no text")
    must(found == again, "the second time it read something else")


def _check_broken(reader: Reader, suffixes: list[str]) -> None:
    for data in (
        b"",
        b"\0" * 64,
        bytes(range(256)) * 4,
        b"PK\x03\x04broken",
        "世界\ud800".encode("utf-8", "surrogatepass"),
    ):
        try:
            reader.read(data, suffixes[0])
        except ReadFailed as error:
            must(str(error) and "\n" not in str(error), "a reason is one line")


def _check_decisions(policy: TriggerPolicy) -> None:
    quiet = Observed(at=1e9, live_chunks=0, changed_chunks=0, examples=0)
    window = Window("documents", 1e9, 200, 0.4, 90.0, 0.001, True)
    busy = replace(quiet, live_chunks=9000, changed_chunks=4000, examples=800, document_windows=(window,) * 3)
    judged = replace(busy, answers=50, bad_share=0.9, last_run_at=0.0, centroid_cosine=0.5)
    for observed in (quiet, busy, judged):
        started = time.monotonic()
        reason: Any = policy.decide(observed)
        took_s = time.monotonic() - started
        must(isinstance(reason, Reason), f"decide returned {type(reason).__name__}, not a Reason")
        must(type(reason.holds) is bool, f"holds is {reason.holds!r}, neither True nor False")
        must(reason.text, "it gives no sentence with its figures")
        must(took_s < 1, f"it took {took_s:.1f} s")
        must(policy.decide(observed) == reason, "the second time it decided otherwise")


def _check_tracking(tracker: Tracker, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with working_in(folder):
        for run_id, state in (("run-1", "done"), ("run-2", "failed")):
            tracker.started(run_id, {"trainer": "mine", "role": "encoder", "seed": 7, "examples": 100})
            for step in range(3):
                tracker.logged(run_id, step, {"loss": 1.0 / (step + 1)})
            tracker.ended(run_id, state, {"cpu_s": 1.5, "reason": ""})


def _check_encoding(kind: EncoderKind, spec: EncoderSpec, models: Path) -> None:
    encoder = kind.open(spec, models)
    try:
        texts = ["the mass of the bridge", "", "a text that is not the other"]
        vectors, backwards = encoder.encode(texts), encoder.encode(texts[::-1])
        shape = (len(texts), encoder.space.dimension)
        must(vectors.shape == shape and vectors.dtype == np.float32, f"it gave {vectors.dtype} of {vectors.shape}")
        must(np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-3), "vectors are not of unit length")
        must(np.allclose(vectors, backwards[::-1], atol=1e-4), "the order of the texts changes their vectors")
        must(encoder.encode([]).shape == (0, shape[1]), "no texts should give no rows")
        must(encoder.encode_query(texts[0]).shape == (shape[1],), "a query should give one vector")
        must(kind.open(spec, models).space == encoder.space, "opened again it names another space")
    finally:
        encoder.close()


def _check_launching(launcher: Launcher, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for code, status in (("pass", 0), ("raise SystemExit(3)", 3)):
        launched = launcher.launch([sys.executable, "-c", code], folder, Resources(timeout_s=60.0))
        must(_ended(launched) == status, f"a command that ends with {status} was said to end with {launched.poll()}")
    sleeping = launcher.launch([sys.executable, "-c", "import time; time.sleep(60)"], folder, Resources(timeout_s=60.0))
    must(sleeping.poll() is None, "a command that runs was said to have ended")
    sleeping.stop()
    sleeping.stop()
    must(_ended(sleeping) not in (None, 0), "a command that was stopped was said to have ended well")
    must(sleeping.cost().cpu_s >= 0, "its cost is below nothing")


def _ended(launched: Launched) -> int | None:
    """The exit status within half a minute."""
    deadline = time.monotonic() + 30
    while launched.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    return launched.poll()
