"""The words of the model side: what is trained, on what data, at what cost, whether it won, and who serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

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


@dataclass(frozen=True, slots=True)
class Window:
    """One look at what came in lately, against a reference: kind `documents` or `queries`, and what was measured.

    `novelty` is the share of items farther from the reference than its own calibrated quantile, `histogram` the
    chi-square statistic of list counts, `mmd_p` the p-value of the permutation test where it was asked. `cost_s`
    is what the look cost.
    """

    kind: str
    at: float
    size: int
    novelty: float
    histogram: float
    mmd_p: float | None
    is_drift: bool
    cost_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Observed:
    """What is known when a trigger is asked, as of `at` (Unix seconds); everything since the trainer's last run.

    `examples` is how many the trainer would get now. Windows are newest first. `bad_share` is None without
    feedback, `centroid_cosine` (fit 1.0) None for an index that is not fitted. `last_run_at` and `last_change_at`
    are None when there was none.
    """

    at: float
    live_chunks: int
    changed_chunks: int
    examples: int
    new_examples: int = 0
    document_windows: tuple[Window, ...] = ()
    query_windows: tuple[Window, ...] = ()
    answers: int = 0
    bad_share: float | None = None
    centroid_cosine: float | None = None
    last_run_at: float | None = None
    started_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Reason:
    """One condition and how it stands: its name, whether it holds, and one sentence with the figures."""

    condition: str
    holds: bool
    text: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a trainer fires now, and why or why not. `wait_until` (Unix seconds) is when it may, where known."""

    trainer: str
    at: float
    fires: bool
    reasons: tuple[Reason, ...]
    wait_until: float | None = None


@runtime_checkable
class TriggerPolicy(Protocol):
    """A plugin's own rule for when training pays; a pure function of what was observed."""

    @property
    def name(self) -> str: ...

    def decide(self, observed: Observed) -> Reason:
        """One reason: whether it fires, and why. It has a second; a policy that raises or hangs does not fire."""
        ...


@dataclass(frozen=True, slots=True)
class Cost:
    """What work took: seconds of CPU and GPU."""

    cpu_s: float = 0.0
    gpu_s: float = 0.0


@dataclass(frozen=True, slots=True)
class TrainerFacts:
    """A trainer as the daemon knows it, without its code; `plugin` is the name of the plugin that offers it."""

    name: str
    role: Role
    needs: Needs
    cost_s: float
    plugin: str


@dataclass(frozen=True, slots=True)
class PluginFacts:
    """One plugin as a child process described it; `source` is `bundled`, `installed` or `file`.

    `path` and `sha256` are for files. `problem` says in one line why it is not used, "" when it is; `hint` what to do.
    """

    name: str
    source: str
    path: str = ""
    sha256: str = ""
    hooks: tuple[str, ...] = ()
    trainers: tuple[TrainerFacts, ...] = ()
    readers: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    encoders: tuple[str, ...] = ()
    launchers: tuple[str, ...] = ()
    trackers: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    problem: str = ""
    hint: str = ""


class EventKind(StrEnum):
    """What plugins are told of."""

    INDEXED = "indexed"
    TRIGGERED = "triggered"
    TRAINED = "trained"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, at Unix seconds `at`; `facts` are plain values that depend on the kind."""

    kind: EventKind
    at: float
    facts: Mapping[str, Any] = field(default_factory=dict)


class Launched(Protocol):
    """A run under way, wherever it runs."""

    def poll(self) -> int | None:
        """The exit status (negative: a signal), None while it runs."""
        ...

    def stop(self) -> None:
        """Ends it now, with everything it started; safe to call twice."""
        ...

    def cost(self) -> Cost:
        """What it took so far."""
        ...


@runtime_checkable
class Launcher(Protocol):
    """Starts the process of one run: here (`local`), or through a cluster by plugin."""

    @property
    def name(self) -> str: ...

    def launch(self, command: Sequence[str], folder: Path, resources: Resources) -> Launched:
        """Starts `command` for the run in `folder`. Raises LaunchFailed."""
        ...


@runtime_checkable
class Tracker(Protocol):
    """Is told how runs go, beside ragd's own tables (MLflow, Weights & Biases); called in the train worker."""

    @property
    def name(self) -> str: ...

    def started(self, run_id: str, facts: Mapping[str, Any]) -> None: ...

    def logged(self, run_id: str, step: int, metrics: Mapping[str, float]) -> None: ...

    def ended(self, run_id: str, state: str, facts: Mapping[str, Any]) -> None: ...


class RunState(StrEnum):
    """Where a run stands. `waiting` is for budget or quiet hours, `queued` for a worker."""

    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    EVALUATING = "evaluating"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


class Verdict(StrEnum):
    """What the gate said of a challenger."""

    PASSED = "passed"
    REFUSED = "refused"
