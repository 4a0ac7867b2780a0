"""A state folder with a corpus that asks for learning, questions in a file, and runs over them; no model is needed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ragd.domain.index import EncoderSpec
from ragd.domain.learning import Data, Needs, Resources, Role
from ragd.domain.training import PluginSource, Preparation, RunOutcome, RunPlaces, RunRequest
from ragd.embed.encoder import open_encoder
from ragd.hooks.artifacts import save_transform
from ragd.learn.records import write_outcome, write_request
from ragd.learn.snapshot import FrozenSnapshot, read_snapshot, write_preparation
from ragd.testing.corpus import corpus
from ragd.testing.embeddings import EmbeddingServer
from ragd.testing.indexed import IndexedState

DIMENSION = 64
NEEDS = Needs(Data.PAIRS, 40)


@dataclass
class Lesson:
    """What a daemon would have: a filled state folder, an encoder's address, a file of questions."""

    folder: Path
    server: EmbeddingServer
    runs: int = 0
    documents: Mapping[str, list[str]] = field(default_factory=dict)

    @classmethod
    def laid_out(cls, folder: Path, server: EmbeddingServer, subjects: int = 24) -> Lesson:
        """Every chunk of the corpus is a document of its own; half of the subjects are in another collection."""
        self = cls(folder, server)
        given = corpus(subjects)
        self.documents = {chunk.path: [chunk.text] for chunk in given.chunks}
        encoder = open_encoder(self.spec, self.models)
        state = IndexedState(self.state, encoder)
        half = len(given.chunks) // 2
        for name, chunks in (("places", given.chunks[:half]), ("buildings", given.chunks[half:])):
            state.add(
                {c.path: [c.text] for c in chunks}, collection=name, headings={c.path: c.path for c in chunks[::3]}
            )
        state.close()
        encoder.close()
        paths = {chunk.id: chunk.path for chunk in given.chunks}
        self.ask(
            *(
                {"query": pair.query, "document": paths[pair.positives[0]]}
                for pair in (*given.pairs, *given.validation_pairs)
            )
        )
        return self

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def models(self) -> Path:
        return self.folder / "models"

    @property
    def pairs(self) -> Path:
        return self.folder / "pairs.jsonl"

    @property
    def spec(self) -> EncoderSpec:
        return EncoderSpec(kind="openai", model="hashing", url=self.server.url, dimension=DIMENSION)

    def ask(self, *rows: Mapping[str, Any]) -> None:
        """Writes the file of questions anew."""
        self.pairs.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")

    def run(self, role: Role = Role.QUERY_ADAPTER, *, adapter: str = "", **changes: Any) -> RunPlaces:
        """A run that is requested; `changes` are to its preparation."""
        self.runs += 1
        places = RunPlaces(self.folder / "runs" / f"r{self.runs}")
        request = RunRequest(
            places.folder.name,
            "trainer",
            role,
            PluginSource("trainer", "bundled"),
            7,
            Resources(),
            self.spec,
            str(self.models),
            adapter=adapter,
        )
        write_request(places, request)
        write_preparation(places, replace(Preparation(str(self.state), NEEDS, pairs=(str(self.pairs),)), **changes))
        return places


def trained(places: RunPlaces, artifact: Path, **facts: float | int | str) -> None:
    """Writes the outcome of a trainer that made `artifact` in the run's `work`."""
    files = {
        path.relative_to(artifact).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(artifact.rglob("*"))
        if path.is_file()
    }
    name = artifact.relative_to(places.folder).as_posix()
    write_outcome(places, RunOutcome("trained", name, files, facts))


def fit_adapter(places: RunPlaces, encoder_of: Lesson, ridge: float = 1.0) -> Path:
    """A real adapter: the linear map by least squares from training queries to what answers them."""
    data: FrozenSnapshot = read_snapshot(places.data)
    queries = np.array([encoder_of.server.vector(pair.query) for pair in data.pairs])
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    answers = np.stack([data.vectors[data.rows(pair.positives[:1])[0]].astype(np.float64) for pair in data.pairs])
    gram = queries.T @ queries + ridge * np.eye(DIMENSION)
    weight = np.linalg.solve(gram, queries.T @ (answers - queries)).T
    save_transform(places.work / "artifact", "residual", weight=weight)
    return places.work / "artifact"
