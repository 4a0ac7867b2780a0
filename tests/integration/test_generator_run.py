"""A whole run of a bundled generator trainer in its own confined process, taught by an endpoint on the network."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ragd.domain.index import EncoderSpec
from ragd.domain.learning import Prompt, Resources, Role
from ragd.domain.training import PluginSource, RunPlaces, RunRequest
from ragd.embed.generator import load_generator
from ragd.learn.records import read_outcome, write_request
from ragd.learn.snapshot import SnapshotParts, write_snapshot
from ragd.testing.corpus import corpus
from ragd.testing.tiny import tiny_generator
from tests.unit.plugins.chat import KEY, ChatServer


@pytest.fixture
def server() -> Iterator[ChatServer]:
    chat = ChatServer()
    yield chat
    chat.close()


def prepared(folder: Path, **settings: str | int | float) -> RunPlaces:
    """A run of `generator_distill` that is ready to train."""
    places = RunPlaces(folder / "runs" / "r1")
    places.folder.mkdir(parents=True)
    vectors = np.zeros((0, 8), np.float16)
    write_snapshot(places.data, SnapshotParts((), vectors, prompts=corpus(4).prompts), {"seed": 1})
    request = RunRequest(
        "r1",
        "generator_distill",
        Role.GENERATOR,
        PluginSource("generator_distill", "bundled"),
        seed=1,
        resources=Resources(timeout_s=120.0),
        encoder=EncoderSpec(),
        models=str(folder / "models"),
        model_folder=str(tiny_generator(folder / "base")),
        settings={"max_tokens": 96, "steps": 4, "rank": 4, "learning_rate": 0.01, **settings},
    )
    write_request(places, request)
    return places


@pytest.mark.slow
def test_an_endpoint_teaches_a_confined_run_and_its_key_stays_in_the_environment(
    server: ChatServer, tmp_path: Path
) -> None:
    places = prepared(tmp_path, teacher=server.url, teacher_model="wise")
    command = [sys.executable, "-m", "ragd.flow.train", str(places.folder)]
    environment = {**os.environ, "RAGD_TEACHER_KEY": KEY, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=False, timeout=150, env=environment)
    outcome = read_outcome(places)
    assert outcome is not None
    assert (outcome.state, outcome.reason) == ("trained", "")
    assert outcome.facts["by"] == "texts"
    assert len(server.asked) == len({prompt.prompt for prompt in corpus(4).prompts})
    taught = [Prompt(prompt, f"aha {len(prompt)}") for prompt in server.asked]
    before, after = (load_generator(f) for f in (tmp_path / "base", places.folder / outcome.artifact))
    assert sum(after.loss(taught)) < sum(before.loss(taught))
    written = [path for path in places.folder.rglob("*") if path.is_file()]
    assert not any(KEY.encode() in path.read_bytes() for path in written)


@pytest.mark.slow
def test_a_teacher_that_refuses_the_key_fails_the_run_with_what_to_do(server: ChatServer, tmp_path: Path) -> None:
    places = prepared(tmp_path, teacher=server.url, teacher_model="wise")
    environment = {name: value for name, value in os.environ.items() if name != "RAGD_TEACHER_KEY"}
    subprocess.run(
        [sys.executable, "-m", "ragd.flow.train", str(places.folder)], check=False, timeout=150, env=environment
    )
    outcome = read_outcome(places)
    assert outcome is not None
    assert outcome.state == "failed"
    assert "answered 401" in outcome.reason
    assert "RAGD_TEACHER_KEY" in outcome.hint
