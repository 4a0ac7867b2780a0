"""Stored models as the daemon opens them: proven by their hashes, checked against their space, each encoder once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ragd.catalog.models import Model
from ragd.domain.errors import ArtifactInvalid, ModelMismatch
from ragd.domain.index import EmbeddingSpace, EncoderSpec, Vectors
from ragd.domain.ports import Encoder
from ragd.embed.encoder import stored_spec
from ragd.embed.transform import SETTINGS_NAME, QueryTransform
from ragd.index.centroids import CENTROIDS_NAME, read_centroids
from ragd.learn.artifacts import verified

BRIDGE = "map"


class Shelf:
    """Opens the models of the registry below the folder `models`; safe to use from any thread.

    A model of None is the configured one, whose encoder is open already and is not closed here.
    """

    def __init__(
        self, models: Path, spec: EncoderSpec, configured: Encoder, open_encoder: Callable[[EncoderSpec], Encoder]
    ) -> None:
        self._models = models.absolute()  # workers have folders of their own
        self._spec = spec
        self._configured = configured
        self._open_encoder = open_encoder
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._open: dict[int, Encoder] = {}

    @property
    def configured(self) -> EmbeddingSpace:
        """The space of the configured model: what every other descends from."""
        return self._configured.space

    def folder(self, model: Model) -> Path:
        """Where the model's files lie."""
        return self._models / model.folder

    def spec(self, model: Model | None) -> EncoderSpec:
        """How a worker opens this encoder. Raises ArtifactInvalid."""
        return self._spec if model is None else stored_spec(self.folder(model), self._spec)

    def encoder(self, model: Model | None) -> Encoder:
        """The encoder, opened now unless it is open: for queries, with one thread. It may take seconds.

        Raises ArtifactInvalid when a file is missing or changed, ModelUnavailable or ModelMismatch when it cannot be
        opened or does not make the space that it was kept for.
        """
        if model is None:
            return self._configured
        with self._lock:
            found = self._open.get(model.id)
        return found if found is not None else self._opened(model)

    def _opened(self, model: Model) -> Encoder:
        # Opening takes seconds: meanwhile what is open can be had, and closed.
        with self._opening:
            with self._lock:
                if model.id in self._open:
                    return self._open[model.id]
            self.proven(model)
            encoder = self._open_encoder(replace(self.spec(model), threads=1))
            if model.space and encoder.space.fingerprint != model.space:
                encoder.close()
                raise ModelMismatch(
                    f"{model.label} makes the space {encoder.space.fingerprint}, not {model.space}",
                    hint="promote another model, or roll back: `ragd models rollback encoder`",
                )
            with self._lock:
                self._open[model.id] = encoder
            return encoder

    def proven(self, model: Model) -> Path:
        """The model's folder, every file in it as it was kept. Raises ArtifactInvalid."""
        return verified(self.folder(model), model.files)

    def adapter(self, model: Model, dimension: int) -> QueryTransform:
        """The query adapter, read now. Raises ArtifactInvalid or ModelUnavailable."""
        return QueryTransform.read(self.proven(model), dimension)

    def centroids(self, model: Model, dimension: int) -> Vectors:
        """The centroids of an index fit, (lists, dimension). Raises ArtifactInvalid or ModelUnavailable."""
        return read_centroids(self.proven(model) / CENTROIDS_NAME, dimension)

    def bridge(self, model: Model, came_from: str, to: EmbeddingSpace) -> QueryTransform | None:
        """The map from this encoder's queries into the space `to`; None when it has none that leads there.

        A map that does not name its target leads into `came_from`, the space of the model's parent. Raises
        ArtifactInvalid or ModelUnavailable when there is one that cannot be used.
        """
        folder = self.folder(model) / BRIDGE
        if f"{BRIDGE}/{SETTINGS_NAME}" not in model.files:
            return None
        try:
            said: Any = json.loads((folder / SETTINGS_NAME).read_bytes())
            target = said.get("space", came_from)
        except (OSError, ValueError, AttributeError, RecursionError) as error:
            raise ArtifactInvalid(f"{folder / SETTINGS_NAME} cannot be read: {error}", hint="train again") from error
        if target != to.fingerprint:
            return None
        return QueryTransform.read(folder, self.encoder(model).space.dimension, to.dimension)

    def close_others(self, wanted: Iterable[int], is_used: Callable[[Encoder], bool]) -> None:
        """Closes the encoders of models that are not wanted any more, once no search uses them."""
        keep = set(wanted)
        with self._lock:
            for model_id in [i for i, encoder in self._open.items() if i not in keep and not is_used(encoder)]:
                self._open.pop(model_id).close()

    def close(self) -> None:
        """Closes every encoder that was opened here; safe to call twice."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()
