"""A state folder without its daemon: search and look, change nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ragd import __version__
from ragd.catalog.models import Model
from ragd.catalog.reader import CatalogReader
from ragd.catalog.registry import Registry
from ragd.domain.errors import ArtifactInvalid, ModelMismatch, ModelUnavailable, RagdError
from ragd.domain.index import Depth, EmbeddingSpace, EncoderSpec, VerifyReport
from ragd.domain.learning import Role
from ragd.domain.ports import Encoder
from ragd.domain.search import Query
from ragd.embed.encoder import stored_spec
from ragd.embed.transform import QueryTransform
from ragd.flow.answer import Answer
from ragd.flow.prove import report_json
from ragd.flow.route import Route
from ragd.index.generation import Generation
from ragd.index.verify import verify
from ragd.learn.artifacts import verified


@dataclass(frozen=True, slots=True)
class Opener:
    """Opens what served last, from the registry and the configuration, for reading only."""

    models: Path
    spec: EncoderSpec
    open_encoder: Callable[[EncoderSpec], Encoder]

    def route(
        self, registry: Registry, generation: int, space: EmbeddingSpace, index: Generation, notes: list[str]
    ) -> Route:
        """The route into `space` by its own encoder and adapter; what cannot be opened is left out, with a note."""
        encoder: Encoder | None = None
        adapter: QueryTransform | None = None
        try:
            model = registry.encoder_of(space.fingerprint)
            spec = self.spec if model is None else stored_spec(self._proven(model), self.spec)
            # A person waits: an endpoint that is away is not tried for as long as a document's work would be.
            encoder = self.open_encoder(replace(spec, threads=1, retries=min(spec.retries, 1)))
            if encoder.space.fingerprint != space.fingerprint:
                raise ModelMismatch("the configured model is not the one that made the index")
        except RagdError as error:
            notes.append(f"searching by words only: {error}")
            if encoder is not None:
                encoder.close()
                encoder = None
        try:
            adapter = self._adapter(registry, space) if encoder is not None else None
        except (ModelUnavailable, ArtifactInvalid) as error:
            notes.append(f"searching without the query adapter: {error}")
        return Route(encoder, index, generation, space.fingerprint, adapter)

    def _adapter(self, registry: Registry, space: EmbeddingSpace) -> QueryTransform | None:
        champion = registry.champion(Role.QUERY_ADAPTER)
        if champion is None or champion.model_id is None:
            return None
        model = registry.model(champion.model_id)
        if model.space != space.fingerprint:
            return None
        return QueryTransform.read(self._proven(model), space.dimension)

    def _proven(self, model: Model) -> Path:
        return verified(self.models / model.folder, model.files)


class Offline:
    """Answers from the catalog and the last snapshot of the index, brought up to the catalog in memory.

    Its methods answer as the daemon's HTTP interface does.
    """

    def __init__(
        self,
        reader: CatalogReader,
        generation_id: int,
        index: Generation | None,
        answer: Answer,
        notes: tuple[str, ...],
    ) -> None:
        self._reader = reader
        self._generation_id = generation_id
        self._index = index
        self._answer = answer
        self._notes = notes

    def search(self, query: Query) -> dict[str, Any]:
        """As `/v1/search`."""
        found = self._answer.search(query).as_json()
        return {**found, "notes": [*self._notes, *found["notes"]]}  # type: ignore[misc] # a list by its own docstring

    def status(self) -> dict[str, Any]:
        """As `/v1/status`, with what only a daemon knows left empty."""
        overview = self._reader.overview
        return {
            "state": "degraded",
            "reasons": ["no daemon is running: nothing is updated"],
            "documents": overview.documents_by_state(),
            "chunks": overview.chunk_counts(),
            "index": asdict(self._index.facts()) if self._index is not None else {},
            "queues": {},
            "workers": [],
            "watch": [{**root, "state": "not watched"} for root in overview.roots()],
            "redis": {},
            "model": {},
            "generations": [],
            "version": __version__,
            "uptime_s": 0.0,
            "proof": None,
            "progress": {},
        }

    def documents(self, **conditions: Any) -> dict[str, Any]:
        """As `/v1/documents`."""
        return self._reader.overview.documents(**conditions)

    def receipts(self, **conditions: Any) -> dict[str, Any]:
        """As `/v1/receipts`."""
        return self._reader.overview.receipts(**conditions)

    def verify(self, *, full: bool = False) -> Mapping[str, Any]:
        """As `/v1/verify` without repair."""
        if self._index is None:
            return report_json(VerifyReport(0, 0, (), (), (), False, 0.0), repaired=False)
        depth = Depth.FULL if full else Depth.DIGEST
        return report_json(verify(self._index, self._reader.replay, self._generation_id, depth=depth), repaired=False)

    def close(self) -> None:
        """Closes the catalog."""
        self._reader.close()
