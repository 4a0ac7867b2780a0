"""Runs for the tests: a folder with a real snapshot and a request for the plugin beside this file."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ragd.domain.index import EncoderSpec
from ragd.domain.learning import Chunk, Resources, Role
from ragd.domain.training import PluginSource, RunOutcome, RunPlaces, RunRequest
from ragd.learn.records import read_outcome, write_request
from ragd.learn.snapshot import SnapshotParts, write_snapshot

PLUGIN = Path(__file__).with_name("runs_plugin.py")


def make_run(
    runs: Path,
    run_id: str = "r1",
    *,
    trainer: str = "descent",
    resources: Resources | None = None,
    chunks: int = 32,
    models: Path | None = None,
    model_folder: str = "",
    **settings: Any,
) -> RunPlaces:
    """A run that is ready to train, as the daemon prepares it."""
    places = RunPlaces(runs / run_id)
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(chunks, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    parts = SnapshotParts(
        [Chunk(i, i, "docs", f"{i}.md", f"text {i}") for i in range(chunks)], vectors.astype(np.float16)
    )
    places.folder.mkdir(parents=True)
    write_snapshot(places.data, parts, {"seed": 1})
    sha256 = hashlib.sha256(PLUGIN.read_bytes()).hexdigest()
    request = RunRequest(
        run_id,
        trainer,
        Role.QUERY_ADAPTER,
        PluginSource("runs_plugin", "file", str(PLUGIN), sha256),
        seed=1,
        resources=resources or Resources(timeout_s=60.0),
        encoder=EncoderSpec(),
        models=str(models or runs.parent / "models"),
        model_folder=model_folder,
        settings=settings,
    )
    write_request(places, request)
    return places


def train(places: RunPlaces, *, timeout_s: float = 60.0) -> RunOutcome:
    """The outcome of the run's process, started as a launcher starts it."""
    subprocess.run([*command(places)], check=False, timeout=timeout_s, env=environment())
    outcome = read_outcome(places)
    assert outcome is not None, places.log.read_text()
    return outcome


def command(places: RunPlaces) -> list[str]:
    return [sys.executable, "-P", "-m", "ragd.flow.train", str(places.folder)]


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("RAGD_")}
