"""The sections about training: whether and on what, what it may cost, what must get better, and each trainer's own."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from ragd.config import rules
from ragd.config.section import Section


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
        default="",
        description="Teacher for distillation: a model folder, or the address of an OpenAI-compatible endpoint.",
    )
    journal: bool = Field(
        default=False, description="Keep queries with what was found, for drift, evaluation and training."
    )
    journal_days: float = Field(default=90.0, gt=0, le=36500, description="Days that the journal goes back.")
    launcher: str = Field(default="local", min_length=1, description="What starts runs: `local`, or a plugin's name.")
    trackers: tuple[str, ...] = Field(default=(), description="Plugins that are told how runs go as well.")
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
    keep_runs: int = Field(
        default=200, ge=1, description="Runs kept; the oldest go first. The newest five keep data and checkpoints."
    )


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
    quiet_hours: str = Field(default="", description="Local time in which no run begins, such as `08:00-18:00`.")

    @field_validator("quiet_hours")
    @classmethod
    def _hours_of_day(cls, value: str) -> str:
        return rules.hours_of_day(value)

    @model_validator(mode="after")
    def _money_has_a_price(self) -> Budget:
        rules.priced({"money_day": self.money_day, "money_month": self.money_month}, self.cpu_rate, self.gpu_rate)
        return self


class Gate(Section):
    """When a challenger may replace what serves."""

    metric: Literal["ndcg@10", "recall@10", "mrr@10"] = Field(default="ndcg@10", description="What must get better.")
    alpha: float = Field(default=0.05, gt=0, lt=1, description="Chance of promoting what is no better, in all.")
    min_effect: float = Field(default=0.005, ge=0, lt=1, description="Least gain of the metric that counts.")
    min_queries: int = Field(default=30, ge=2, description="Least held-out queries; with fewer nothing is promoted.")
    slice_margin: float = Field(default=0.02, ge=0, lt=1, description="How much any slice may lose at most.")
    latency_ratio: float = Field(default=1.5, gt=0, description="A query may take at most this many times as long.")
    memory_ratio: float = Field(default=1.5, gt=0, description="The model may take at most this many times the memory.")
    heldout_share: float = Field(default=0.3, gt=0, lt=1, description="Share of documents whose queries are held out.")


class Plugins(Section):
    """Where plugin files lie, and which plugins are not wanted."""

    folder: str = Field(
        default="",
        description="Folder of plugin files; empty is `$XDG_CONFIG_HOME/ragd/plugins` or `~/.config/ragd/plugins`.",
    )
    disabled: tuple[str, ...] = Field(default=(), description="Names of plugins that are not used.")


class TrainerSettings(Section):
    """When one trainer fires, and with what; `[trainers.NAME]` in the file."""

    enabled: bool | None = Field(
        default=None,
        description="Whether it fires by itself; by default index fits, query adapters and your files do.",
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
