"""The encoders of an embed worker: one for each space that the daemon published, opened when a batch asks for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ragd.domain.errors import ModelMismatch
from ragd.domain.index import EncoderSpec
from ragd.domain.ports import Encoder
from ragd.jobs.settings import WorkerModel


class Encoders:
    """Open encoders by fingerprint. They outlive a change of the settings; those no longer published are closed."""

    def __init__(self, open_encoder: Callable[[EncoderSpec], Encoder]) -> None:
        self._open_encoder = open_encoder
        self._published: dict[str, WorkerModel] = {}
        self._open: dict[str, Encoder] = {}

    def publish(self, models: Sequence[WorkerModel]) -> None:
        """What may be asked for from now on; the first, which serves, is opened at once.

        Raises ModelUnavailable, or ModelMismatch when the model here is not the daemon's.
        """
        self._published = {model.space.fingerprint: model for model in models}
        for fingerprint in self._open.keys() - self._published.keys():
            self._open.pop(fingerprint).close()
        if models:
            self(models[0].space.fingerprint)

    def __call__(self, fingerprint: str) -> Encoder:
        """The encoder of this space. Raises ModelMismatch when it is not published, else as `publish`."""
        if fingerprint in self._open:
            return self._open[fingerprint]
        model = self._published.get(fingerprint)
        if model is None:
            raise ModelMismatch(
                f"a batch is for the model {fingerprint}; the daemon published {', '.join(self._published) or 'none'}",
                hint="it goes out again when the daemon has published that model",
            )
        encoder = self._open_encoder(model.spec)
        if encoder.space.fingerprint != fingerprint:
            encoder.close()
            raise ModelMismatch(
                f"the model {encoder.space.model} here is {encoder.space.fingerprint}, "
                f"the daemon's {model.space.model} is {fingerprint}",
                hint="copy the daemon's model folder to this machine, at the same path",
            )
        self._open[fingerprint] = encoder
        return encoder

    def close(self) -> None:
        """Closes all; safe to call twice."""
        while self._open:
            self._open.popitem()[1].close()
