"""A whole app over a state folder, with encoders that are rotations of hashed words, so that maps are exact."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from ragd.app import App, Model, build
from ragd.catalog.models import NewModel
from ragd.config.schema import Collection, Config
from ragd.domain.changes import Observation, Presence
from ragd.domain.documents import Extraction, Piece, Stat, content_hash
from ragd.domain.errors import ModelUnavailable
from ragd.domain.index import EmbeddingSpace, EncoderSpec, Vectors
from ragd.domain.learning import Role
from ragd.domain.search import Mode, Query
from ragd.domain.work import EmbedResult, ExtractResult, SplitPolicy
from ragd.hooks.artifacts import save_tensors, save_transform
from ragd.learn.artifacts import Offer, accept
from ragd.testing.corpus import hashed_vectors
from ragd.testing.fakes import MemoryOutbox

WIDTH = 48
BASE = 0
"""The seed of the configured model."""


def rotation(seed: int, dimension: int = WIDTH) -> Vectors:
    """(dimension, WIDTH), orthonormal rows."""
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((WIDTH, WIDTH)))
    return np.asarray(q[:dimension], np.float32)


class Rotated:
    """An encoder whose space is a rotation of hashed words."""

    def __init__(self, seed: int, dimension: int = WIDTH) -> None:
        self._rotation = rotation(seed, dimension)
        self.space = EmbeddingSpace(f"{seed:032d}", dimension, f"rotated-{seed}", 64)
        self.is_closed = False

    def encode(self, texts: Sequence[str]) -> Vectors:
        assert not self.is_closed
        vectors = hashed_vectors(texts, WIDTH) @ self._rotation.T
        found: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return found

    def encode_query(self, text: str) -> Vectors:
        return np.asarray(self.encode([text])[0])

    def close(self) -> None:
        self.is_closed = True


def opened(spec: EncoderSpec) -> Rotated:
    """The encoder of a stored model's folder."""
    path = Path(spec.model) / "config.json"
    if not path.exists():
        raise ModelUnavailable(f"{path} is missing")
    said = json.loads(path.read_bytes())
    return Rotated(said["seed"], said["dimension"])


