"""What the catalog says must serve: the champions that count, the generations that are wanted, the route they make."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Protocol

from ragd.catalog.models import FILLING, Champion, Model
from ragd.domain.errors import RagdError
from ragd.domain.learning import Role
from ragd.domain.ports import Encoder
from ragd.flow.generations import Generations, Live
from ragd.flow.route import Route, Transform
from ragd.flow.shelf import Shelf

Said = MutableMapping[str, str]
"""What is wrong, by where: it is shown as a reason why the daemon is degraded."""


class ModelTable(Protocol):
    """The registry as far as serving needs it."""

    def model(self, model_id: int) -> Model: ...

    def encoder_of(self, space: str) -> Model | None: ...

    def champion(self, role: Role) -> Champion | None: ...


def champion_encoder(table: ModelTable, configured: str) -> Champion | None:
    """The champion encoder, unless it descends from another model than the one with the fingerprint `configured`.

    Whoever configures another model gets that one.
    """
    champion = table.champion(Role.ENCODER)
    ids = [] if champion is None else [i for i in (champion.model_id, champion.previous_id) if i is not None]
    return champion if all(table.model(i).base == configured for i in ids) else None


def space_of(table: ModelTable, model_id: int | None, configured: str) -> str:
    """The fingerprint of the space that an encoder makes; None is the configured one."""
    return configured if model_id is None else table.model(model_id).space


def wanted_spaces(
    table: ModelTable, configured: str, serving: str, *, now: float, keep_previous_s: float
) -> frozenset[str]:
    """The spaces whose generations stay live: what serves, the champion's, and what a rollback would return to.

    The last one for `keep_previous_s` seconds after the champion's own space took over.
    """
    champion = champion_encoder(table, configured)
    wanted = {serving}
    if champion is not None:
        wanted.add(space_of(table, champion.model_id, configured))
        if champion.has_previous and (champion.stage == FILLING or now - champion.since < keep_previous_s):
            wanted.add(space_of(table, champion.previous_id, configured))
    return frozenset(wanted)


def owner_of(table: ModelTable, live: Live, configured: str) -> tuple[Model | None, bool]:
    """The model that makes a generation's space (None: the configured one), and whether it is known at all."""
    if live.space.fingerprint == configured:
        return None, True
    model = table.encoder_of(live.space.fingerprint)
    return model, model is not None


def route_of(table: ModelTable, generations: Generations, shelf: Shelf, said: Said) -> Route:
    """The route that the catalog asks for; what cannot be opened is left out, and named in `said`."""
    serving = generations.serving
    model, encoder, bridge = _crossing(table, serving, shelf, said) or _own(table, serving, shelf, said)
    adapter_id, adapter = _adapter(table, encoder, shelf, said)
    return Route(
        encoder,
        serving.index,
        serving.id,
        serving.space.fingerprint,
        adapter,
        bridge,
        model.id if model is not None else None,
        adapter_id,
    )


_Way = tuple[Model | None, Encoder | None, Transform | None]


def _crossing(table: ModelTable, serving: Live, shelf: Shelf, said: Said) -> _Way | None:
    """The champion's encoder with its map into the space that still serves; None where it has none."""
    configured = shelf.configured.fingerprint
    champion = champion_encoder(table, configured)
    if champion is None or champion.stage != FILLING or champion.model_id is None:
        return None
    model = table.model(champion.model_id)
    if model.space == serving.space.fingerprint:
        return None
    try:
        bridge = shelf.bridge(model, space_of(table, model.parent, configured), serving.space)
        return (model, shelf.encoder(model), bridge) if bridge is not None else None
    except RagdError as error:
        said["map"] = f"{model.label} serves when its space is filled, not before: {error}"
        return None


def _own(table: ModelTable, serving: Live, shelf: Shelf, said: Said) -> _Way:
    model, is_known = owner_of(table, serving, shelf.configured.fingerprint)
    try:
        return model, shelf.encoder(model) if is_known else None, None
    except RagdError as error:
        said["encoder"] = f"searching by words only: {error}"
        return model, None, None


def _adapter(
    table: ModelTable, encoder: Encoder | None, shelf: Shelf, said: Said
) -> tuple[int | None, Transform | None]:
    champion = table.champion(Role.QUERY_ADAPTER)
    if encoder is None or champion is None or champion.model_id is None:
        return None, None
    model = table.model(champion.model_id)
    if model.space != encoder.space.fingerprint:
        return None, None
    try:
        return model.id, shelf.adapter(model, encoder.space.dimension)
    except RagdError as error:
        said["adapter"] = f"{model.label} does not serve: {error}"
        return None, None
