"""Which encoders a worker has open."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ragd.domain.errors import ModelMismatch, ModelUnavailable
from ragd.domain.index import EmbeddingSpace, EncoderSpec, Vectors
from ragd.jobs.encoders import Encoders
from ragd.jobs.settings import WorkerModel


class Named:
    """An encoder of the space that is named like its model; remembers whether it was closed."""

    def __init__(self, name: str) -> None:
        self.space = EmbeddingSpace(name, 4, name, 16)
        self.is_closed = False

    def encode(self, texts: Sequence[str]) -> Vectors:
        return np.zeros((len(texts), 4), np.float32)

    def encode_query(self, text: str) -> Vectors:
        return np.zeros(4, np.float32)

    def close(self) -> None:
        self.is_closed = True


class Shelf:
    """Opens models by name and keeps all it ever opened."""

    def __init__(self) -> None:
        self.opened: list[Named] = []
        self.gone: set[str] = set()

    def open(self, spec: EncoderSpec) -> Named:
        if spec.model in self.gone:
            raise ModelUnavailable(f"{spec.model} is missing")
        self.opened.append(Named(spec.model))
        return self.opened[-1]


def model(name: str, fingerprint: str = "") -> WorkerModel:
    return WorkerModel(EncoderSpec(model=name), EmbeddingSpace(fingerprint or name, 4, name, 16))


def test_the_serving_encoder_is_opened_at_once_and_others_when_a_batch_asks_for_them() -> None:
    shelf = Shelf()
    encoders = Encoders(shelf.open)
    encoders.publish([model("old"), model("new")])
    assert [each.space.model for each in shelf.opened] == ["old"]
    assert encoders("new").space.model == "new"
    assert encoders("new") is shelf.opened[1]
    assert encoders("old") is shelf.opened[0]


def test_other_settings_close_only_what_is_no_longer_published() -> None:
    shelf = Shelf()
    encoders = Encoders(shelf.open)
    encoders.publish([model("old"), model("new")])
    encoders("new")
    encoders.publish([model("new")])
    assert [each.is_closed for each in shelf.opened] == [True, False]
    with pytest.raises(ModelMismatch, match="for the model old; the daemon published new"):
        encoders("old")
    encoders.close()
    assert all(each.is_closed for each in shelf.opened)


def test_a_model_that_is_another_here_is_refused_and_closed() -> None:
    shelf = Shelf()
    encoders = Encoders(shelf.open)
    with pytest.raises(ModelMismatch, match="the daemon's old is expected"):
        encoders.publish([model("old", fingerprint="expected")])
    assert shelf.opened[0].is_closed


def test_a_model_that_is_missing_here_is_tried_again_at_the_next_batch() -> None:
    shelf = Shelf()
    encoders = Encoders(shelf.open)
    encoders.publish([model("old"), model("new")])
    shelf.gone.add("new")
    with pytest.raises(ModelUnavailable):
        encoders("new")
    shelf.gone.clear()
    assert encoders("new").space.model == "new"
