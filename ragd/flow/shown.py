"""What serves and what lives, as plain values for the status page."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ragd.catalog.models import FILLING
from ragd.catalog.registry import Registry
from ragd.domain.learning import Role
from ragd.flow.generations import Generations, Live
from ragd.flow.route import Route


def serving_json(registry: Registry, generations: Generations, route: Route) -> dict[str, Any]:
    """The encoder that queries go through: its space, who it is in the registry, and what stands around it.

    `id` None is the configured model. `stage` is `filling` while the champion's own space is not whole; `map` says
    that its queries are led into the space before meanwhile. `ignored` names a champion that does not serve, since
    another model is configured or its files cannot be used.
    """
    space = route.encoder.space if route.encoder is not None else generations.serving.space
    live = generations.of_space(space.fingerprint) or generations.serving
    own = registry.model(route.encoder_id) if route.encoder_id is not None else None
    adapter = registry.model(route.adapter_id) if route.adapter_id is not None else None
    champion = registry.champion(Role.ENCODER)
    is_filling = champion is not None and champion.stage == FILLING
    ignored = None
    if champion is not None and champion.model_id not in (route.encoder_id, None) and not is_filling:
        ignored = registry.model(champion.model_id).label
    return {
        **asdict(space),
        "model": own.label if own is not None else space.model,
        "encoder": live.spec.kind,
        "id": own.id if own is not None else None,
        "name": own.label if own is not None else "configured",
        "stage": champion.stage if champion is not None and ignored is None else "serving",
        "adapter": adapter.label if adapter is not None else None,
        "map": route.bridge is not None,
        "ignored": ignored,
    }


def generation_json(registry: Registry, live: Live, lacking: int, *, is_serving: bool) -> dict[str, Any]:
    """One live generation: its space, its index, and how many chunks it holds and lacks."""
    index = live.index.facts()
    own = registry.encoder_of(live.space.fingerprint)
    return {
        "id": live.id,
        "model": own.label if own is not None else live.space.model,
        "fingerprint": live.space.fingerprint,
        "dimension": live.space.dimension,
        "serving": is_serving,
        "chunks": index.chunks,
        "lacking": lacking,
        "kind": index.kind,
        "size_bytes": index.size_bytes,
        "can_embed": live.is_embeddable,
    }
