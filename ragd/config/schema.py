"""The one configuration schema: every key with its type, default and meaning. Frozen once loaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from ragd.config import rules
from ragd.config.folders import default_plugins_folder, default_state
from ragd.config.http import Http
from ragd.config.learning import Budget, Gate, Learn, Plugins, TrainerSettings
from ragd.config.retain import Retain
from ragd.config.section import Section

__all__ = ["Budget", "Collection", "Config", "Gate", "Learn", "Plugins", "Retain", "TrainerSettings", "default_state"]

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

    encoder: str = Field(
        default="onnx",
        min_length=1,
        description="The engine: `onnx` (ONNX Runtime), `sbert` (sentence-transformers on torch), `openai` (a "
        "compatible endpoint), or the name of one that a plugin offers.",
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
        default=SecretStr(""),
        description="Key for the endpoint; never shown. Best set by its variable, or the "
        "file that `RAGD_EMBED__API_KEY_FILE` names.",
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
    password: SecretStr = Field(
        default=SecretStr(""),
        description="Its password, where the address holds none; never shown. Best set by its variable, or the file "
        "that `RAGD_REDIS__PASSWORD_FILE` names.",
    )
    server: str = Field(default="", description="The `redis-server` program for the private one; empty finds it.")

    @field_validator("url")
    @classmethod
    def _redis(cls, value: str) -> str:
        return rules.redis_address(value)

    @property
    def address(self) -> str:
        """The address with the password in it; empty for a private server."""
        return rules.with_password(self.url, self.password.get_secret_value())


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
    stuck_s: float = Field(
        default=600.0,
        ge=30,
        description="Seconds without any headway in a job (a file read, a slice encoded) after which its worker is "
        "ended and replaced; a file has at least twice `read.timeout_s` and two minutes, an endpoint its own limits.",
    )


class Index(Section):
    """The vector index, and when it changes its kind."""

    ivf_above: int = Field(
        default=100_000, ge=1000, description="Chunks above which the exact index becomes an IVF index."
    )
    exact_below: int = Field(default=50_000, ge=0, description="Chunks below which an IVF index becomes exact again.")
    nprobe: int = Field(default=16, ge=1, le=65536, description="Lists of the IVF index that a search looks into.")
    snapshot_s: float = Field(default=60.0, ge=1, description="Seconds between snapshots of an index that changed.")
    verify_s: float = Field(
        default=3600.0,
        ge=1,
        description="Seconds between proofs that the index equals the catalog; also at each start.",
    )

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


class Log(Section):
    """What the daemon writes to its log."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe message to write."
    )
    format: Literal["auto", "logfmt", "json", "journald"] = Field(
        default="auto",
        description="How a line looks: `key=value`, JSON, or with a priority for the journal; `auto` is `journald` "
        "where standard error is the journal, else `logfmt`.",
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

    @property
    def plugins_folder(self) -> Path:
        """The trusted folder of plugin files."""
        return Path(self.plugins.folder) if self.plugins.folder else default_plugins_folder(os.environ)

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
