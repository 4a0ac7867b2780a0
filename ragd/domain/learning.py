"""The words of training: what is trained, on what data, by whom, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:  # the command line speaks of roles, and must not wait for numpy
    from ragd.domain.index import HalfVectors, Ids, Vectors


class Role(StrEnum):
    """What a model is for; one champion serves in each role."""

    INDEX = "index"
    QUERY_ADAPTER = "query-adapter"
    ENCODER = "encoder"
    GENERATOR = "generator"


class Data(StrEnum):
    """What a trainer learns from: stored vectors, chunk texts, queries with relevant chunks, prompts with answers."""

    VECTORS = "vectors"
    TEXTS = "texts"
    PAIRS = "pairs"
    PROMPTS = "prompts"


@dataclass(frozen=True, slots=True)
class Needs:
    """The kind of data a trainer needs and the least number of examples with which it is worth a run."""

    data: Data
    least: int = 1


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk of the snapshot: `text` is what the encoder sees (headings, then text); `document` its document's id."""

    id: int
    document: int
    collection: str
    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Pair:
    """A query with chunks that answer it and, perhaps, chunks that do not but look as if they did.

    `positives` and `negatives` are chunk ids of the snapshot. `weight` corrects for how likely the pair was to be
    seen at all (1 where nobody chose by position). `score` is a graded label where there is one. `source` is
    `file`, `journal` or `heading`; `at` is Unix seconds, 0 when unknown.
    """

    query: str
    positives: tuple[int, ...]
    negatives: tuple[int, ...] = ()
    weight: float = 1.0
    score: float | None = None
    source: str = "file"
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt with the answer that a generator should give."""

    prompt: str
    answer: str


class Snapshot(Protocol):
    """The frozen data of one run, read from its folder; nothing that is held out is in it."""

    @property
    def chunks(self) -> Sequence[Chunk]:
        """Live chunks in the order of `vectors`; a sample where the corpus is very large."""
        ...

    @property
    def vectors(self) -> HalfVectors:
        """The serving encoder's vectors of the chunks, shape (len(chunks), dimension), float16, unit length."""
        ...

    @property
    def pairs(self) -> Sequence[Pair]:
        """Training pairs; empty when the trainer asked for none."""
        ...

    @property
    def validation_pairs(self) -> Sequence[Pair]:
        """Pairs to choose settings by: not trained on, and not those the gate asks."""
        ...

    @property
    def prompts(self) -> Sequence[Prompt]:
        """Training prompts with answers."""
        ...

    def rows(self, chunk_ids: Sequence[int]) -> Ids:
        """Where these chunks stand in `chunks` and `vectors`, shape (n,). Raises KeyError for an unknown id."""
        ...


@dataclass(frozen=True, slots=True)
class Resources:
    """What one run may use: threads, MiB of memory and of disk, processes, seconds; `device` is `cpu` or `cuda`."""

    threads: int = 1
    memory_mb: int = 4096
    disk_mb: int = 4096
    processes: int = 64
    timeout_s: float = 3600.0
    device: str = "cpu"


@runtime_checkable
class Run(Protocol):
    """What a trainer is given: frozen data, a folder of its own, ways to report, a stop flag, resources, a seed."""

    @property
    def id(self) -> str:
        """The run's name, unique for ever."""
        ...

    @property
    def folder(self) -> Path:
        """The only folder the trainer may write in; it survives a kill, and is there again when the run resumes."""
        ...

    @property
    def checkpoints(self) -> Path:
        """A folder inside `folder` for what a resumed run goes on from; empty at the first start."""
        ...

    @property
    def data(self) -> Snapshot:
        """The frozen data."""
        ...

    @property
    def model(self) -> Path:
        """The folder of the model that serves in this role (encoder or generator), as sentence-transformers or
        transformers saves it. Raises ModelUnavailable when the role has no local model."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """The `options` of this trainer in `ragd.toml`: plain values."""
        ...

    @property
    def resources(self) -> Resources:
        """What the run may use; libraries are already limited to `threads`."""
        ...

    @property
    def seed(self) -> int:
        """Recorded with the run; equal seeds and data should give equal results."""
        ...

    @property
    def is_stopping(self) -> bool:
        """True when the run should save a checkpoint and return or raise soon."""
        ...

    def progress(self, done: int, total: int, **metrics: float) -> None:
        """Reports a step: `done` of `total`, with named numbers such as `loss`.

        Raises TrainingFailed when a metric is not a finite number: a run with a NaN loss ends here.
        """
        ...

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Query vectors by the serving encoder (without adapter), shape (n, dimension), float32, unit length."""
        ...

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """Document vectors by the serving encoder, shape (n, dimension), float32, unit length."""
        ...


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a run made: a folder inside the run's folder that holds safetensors, ONNX and JSON files only.

    What it must hold depends on the trainer's role: see `docs/howto/write-a-trainer.md`. `facts` are numbers and
    words about it for the model's card, such as `trainable_weights`.
    """

    folder: Path
    facts: Mapping[str, float | int | str] = field(default_factory=dict)


@runtime_checkable
class Trainer(Protocol):
    """Trains one kind of part; offered by plugins. Class attributes suffice for everything but `train`."""

    @property
    def name(self) -> str:
        """A short name, unique among all trainers: `query_adapter`."""
        ...

    @property
    def role(self) -> Role:
        """What it trains."""
        ...

    @property
    def needs(self) -> Needs:
        """What it must have to be worth a run."""
        ...

    @property
    def cost_s(self) -> float:
        """A first guess of its seconds per thousand examples; its own runs teach better."""
        ...

    def train(self, run: Run) -> Artifact:
        """Trains and returns what was made. Raising anything marks the run as failed with the error as its reason."""
        ...
