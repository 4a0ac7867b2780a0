"""A real daemon changes its encoder under load: nothing fails, nothing is lost, and one command takes it back."""

from __future__ import annotations

import hashlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragd.catalog.models import Models, NewModel
from ragd.catalog.store import Store
from ragd.cli.client import Client
from ragd.domain.errors import RagdError
from ragd.domain.index import EncoderSpec
from ragd.domain.learning import Role
from ragd.embed.encoder import open_encoder
from ragd.hooks.artifacts import save_transform
from ragd.learn.artifacts import Offer, accept
from ragd.testing.tiny import tiny_model
from tests.integration.conftest import Place

pytestmark = pytest.mark.slow
DIMENSION = 32
ANIMALS = ("otter", "beaver", "fox", "heron", "mole", "pike", "owl", "hare", "wren", "stoat")
TEXTS = {
    f"{animal}.md": f"# {animal}\n\nThe {animal} lives by the river number {n}.\n" for n, animal in enumerate(ANIMALS)
}


def candidate(place: Place) -> None:
    """Puts a second encoder, with its map into the first one's space, into the registry of a state that never ran."""
    models = place.state / "models"
    run = place.folder / "run"
    configured = tiny_model(place.folder / "configured")
    artefact = tiny_model(run / "artifact", seed=1)
    place.environment["RAGD_EMBED__MODEL"] = str(configured)
    old, new = (open_encoder(EncoderSpec(model=str(folder), threads=1), models) for folder in (configured, artefact))
    texts = [f"{text} {n}" for text in TEXTS.values() for n in range(20)]
    weight = np.linalg.lstsq(new.encode(texts), old.encode(texts), rcond=None)[0].T
    save_transform(run / "map", "affine", weight=weight, bias=np.zeros(DIMENSION))
    paths = [path for path in artefact.rglob("*") if path.is_file()]
    files = {p.relative_to(artefact).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}
    stored = accept(Offer(artefact, run, Role.ENCODER, "lora", files, DIMENSION, {"map": run / "map"}), models, 1)
    store = Store(place.state)
    Models(store).add(
        NewModel(
            Role.ENCODER,
            "lora",
            1,
            stored.folder,
            stored.files,
            stored.sha256,
            stored.size_bytes,
            space=new.space.fingerprint,
            base=old.space.fingerprint,
        )
    )
    store.close()
    old.close()
    new.close()


@pytest.fixture(scope="module")
def place(places: Callable[[], Place]) -> Iterator[Place]:
    made = places()
    (made.state / "models").unlink()
    (made.state / "models").mkdir()
    candidate(made)
    folder = made.folder / "kb"
    folder.mkdir()
    for name, text in TEXTS.items():
        (folder / name).write_text(text)
    made.start("kb")
    made.until_indexed(len(TEXTS))
    yield made
    made.close()


class Load:
    """Searches by meaning, again and again, in a thread of its own."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._stop = threading.Event()
        self.asked = 0
        self.failures: list[str] = []

    def __enter__(self) -> Load:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        client = Client(self._socket)
        while not self._stop.is_set():
            animal = ANIMALS[self.asked % len(ANIMALS)]
            self.asked += 1
            try:
                answer: dict[str, Any] = client.search(q=f"the {animal} by the river", mode="dense")
                if not answer["hits"] or answer["notes"]:
                    self.failures.append(str(answer["notes"]))
            except RagdError as error:
                self.failures.append(str(error))
        client.close()


@contextmanager
def loaded(place: Place) -> Iterator[Load]:
    """A load that must not fail."""
    with Load(place.state / "ragd.sock") as load:
        yield load
    assert load.failures == []
    assert load.asked > 0


def model(place: Place) -> dict[str, Any]:
    found: dict[str, Any] = place.client.status()["model"]
    return found


def test_a_new_encoder_goes_live_under_load_and_comes_back_within_a_second(place: Place) -> None:
    assert (model(place)["name"], model(place)["stage"]) == ("configured", "serving")
    with loaded(place):
        place.client.learn("POST", "models/promote", model="lora/1", force=True, timeout_s=60)
        now = model(place)
        assert now["name"] == "lora/1"
        assert now["map"] or now["stage"] == "serving"
        (place.folder / "kb" / "newt.md").write_text("# newt\n\nThe newt came while the space was filled.\n")
        place.until(lambda: model(place)["stage"] == "serving")
        place.finds(["newt.md"], "newt space filled", mode="words")
        assert "newt.md" in place.paths("newt", mode="dense", limit=20)
        assert len(place.client.status()["generations"]) == 2
        assert place.client.verify()["clean"]
        begun = time.monotonic()
        place.client.learn("POST", "models/rollback", role="encoder")
        assert time.monotonic() - begun < 1.0
        assert model(place)["name"] == "configured"
        assert "newt.md" in place.paths("newt", mode="dense", limit=20)


def test_a_champion_survives_kill_9(place: Place) -> None:
    place.client.learn("POST", "models/promote", model="lora/1", force=True, timeout_s=60)
    place.stop(by=signal.SIGKILL)
    place.start("kb")
    assert model(place)["name"] == "lora/1"
    place.until_indexed(len(TEXTS) + 1)
    place.until(lambda: model(place)["stage"] == "serving")
    assert model(place)["map"] is False
    assert "newt.md" in place.paths("newt", mode="dense", limit=20)
    place.stop()
    assert "newt.md" in place.ragd("search", "--mode", "dense", "-n", "20", "newt")
    place.start("kb")
    assert model(place)["stage"] == "serving"
