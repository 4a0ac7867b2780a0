"""From the catalog alone to what serves: which generations live, in which index, by whose encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ragd.catalog.models import FILLING, Champion, Model
from ragd.catalog.vectors import GenerationRow
from ragd.domain.errors import ModelUnavailable, RagdError
from ragd.domain.index import EmbeddingSpace, IndexPolicy
from ragd.domain.learning import Role
from ragd.domain.ports import VectorSource
from ragd.flow.generations import Generations, Live
from ragd.flow.route import Route
from ragd.flow.shelf import Shelf
from ragd.flow.standing import Said, champion_encoder, route_of, wanted_spaces
from ragd.flow.tables import Tables
from ragd.index.generation import Generation
from ragd.index.restore import restore
from ragd.index.snapshot import discard_snapshots

IndexOf = Callable[[int, EmbeddingSpace, bool], tuple[Generation, str]]
"""The index of a generation, equal to the catalog, and how it came to be; told whether its snapshots may be used."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What is live, what serves, and what is wrong (by where)."""

    generations: Generations
    route: Route
    said: dict[str, str]


def recover(tables: Tables, shelf: Shelf, index_of: IndexOf, *, now: float, keep_previous_s: float) -> Recovered:
    """Makes what serves equal to the champions of the catalog, whatever moment the last daemon died at.

    A champion whose files are missing or changed is passed over, for the one before or for what is configured, and
    named; the pointer stays, so that it serves again when its files are back. One that descends from another
    configured model is left alone. Nothing here refuses to start.
    """
    said: dict[str, str] = {}
    configured = shelf.configured.fingerprint
    champion = champion_encoder(tables.models, configured)
    model = _chosen(tables, champion, shelf, said)
    with tables.store.transaction():
        target, was_live = _settle(tables, champion, model, shelf, now)
        serving = tables.vectors.live()[0].space.fingerprint
        wanted = wanted_spaces(tables.models, configured, serving, now=now, keep_previous_s=keep_previous_s)
        for row in tables.vectors.live():
            if row.space.fingerprint not in wanted:
                tables.vectors.retire(row.id)
    live = []
    for row in tables.vectors.live():
        index, origin = index_of(row.id, row.space, was_live or row.id != target)
        live.append(_live(tables, row, shelf, index, origin, said))
    generations = Generations(live)
    return Recovered(generations, route_of(tables.models, generations, shelf, said), said)


def _chosen(tables: Tables, champion: Champion | None, shelf: Shelf, said: Said) -> Model | None:
    """The model that is to serve: the champion, or the one before it, or (None) the configured one."""
    if champion is None:
        return None
    for model_id in (champion.model_id, champion.previous_id if champion.has_previous else None):
        if model_id is None:
            return None
        model = tables.models.model(model_id)
        try:
            shelf.encoder(model)
            return model
        except RagdError as error:
            hint = f" ({error.hint})" if error.hint else ""
            said[f"model {model.id}"] = f"{model.label} cannot serve, an earlier model stands in: {error}{hint}"
    return None


def _settle(
    tables: Tables, champion: Champion | None, model: Model | None, shelf: Shelf, now: float
) -> tuple[int, bool]:
    """The chosen model's generation, live and serving unless it is being filled; and whether it was live before."""
    before = next((row for row in tables.vectors.live() if row.is_serving), None)
    spec = shelf.spec(model) if model is not None else None
    target, was_live = tables.vectors.open(shelf.encoder(model).space, spec)
    is_filling = (
        champion is not None
        and champion.stage == FILLING
        and champion.model_id == (model.id if model is not None else None)
    )
    if is_filling and before is not None and before.id != target:
        return target, was_live  # the other one serves until this is whole
    if before is None or before.id != target:
        tables.receipts.searchable(tables.vectors.make_serving(target))
        tables.receipts.stamp(now)
    if is_filling:
        tables.models.swapped(Role.ENCODER)
    return target, was_live


def _live(tables: Tables, row: GenerationRow, shelf: Shelf, index: Generation, origin: str, said: Said) -> Live:
    model: Model | None = None
    is_embeddable = True
    spec = row.spec or shelf.spec(None)
    if row.space.fingerprint != shelf.configured.fingerprint:
        model = tables.models.encoder_of(row.space.fingerprint)
        try:
            if model is None:
                raise ModelUnavailable(f"no model is known that makes the space {row.space.fingerprint}")
            shelf.encoder(model)
            spec = shelf.spec(model)
        except RagdError as error:
            is_embeddable = False
            name = model.label if model is not None else row.space.model
            said.setdefault(f"model {model.id if model else row.id}", f"nothing is embedded by {name}: {error}")
    return Live(row.id, row.space, spec, index, origin, is_embeddable)


def restorer(
    folder: Callable[[int], Path],
    source: VectorSource,
    policy: IndexPolicy,
    progress: Callable[[int, int], None] | None,
) -> IndexOf:
    """Gives the index of a generation, from the snapshots in its folder where they may be used, else from `source`.

    `progress` hears (rows done, rows in all).
    """

    def index_of(generation_id: int, space: EmbeddingSpace, may_use_snapshots: bool) -> tuple[Generation, str]:
        place = folder(generation_id)
        if not may_use_snapshots:
            discard_snapshots(place)
        restored = restore(place, space, source, generation_id, policy, progress=progress)
        if restored.refused:
            discard_snapshots(place)
        said = f"{restored.origin.value}, {restored.replayed} replayed"
        return restored.generation, "; ".join((said, *restored.refused))

    return index_of
