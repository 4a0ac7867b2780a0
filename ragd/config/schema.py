"""The one configuration schema: every key with its type, default and meaning. Frozen once loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from ragd.config import rules


def default_state(env: Mapping[str, str]) -> Path:
    """The state folder when none is configured: `$XDG_STATE_HOME/ragd`, else `~/.local/state/ragd`."""
    base = env.get("XDG_STATE_HOME", "")
    if os.path.isabs(base):
        return Path(base, "ragd")
    home = env.get("HOME") or os.path.expanduser("~")
    return Path(home, ".local", "state", "ragd")


class Section(BaseModel):
    """What every section shares: no unknown keys, no changes after loading."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Globs = tuple[str, ...]


class Collection(Section):
    """A named set of folders that is kept searchable together."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="Its name, used in `--collection`.")
    folders: tuple[Path, ...] = Field(
        min_length=1, description="Folders to watch, with everything below them; relative to the file that names them."
    )
    include: Globs = Field(
        default=(), description="Globs of paths to take, as in `.gitignore`; empty takes everything."
    )
    exclude: Globs = Field(default=(), description="Globs of paths to leave out, as in `.gitignore`.")


class Watch(Section):
    """When a changed file counts as settled, and how often folders are walked."""

    settle_s: float = Field(
        default=0.3, ge=0, le=3600, description="Seconds of quiet after a file was closed or moved in."
    )
    unclosed_s: float = Field(
        default=2.0, ge=0, le=3600, description="Seconds that size and time must stand still when no close was seen."
    )
    max_wait_s: float = Field(
        default=10.0,
        gt=0,
        le=86400,
        description="A file that is written all the time is indexed as it is this often, in seconds.",
    )
    rescan_s: float = Field(
        default=300.0,
        ge=0,
        description="Seconds between full walks that find what events missed; 0 walks only at start and on need.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Watch:
        rules.at_most("watch.settle_s", self.settle_s, "watch.max_wait_s", self.max_wait_s)
        rules.at_most("watch.unclosed_s", self.unclosed_s, "watch.max_wait_s", self.max_wait_s)
        return self


class Read(Section):
    """What one file may cost while it is turned into text."""

    max_file_mb: int = Field(default=64, ge=1, le=65536, description="Files larger than this many MiB are not read.")
    max_chars: int = Field(
        default=10_000_000, ge=1000, description="A text longer than this many characters is refused."
    )
    timeout_s: float = Field(default=120.0, gt=0, le=86400, description="Seconds one file may take to read.")
    memory_mb: int = Field(default=2048, ge=128, description="MiB of memory that the reading process may use.")


class Split(Section):
    """How texts are cut into chunks."""

    min_tokens: int = Field(
        default=100, ge=1, description="A chunk is filled up to at least this many tokens where the text allows."
    )
    max_tokens: int = Field(
        default=256, ge=8, description="No chunk has more tokens than this, nor more than the encoder sees."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Split:
        rules.below("split.min_tokens", self.min_tokens, "split.max_tokens", self.max_tokens)
        return self


class Embed(Section):
    """Which encoder turns chunks into vectors, and how."""

    encoder: Literal["onnx", "sbert", "openai"] = Field(
        default="onnx",
        description="The engine: ONNX Runtime, sentence-transformers on torch, or an OpenAI-compatible endpoint.",
    )
    model: str = Field(
        default="minilm",
        min_length=1,
        description="`minilm` (packaged), a model folder (a path), or the endpoint's name of the model.",
    )
    precision: Literal["fp32", "int8"] = Field(
        default="fp32", description="Weights of the ONNX model: exact, or smaller and faster."
    )
    threads: int = Field(default=0, ge=0, le=1024, description="Threads of one embed worker; 0 uses every core.")
    max_tokens: int = Field(
        default=0, ge=0, description="Longest text the encoder sees, in tokens; 0 is what the model says."
    )
    dimension: int = Field(default=0, ge=0, le=65536, description="Length of a vector; 0 asks the model.")
    query_prompt: str = Field(default="", description="Text put in front of every query.")
    document_prompt: str = Field(default="", description="Text put in front of every chunk.")
    url: str = Field(default="", description="Base address of the endpoint, for example `http://localhost:8080/v1`.")
    api_key: SecretStr = Field(
        default=SecretStr(""), description="Key for the endpoint; never shown. Best set by its variable."
    )
    timeout_s: float = Field(default=30.0, gt=0, description="Seconds to wait for one answer of the endpoint.")
    retries: int = Field(default=5, ge=0, le=100, description="Further attempts after the endpoint failed or was busy.")
    requests_per_minute: int = Field(
        default=0, ge=0, description="Most requests to the endpoint in a minute; 0 sets no limit."
    )

    @field_validator("url")
    @classmethod
    def _http(cls, value: str) -> str:
        return rules.http_address(value)

    @model_validator(mode="after")
    def _fits_engine(self) -> Embed:
        rules.encoder_settings(self.encoder, self.model, self.precision, self.url)
        return self


class Redis(Section):
    """Where jobs are queued."""

    url: str = Field(
        default="", description="Address of a Redis server; empty starts a private one in the state folder."
    )
    server: str = Field(default="", description="The `redis-server` program for the private one; empty finds it.")

    @field_validator("url")
    @classmethod
    def _redis(cls, value: str) -> str:
        return rules.redis_address(value)


class Workers(Section):
    """The processes that the daemon starts."""

    extract: int = Field(
        default=1, ge=0, le=256, description="Processes that read and split files; 0 leaves it to others."
    )
    embed: int = Field(default=1, ge=0, le=256, description="Processes that run the encoder; 0 leaves it to others.")
    nice: int = Field(
        default=10,
        ge=0,
        le=19,
        description="How far embed workers stand back for other programs (0 to 19); extract workers half as far, "
        "so that words come before meaning.",
    )


class Index(Section):
    """The vector index, and when it changes its kind."""

    ivf_above: int = Field(
        default=100_000, ge=1000, description="Chunks above which the exact index becomes an IVF index."
    )
    exact_below: int = Field(default=50_000, ge=0, description="Chunks below which an IVF index becomes exact again.")
    nprobe: int = Field(default=16, ge=1, le=65536, description="Lists of the IVF index that a search looks into.")
    snapshot_s: float = Field(default=60.0, ge=1, description="Seconds between snapshots of an index that changed.")

    @model_validator(mode="after")
    def _ordered(self) -> Index:
        rules.below("index.exact_below", self.exact_below, "index.ivf_above", self.ivf_above)
        return self


class Search(Section):
    """How a query is answered when it does not say."""

    limit: int = Field(default=10, ge=1, le=1000, description="Hits in an answer.")
    candidates: int = Field(
        default=100, ge=1, le=10_000, description="Chunks taken from each side (words, meaning) before fusion."
    )
    rrf_k: int = Field(
        default=20, ge=1, le=10_000, description="The constant of reciprocal rank fusion: larger flattens the ranks."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Search:
        rules.at_most("search.limit", self.limit, "search.candidates", self.candidates)
        return self


class Http(Section):
    """Where the daemon answers."""

    socket: str = Field(default="", description="Path of the Unix socket; empty is `ragd.sock` in the state folder.")
    tcp: str = Field(
        default="", description="A loopback address to answer on as well, for example `127.0.0.1:8377`; empty for none."
    )

    @field_validator("tcp")
    @classmethod
    def _loopback(cls, value: str) -> str:
        return rules.loopback_address(value)


class Retain(Section):
    """How long what is no longer needed is kept."""

    days: float = Field(
        default=7.0,
        ge=0,
        le=36500,
        description="Days that vectors of removed chunks rest, so that coming back is free.",
    )
    receipts: int = Field(default=100_000, ge=100, description="Receipts kept; the oldest go first.")


class Learn(Section):
    """Training: whether, on what, and within which limits."""

    enabled: bool = Field(default=True, description="Whether models are trained at all.")
    pairs: tuple[Path, ...] = Field(
        default=(),
        description="Queries with their answers: folders in BEIR's layout, or JSONL files of questions and documents.",
    )
    prompts: tuple[Path, ...] = Field(
        default=(), description="Prompts with answers for generators: JSONL files with `prompt` and `answer`."
    )
    generator: str = Field(default="", description="Folder of the generation model that generator trainers adapt.")
    teacher: str = Field(
        default="", description="Teacher for distillation: a model folder, or the address of an OpenAI-compatible endpoint."
    )
    journal: bool = Field(
        default=False, description="Keep queries with what was found, for drift, evaluation and training."
    )
    journal_days: float = Field(default=90.0, gt=0, le=36500, description="Days that the journal goes back.")
    launcher: str = Field(default="local", min_length=1, description="How runs are started: `local`, or a plugin's name.")
    trackers: tuple[str, ...] = Field(default=(), description="Plugins that are told how runs go, beside ragd's tables.")
    workers: int = Field(default=1, ge=0, le=16, description="Train workers the daemon starts; 0 leaves it to others.")
    threads: int = Field(default=1, ge=1, le=1024, description="Threads of a run.")
    memory_mb: int = Field(default=4096, ge=256, description="MiB of memory a run may use, with all it starts.")
    disk_mb: int = Field(default=4096, ge=16, description="MiB a run may write.")
    processes: int = Field(default=64, ge=1, le=4096, description="Processes a run may have at once.")
    timeout_s: float = Field(default=3600.0, gt=0, description="Seconds a run may take.")
    device: Literal["cpu", "cuda"] = Field(default="cpu", description="Where runs compute.")
    keep_previous_s: float = Field(
        default=86400.0, ge=0, description="Seconds a replaced generation is kept up to date, ready for a rollback."
    )
    keep_runs: int = Field(default=200, ge=1, description="Runs kept with their folders; the oldest go first.")


class Budget(Section):
    """What training and backfills may cost; 0 sets no limit."""

    train_cpu_s_day: float = Field(default=3600.0, ge=0, description="CPU seconds of training a day.")
    train_cpu_s_month: float = Field(default=36000.0, ge=0, description="CPU seconds of training in 30 days.")
    train_gpu_s_day: float = Field(default=0.0, ge=0, description="GPU seconds of training a day.")
    train_gpu_s_month: float = Field(default=0.0, ge=0, description="GPU seconds of training in 30 days.")
    backfill_cpu_s_day: float = Field(default=0.0, ge=0, description="CPU seconds of filling new generations a day.")
    backfill_cpu_s_month: float = Field(default=0.0, ge=0, description="CPU seconds of filling in 30 days.")
    cpu_rate: float = Field(default=0.0, ge=0, description="Price of an hour of CPU.")
    gpu_rate: float = Field(default=0.0, ge=0, description="Price of an hour of GPU.")
    currency: str = Field(default="", max_length=8, description="What prices are in; for display.")
    money_day: float = Field(default=0.0, ge=0, description="Most money a day, training and filling together.")
    money_month: float = Field(default=0.0, ge=0, description="Most money in 30 days.")
    quiet_hours: str = Field(
        default="", pattern=r"^$|^\d\d:\d\d-\d\d:\d\d$", description="Local time without training: `08:00-18:00`."
    )


class Gate(Section):
    """When a challenger may replace what serves."""

    metric: Literal["ndcg@10", "recall@10", "mrr@10"] = Field(default="ndcg@10", description="What must get better.")
    alpha: float = Field(default=0.05, gt=0, lt=1, description="Chance of promoting what is no better, over all attempts.")
    min_effect: float = Field(default=0.005, ge=0, lt=1, description="Least gain of the metric that counts.")
    min_queries: int = Field(default=30, ge=2, description="Least held-out queries; with fewer nothing is promoted.")
    slice_margin: float = Field(default=0.02, ge=0, lt=1, description="How much any slice may lose at most.")
    latency_ratio: float = Field(default=1.5, gt=0, description="A query may take at most this many times as long.")
    memory_ratio: float = Field(default=1.5, gt=0, description="The model may take at most this many times the memory.")
    heldout_share: float = Field(default=0.3, gt=0, lt=1, description="Share of documents whose queries are held out.")


class Plugins(Section):
    """Where plugin files lie, and which plugins are not wanted."""

    folder: str = Field(
        default="", description="Folder of plugin files; empty is `$XDG_CONFIG_HOME/ragd/plugins` or `~/.config/ragd/plugins`."
    )
    disabled: tuple[str, ...] = Field(default=(), description="Names of plugins that are not used.")


class TrainerSettings(Section):
    """When one trainer fires, and with what; `[trainers.NAME]` in the file."""

    enabled: bool | None = Field(
        default=None, description="Whether it fires by itself; by default index fits, query adapters and trusted files do."
    )
    when: Literal["any", "all"] = Field(default="any", description="Whether one condition suffices or all must hold.")
    changed_chunks: int = Field(default=0, ge=0, description="Chunks changed since its last run; 0: not asked.")
    changed_share: float = Field(default=0.0, ge=0, description="The same as a share of all chunks; 0: not asked.")
    new_examples: int = Field(default=0, ge=0, description="New examples since its last run; 0: not asked.")
    document_drift: bool = Field(default=False, description="Documents of a new kind come in.")
    query_drift: bool = Field(default=False, description="Queries of a new kind come in.")
    bad_share: float = Field(default=0.0, ge=0, le=1, description="Share of answers judged bad; 0: not asked.")
    centroid_cosine: float = Field(default=0.0, ge=0, le=1, description="The index fit fell below this; 0: not asked.")
    every_s: float = Field(default=0.0, ge=0, description="Seconds since its last run; 0: not asked.")
    policy: str = Field(default="", description="A plugin's own rule.")
    warmup_chunks: int = Field(default=200, ge=0, description="It does not fire before there are this many chunks.")
    cooldown_s: float = Field(default=3600.0, ge=0, description="Seconds after a run in which it does not fire.")
    timeout_s: float = Field(default=0.0, ge=0, description="Seconds its runs may take; 0: as `learn.timeout_s`.")
    memory_mb: int = Field(default=0, ge=0, description="MiB its runs may use; 0: as `learn.memory_mb`.")
    options: dict[str, str | int | float | bool] = Field(default={}, description="What it is told: `run.settings`.")


class Log(Section):
    """What the daemon writes to its log."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe message to write."
    )


