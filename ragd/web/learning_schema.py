"""The shapes of the model side of `/v1`: plugins, triggers, runs, models, spend, feedback. Times are Unix seconds."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from ragd.web.schema import Asked, Posted, Told

_MOST = 10**16  # more than any offset or id: SQLite and files have an end


class Open(Told):
    """An answer that may hold more than is described here."""

    model_config = ConfigDict(extra="allow")


class TrainBody(Posted):
    """`POST /v1/train`."""

    trainer: str = Field(min_length=1, max_length=200, description="The trainer's name.")
    on: str | None = Field(
        default=None, description="A file of pairs or prompts, absolute, instead of what is configured."
    )
    by: str = Field(default="hand", pattern="^(hand|fire)$", description="`fire` notes it as a firing of the trigger.")


class RunsParams(Asked):
    """`GET /v1/runs`."""

    limit: int = Field(default=50, ge=1, le=1000, description="Runs in the answer, newest first.")
    trainer: str | None = Field(default=None, description="Only runs of this trainer.")


class LogParams(Asked):
    """`GET /v1/runs/{run}/log`."""

    offset: int = Field(default=0, ge=0, le=_MOST, description="`next` of the answer before.")


class CompareParams(Asked):
    """`GET /v1/models/compare`."""

    a: str = Field(description="A model's id, or its name and version: `query_adapter/3`.")
    b: str = Field(description="The model to compare it with.")


class PromoteBody(Posted):
    """`POST /v1/models/promote`."""

    model: str = Field(min_length=1, max_length=200, description="A model's id, or `NAME/VERSION`.")
    force: bool = Field(default=False, description="Promote it though the gate did not say so.")


class RollbackBody(Posted):
    """`POST /v1/models/rollback`."""

    role: str = Field(min_length=1, max_length=40, description="The role whose last promotion is undone.")


class PruneBody(Posted):
    """`POST /v1/models/prune`."""

    keep: int = Field(default=3, ge=0, le=1000, description="Retired models kept for each trainer.")


class FeedbackBody(Posted):
    """`POST /v1/feedback`."""

    query: int = Field(ge=0, le=_MOST, description="`query_id` of a search's answer.")
    chunk: int = Field(ge=0, le=_MOST, description="`chunk_id` of one of its hits.")
    good: bool = Field(description="Whether the hit answered the query.")


class PluginsAnswer(Open):
    """`GET /v1/plugins`."""

    plugins: list[dict[str, Any]] = Field(description="Name, source, what each offers, and why it is not used.")


class TriggersAnswer(Open):
    """`GET /v1/triggers`."""

    triggers: list[dict[str, Any]] = Field(description="One for each trainer: does it fire, and why or why not.")


class TriggerAnswer(Open):
    """`GET /v1/triggers/{trainer}`."""

    trainer: str
    fires: bool
    reasons: list[dict[str, Any]] = Field(description="Every condition with its figures.")
    ladder: list[dict[str, Any]] = Field(description="The trainers by cost, and where the ladder stands.")
    history: list[dict[str, Any]] = Field(description="Decisions that were kept, newest first.")


class RunStarted(Told):
    """A run that was asked for."""

    run: str = Field(description="Its id.")


class RunsAnswer(Open):
    """`GET /v1/runs`."""

    runs: list[dict[str, Any]]


class RunAnswer(Open):
    """`GET /v1/runs/{run}`."""

    id: str
    trainer: str
    role: str
    state: str


class LogAnswer(Told):
    """`GET /v1/runs/{run}/log`: a part of what the run printed."""

    text: str
    next: int = Field(description="The offset to ask for next.")
    ended: bool = Field(description="True when nothing more will come.")


class ModelsAnswer(Open):
    """`GET /v1/models`."""

    models: list[dict[str, Any]]
    champions: list[dict[str, Any]] = Field(description="What serves in each role where something was promoted.")


class ModelAnswer(Open):
    """`GET /v1/models/{model}`: one model with its lineage, scores and the gate's report."""

    id: int
    role: str
    name: str
    version: int
    status: str


class CompareAnswer(Open):
    """`GET /v1/models/compare`."""

    a: dict[str, Any]
    b: dict[str, Any]
    differences: dict[str, Any] = Field(description="Of the numbers that both have: b less a.")


class PromotedAnswer(Open):
    """What serves now in a role, after a promotion or a rollback."""

    role: str
    model: str = Field(description="`NAME/VERSION`, or `configured`.")
    stage: str = Field(description="`serving`, or `filling` while a new embedding space fills.")


class PruneAnswer(Told):
    """`POST /v1/models/prune`."""

    pruned: list[str]
    freed_bytes: int


class SpendAnswer(Open):
    """`GET /v1/spend`."""


class FeedbackAnswer(Told):
    """`POST /v1/feedback`."""

    noted: bool
