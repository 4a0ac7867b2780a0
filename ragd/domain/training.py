"""One run between the daemon, its worker and its child: the request, the folder it lives in, and what came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ragd.domain.index import EncoderSpec
from ragd.domain.learning import Needs, Resources, Role


@dataclass(frozen=True, slots=True)
class RunPlaces:
    """Where things lie in the folder of one run (`runs/<id>/` in the state folder).

    The trainer may write in `work` only. `heldout` is written by the daemon after training has ended: what is held
    out never lies where a trainer could read it.
    """

    folder: Path

    @property
    def request(self) -> Path:
        """The RunRequest as JSON."""
        return self.folder / "request.json"

    @property
    def preparation(self) -> Path:
        """The Preparation as JSON: for ragd's own two processes, before and after the trainer's."""
        return self.folder / "preparation.json"

    @property
    def data(self) -> Path:
        """The frozen snapshot: manifest.json, vectors.npy, and chunks, pairs, validation and prompts as .jsonl."""
        return self.folder / "data"

    @property
    def work(self) -> Path:
        """The trainer's own folder."""
        return self.folder / "work"

    @property
    def checkpoints(self) -> Path:
        """What a resumed run goes on from."""
        return self.work / "checkpoints"

    @property
    def log(self) -> Path:
        """What the child printed."""
        return self.folder / "log.txt"

    @property
    def progress(self) -> Path:
        """One JSON line a report: at, done, total, metrics."""
        return self.folder / "progress.jsonl"

    @property
    def stop(self) -> Path:
        """A file that asks the child to stop, by being there."""
        return self.folder / "stop"

    @property
    def outcome(self) -> Path:
        """The RunOutcome as JSON, written last."""
        return self.folder / "outcome.json"

    @property
    def heldout(self) -> Path:
        """Held-out queries and what is relevant to them, for the evaluation."""
        return self.folder / "heldout"

    @property
    def exports(self) -> Path:
        """Graphs made of a new encoder while it is evaluated."""
        return self.folder / "exports"

    @property
    def scores(self) -> Path:
        """What the evaluation measured: scores of champion and challenger, query by query."""
        return self.folder / "scores.json"

    @property
    def encoded(self) -> Path:
        """Vectors of chunks that the evaluation of an encoder made: a promotion starts with them."""
        return self.folder / "encoded.safetensors"

    @property
    def report(self) -> Path:
        """The gate's report as a page (Markdown)."""
        return self.folder / "report.md"


@dataclass(frozen=True, slots=True)
class PluginSource:
    """Where a plugin's code is: `bundled` and `installed` ones by module, a `file` by path and pinned hash."""

    name: str
    source: str
    path: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """Everything that a run's process needs to know; plain values and no secret.

    `encoder` opens the serving encoder, `adapter` is the folder of the serving query adapter ("" for none), `models`
    the folder of artefacts, `model_folder` what `Run.model` gives ("" when the role has none).
    """

    id: str
    trainer: str
    role: Role
    plugin: PluginSource
    seed: int
    resources: Resources
    encoder: EncoderSpec
    models: str
    model_folder: str = ""
    adapter: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run's process ended: `state` is `trained`, `stopped` or `failed`.

    `artifact` is the artefact's folder relative to the run's, `files` its files (relative to it) with SHA-256 in hex.
    `train_s` is the time inside `train`, of this and of earlier attempts; `loss` the last one reported. `error` is the
    code of the RagdError, "" for a bug of the plugin.
    """

    state: str
    artifact: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    examples: int = 0
    train_s: float = 0.0
    cpu_s: float = 0.0
    gpu_s: float = 0.0
    peak_memory_mb: float = 0.0
    loss: float | None = None
    error: str = ""
    reason: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Preparation:
    """What the making of a run's data, and later its evaluation, need to know beside the request; no secret.

    `state` is the state folder, `pairs` and `prompts` are files and folders of examples, `heldout_share` is the share
    of documents whose queries are held out. An evaluation encodes at most `most_encoded` chunks with a new encoder
    and asks at most `most_queries` held-out queries. `nprobe` is for index fits.
    """

    state: str
    needs: Needs
    pairs: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    has_journal: bool = False
    heldout_share: float = 0.3
    metric: str = "ndcg@10"
    most_encoded: int = 5_000
    most_queries: int = 2_000
    nprobe: int = 16