class Config(BaseSettings):
    """Everything ragd can be told, validated as a whole; `config.load` is the only source that fills it.

    Raises pydantic's ValidationError when constructed from values that are not accepted.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, env_prefix="RAGD_", env_nested_delimiter="__"
    )
    socket_limit_bytes: ClassVar[int] = 107

    state: Path = Field(
        default_factory=lambda: default_state(os.environ),
        description="Folder for everything ragd keeps; empty is `$XDG_STATE_HOME/ragd` or `~/.local/state/ragd`.",
    )
    collections: tuple[Collection, ...] = Field(default=(), description="The folders to index, in named collections.")
    watch: Watch = Watch()
    read: Read = Read()
    split: Split = Split()
    embed: Embed = Embed()
    redis: Redis = Redis()
    workers: Workers = Workers()
    index: Index = Index()
    search: Search = Search()
    http: Http = Http()
    retain: Retain = Retain()
    learn: Learn = Learn()
    budget: Budget = Budget()
    gate: Gate = Gate()
    plugins: Plugins = Plugins()
    trainers: dict[str, TrainerSettings] = Field(default={}, description="When each trainer fires, by its name.")
    log: Log = Log()

    @property
    def socket_path(self) -> Path:
        """The Unix socket of the daemon's HTTP interface."""
        return Path(self.http.socket) if self.http.socket else self.state / "ragd.sock"

    @model_validator(mode="after")
    def _fits_together(self) -> Config:
        rules.distinct_collections([(c.name, c.folders) for c in self.collections])
        rules.socket_length(self.socket_path, self.socket_limit_bytes)
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load` hands over: it knows the origin of each value, and reads no global environment."""
        return (init_settings,)
