"""What the daemon tells its workers, wherever they run: how to read and split, and which encoders to open."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import cast

from ragd.domain.errors import PayloadInvalid
from ragd.domain.index import EmbeddingSpace, EncoderSpec
from ragd.domain.training import PluginSource
from ragd.domain.work import ReadLimits, SplitPolicy
from ragd.jobs.broker import REVISION_KEY, SETTINGS_KEY, Broker
from ragd.jobs.payload import decode, encode


@dataclass(frozen=True, slots=True)
class WorkerModel:
    """One embedding space that texts are wanted in, and how to open its encoder."""

    spec: EncoderSpec
    space: EmbeddingSpace


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How train workers start runs and whom they tell; `plugins` are those that offer the launcher and the trackers."""

    launcher: str = "local"
    trackers: tuple[str, ...] = ()
    plugins: tuple[PluginSource, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Plain values and no secret: an endpoint's key reaches a worker by its environment only.

    `models` are of the live generations, the serving one first. `nice` (0 to 19) is how far embed workers stand back
    for other programs, and train workers with their runs; extract workers half as far. `stuck_s` is how many seconds
    one step of a job (a file, a slice of texts) may take until its worker is taken to hang.
    """

    limits: ReadLimits
    split: SplitPolicy
    models: tuple[WorkerModel, ...]
    nice: int = 0
    train: TrainSettings = field(default_factory=TrainSettings)
    stuck_s: float = 600.0


def publish(broker: Broker, settings: WorkerSettings) -> bytes:
    """Makes the settings known to every worker and returns their revision; workers with another start anew."""
    data = encode(settings)
    revision = hashlib.blake2b(data, digest_size=8).hexdigest().encode()
    with broker.reached() as client, client.pipeline() as pipe:
        pipe.set(SETTINGS_KEY, data)
        pipe.set(REVISION_KEY, revision)
        pipe.execute()
    return revision


def published(broker: Broker) -> tuple[WorkerSettings, bytes] | None:
    """The settings and their revision; None while no daemon has published any.

    Raises PayloadInvalid when a daemon of another version wrote them.
    """
    with broker.reached() as client:
        data, revision = cast("list[bytes | None]", client.mget(SETTINGS_KEY, REVISION_KEY))
    if data is None or revision is None:
        return None
    try:
        return decode(WorkerSettings, data), revision
    except PayloadInvalid as error:
        raise PayloadInvalid(
            f"the daemon's settings cannot be read: {error}", hint="run the same version of ragd as the daemon"
        ) from error
