"""Whether a stored model may serve here and now: it belongs to what serves, and its files are what was kept."""

from __future__ import annotations

from ragd.catalog.models import PRUNED, Model
from ragd.domain.errors import BadRequest, NotFound
from ragd.domain.learning import Role
from ragd.flow.refit import Refit
from ragd.flow.route import Route
from ragd.flow.shelf import Shelf


def check(model: Model, route: Route, shelf: Shelf, refit: Refit, *, is_proven: bool) -> None:
    """Opens and compares what would serve beside `route`; `is_proven` says that its files were just read.

    Raises NotFound for a model whose files were given up, BadRequest for one that does not belong to what serves,
    ArtifactInvalid, ModelUnavailable or ModelMismatch for files that cannot be used.
    """
    if model.status == PRUNED:
        raise NotFound(f"the files of {model.label} were given up", hint="train again")
    space = route.encoder.space if route.encoder is not None else shelf.configured
    if model.role is Role.ENCODER:
        if model.base != shelf.configured.fingerprint:
            raise BadRequest(
                f"{model.label} descends from another model than the configured one",
                hint="configure the model that it was trained from, or train again",
            )
        shelf.encoder(model)
    elif model.role is Role.QUERY_ADAPTER:
        if model.space != space.fingerprint:
            raise BadRequest(
                f"{model.label} was trained for another encoder than the one that serves",
                hint="train it again: its pairs are still there",
            )
        shelf.adapter(model, space.dimension)
    elif model.role is Role.INDEX:
        refit.check(model)
    elif not is_proven:
        shelf.proven(model)
