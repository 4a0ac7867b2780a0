"""The addresses of the model side of `/v1`: plugins, triggers, runs, models, spend and feedback."""

# Annotations are evaluated here, not kept as text, as in web.routes.
from typing import Annotated

from fastapi import APIRouter, Query, Request

from ragd.web.backend import Backend, Json
from ragd.web.learning_schema import (
    CompareAnswer,
    CompareParams,
    FeedbackAnswer,
    FeedbackBody,
    LogAnswer,
    LogParams,
    ModelAnswer,
    ModelsAnswer,
    PluginsAnswer,
    PromoteBody,
    PromotedAnswer,
    PruneAnswer,
    PruneBody,
    RollbackBody,
    RunAnswer,
    RunsAnswer,
    RunsParams,
    RunStarted,
    SpendAnswer,
    TrainBody,
    TriggerAnswer,
    TriggersAnswer,
)
from ragd.web.roles import permit


def routers(backend: Backend) -> tuple[APIRouter, ...]:
    """Every route of the model side."""
    return _triggers(backend), _runs(backend), _models(backend), _accounts(backend)


def _triggers(backend: Backend) -> APIRouter:
    router = APIRouter(tags=["training"])

    @router.get("/plugins", response_model=PluginsAnswer)
    def plugins() -> Json:
        """Every plugin, what it offers, and why it is not used where it is not."""
        return backend.learning.plugins()

    @router.get("/triggers", response_model=TriggersAnswer)
    def triggers() -> Json:
        """Every trainer: whether it fires now, and why or why not."""
        return backend.learning.triggers()

    @router.get("/triggers/{trainer}", response_model=TriggerAnswer)
    def trigger(trainer: str) -> Json:
        """One trainer's decision with all its conditions, the ladder, and what was decided before."""
        return backend.learning.trigger(trainer)

    @router.post("/train", response_model=RunStarted)
    def train(asked: TrainBody, request: Request) -> Json:
        """Starts a run by hand; it waits for the budget like any other."""
        permit(request, asked)
        return backend.learning.train(asked.trainer, on=asked.on, cause=asked.by)

    return router


def _runs(backend: Backend) -> APIRouter:
    router = APIRouter(tags=["runs"])

    @router.get("/runs", response_model=RunsAnswer)
    def runs(asked: Annotated[RunsParams, Query()]) -> Json:
        """Runs, newest first."""
        return backend.learning.runs(limit=asked.limit, trainer=asked.trainer)

    @router.get("/runs/{run}", response_model=RunAnswer)
    def run(run: str) -> Json:
        """One run; the beginning of its id is enough where it is the only one."""
        return backend.learning.run(run)

    @router.get("/runs/{run}/log", response_model=LogAnswer)
    def run_log(run: str, asked: Annotated[LogParams, Query()]) -> Json:
        """What a run printed, from an offset on."""
        return backend.learning.log(run, asked.offset)

    @router.post("/runs/{run}/stop", response_model=RunAnswer)
    def stop_run(run: str) -> Json:
        """Asks a run to stop; it saves a checkpoint where it can."""
        return backend.learning.stop(run)

    @router.post("/runs/{run}/resume", response_model=RunAnswer)
    def resume_run(run: str) -> Json:
        """Takes up a stopped or failed run from its checkpoint."""
        return backend.learning.resume(run)

    return router


def _models(backend: Backend) -> APIRouter:
    router = APIRouter(tags=["models"])

    @router.get("/models", response_model=ModelsAnswer)
    def models() -> Json:
        """Every model that came out of a run, and what serves in each role."""
        return backend.learning.models()

    @router.get("/models/compare", response_model=CompareAnswer)
    def compare_models(asked: Annotated[CompareParams, Query()]) -> Json:
        """Two models side by side."""
        return backend.learning.compare(asked.a, asked.b)

    @router.get("/models/{model:path}", response_model=ModelAnswer)
    def model(model: str) -> Json:
        """One model: its lineage, its cost, its scores and the gate's report."""
        return backend.learning.model(model)

    @router.post("/models/promote", response_model=PromotedAnswer)
    def promote_model(asked: PromoteBody) -> Json:
        """Puts a model live that the gate passed, or any with `force`."""
        return backend.learning.promote(asked.model, force=asked.force)

    @router.post("/models/rollback", response_model=PromotedAnswer)
    def rollback_model(asked: RollbackBody) -> Json:
        """Puts back what served before the last promotion in a role."""
        return backend.learning.rollback(asked.role)

    @router.post("/models/prune", response_model=PruneAnswer)
    def prune_models(asked: PruneBody) -> Json:
        """Removes the files of models that neither serve nor are kept for a rollback."""
        return backend.learning.prune(asked.keep)

    return router


def _accounts(backend: Backend) -> APIRouter:
    router = APIRouter(tags=["accounts"])

    @router.get("/spend", response_model=SpendAnswer)
    def spend() -> Json:
        """What was spent on what, what is left of the budget, and what was saved."""
        return backend.learning.spend()

    @router.post("/feedback", response_model=FeedbackAnswer)
    def feedback(asked: FeedbackBody) -> Json:
        """Notes whether a hit answered a journaled query."""
        backend.learning.feedback(asked.query, asked.chunk, good=asked.good)
        return {"noted": True}

    return router