class House:
    """The app with both workers' parts done by hand; `restart` is a kill."""

    def __init__(self, state: Path, retain: Mapping[str, object] | None = None, **learn: object) -> None:
        state.mkdir(exist_ok=True)
        self.state = state
        self.retain = dict(retain or {})
        self.base = BASE
        self.learn = learn
        self.now = 1000.0
        self.files: dict[bytes, str] = {}
        self.announced: list[tuple[str, ...]] = []
        self.app = self._built()

    def clock(self) -> float:
        self.now += 0.001
        return self.now

    def _built(self) -> App:
        config = Config.model_validate(
            {
                "state": self.state,
                "collections": (Collection(name="notes", folders=(self.state / "kb",)),),
                "learn": self.learn,
                "retain": self.retain,
                "index": {"ivf_above": 1000, "exact_below": 500},
            }
        )
        model = Model(EncoderSpec(), Rotated(self.base), SplitPolicy("", 1, 16), "paragraphs 1")
        self.outbox = MemoryOutbox()
        app = build(config, model, self.outbox, recheck=lambda _r, _p: None, opener=opened, clock=self.clock)
        app.promotions.announce = lambda: self.announced.append(tuple(live.space.model for live in app.generations.all))
        return app

    def restart(self, *, base: int | None = None) -> None:
        """What is in memory is lost; perhaps another model is configured."""
        self.base = self.base if base is None else base
        self.app.close()
        self.app = self._built()

    # The folder and its workers.

    def write(self, name: str, *texts: str) -> None:
        self.files[name.encode()] = "\n\n".join(texts)
        self._see(name.encode())

    def delete(self, name: str) -> None:
        del self.files[name.encode()]
        self._see(name.encode())

    def work(self, *, generations: Sequence[int] | None = None) -> None:
        """Extracts and embeds until nothing is left, or only for these generations."""
        self.app.ingest.step()
        while self.outbox.extracts:
            for item in self.outbox.extracts.pop(0).items:
                self.app.ingest.commit_text([self._extracted(item.document_id, item.version, item.path)], self.clock())
        while batches := [b for b in self.outbox.embeds if generations is None or b.generation in generations]:
            batch = batches[0]
            self.outbox.embeds.remove(batch)
            live = self.app.generations.get(batch.generation)
            assert live is not None
            encoder = Rotated(self.base) if live.spec == self.app.model.spec else opened(live.spec)
            assert encoder.space.fingerprint == batch.fingerprint
            vectors = encoder.encode(batch.texts).astype(np.float16)
            chars = sum(map(len, batch.texts))
            result = EmbedResult(batch.id, batch.generation, batch.chunk_ids, vectors, 0.1, chars)
            self.app.ingest.commit_vectors(result)

    def _see(self, path: bytes) -> None:
        (root_id,) = self.app.roots
        text = self.files.get(path)
        if text is None:
            self.app.ingest.observe(root_id, [Observation(path, Presence.GONE, seen_at=self.now, fresh=True)])
            return
        stat = Stat(len(text), int(self.clock() * 1e9), 1, 1)
        seen = Observation(path, Presence.PRESENT, stat, content_hash(text.encode()), seen_at=self.now, fresh=True)
        self.app.ingest.observe(root_id, [seen])

    def _extracted(self, document_id: int, version: int, path: bytes) -> ExtractResult:
        text = self.files[path]
        pieces = tuple(Piece(part, "", 0, len(part)) for part in text.split("\n\n"))
        stat = Stat(len(text), int(self.now * 1e9), 1, 1)
        extraction = Extraction(content_hash(text.encode()), "txt", "", stat, len(text), pieces)
        return ExtractResult(document_id, version, extraction)

    # Models.

    def encoder(self, seed: int, *, into: int | None = BASE, parent: int | None = None, dimension: int = WIDTH) -> int:
        """A stored encoder; with `into` it carries the exact map from its queries into that seed's space."""
        work = self.state / "run" / f"encoder-{seed}"
        work.mkdir(parents=True, exist_ok=True)
        (work / "config.json").write_text(json.dumps({"seed": seed, "dimension": dimension}))
        (work / "modules.json").write_text("[]")
        save_file({"seed": np.array([seed], np.int64)}, work / "model.safetensors")
        beside = {}
        if into is not None:
            beside["map"] = self.state / "run" / f"map-{seed}"
            weight = rotation(into) @ rotation(seed, dimension).T
            save_transform(beside["map"], "affine", weight=weight, bias=np.zeros(WIDTH))
        return self.store(Role.ENCODER, "lora", work, Rotated(seed, dimension).space.fingerprint, parent, beside)

    def adapter(self, space: int = BASE, scale: float = 0.0) -> int:
        """A stored query adapter: it turns queries round when `scale` is -2."""
        work = self.state / "run" / f"adapter-{scale}"
        save_transform(work, "residual", weight=np.eye(WIDTH) * scale)
        return self.store(Role.QUERY_ADAPTER, "query_adapter", work, Rotated(space).space.fingerprint)

    def fit(self, centroids: Vectors, space: int = BASE) -> int:
        """A stored index fit."""
        work = self.state / "run" / "fit"
        save_tensors(work / "centroids.safetensors", centroids=centroids)
        return self.store(Role.INDEX, "coarse_quantizer", work, Rotated(space).space.fingerprint)

    def store(
        self,
        role: Role,
        name: str,
        work: Path,
        space: str,
        parent: int | None = None,
        beside: Mapping[str, Path] | None = None,
    ) -> int:
        models = self.app.tables.models
        files = {
            path.relative_to(work).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in work.rglob("*")
            if path.is_file()
        }
        version = models.next_version(name)
        offer = Offer(work, self.state / "run", role, name, files, WIDTH, beside or {})
        stored = accept(offer, self.app.places.models, version)
        base = Rotated(self.base).space.fingerprint
        return models.add(
            NewModel(
                role,
                name,
                version,
                stored.folder,
                stored.files,
                stored.sha256,
                stored.size_bytes,
                space=space,
                base=base,
                parent=parent,
                run_id=f"run-{name}-{version}",
            )
        )

    def folder(self, model_id: int) -> Path:
        return self.app.places.models / self.app.tables.models.model(model_id).folder

    # What is seen from outside.

    def found(self, text: str, limit: int = 1) -> list[str]:
        """Texts found by meaning alone, best first."""
        return [hit.text for hit in self.app.answer.search(Query(text, Mode.DENSE, limit)).hits]

    @property
    def serving(self) -> str:
        """The model whose vectors are searched, and the one whose queries ask for them."""
        route = self.app.routes.current
        encoder = route.encoder.space.model if route.encoder is not None else "nobody"
        bridge = " by map" if route.bridge is not None else ""
        return f"{encoder}{bridge} in {self.app.generations.serving.space.model}"

    def champion(self, role: Role = Role.ENCODER) -> tuple[Any, ...] | None:
        champion = self.app.tables.models.champion(role)
        return None if champion is None else (champion.model_id, champion.stage, champion.has_previous)
