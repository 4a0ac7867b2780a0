"""A folder and a state that know each other before the daemon starts: real files, generated vectors.

The files are filler that nobody edits: blocks of words, one block a chunk. They go through the daemon's
own ingest in this process, with answers that stand in for the workers': blocks for the splitter's chunks and random
unit vectors for the encoder's. A daemon started on the folder finds every file unchanged.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import numpy as np

from bench.stream import VOCABULARY
from ragd import app
from ragd.app import App
from ragd.config.schema import Collection, Config
from ragd.domain.documents import Extraction, Piece
from ragd.domain.work import EmbedBatch, EmbedResult, ExtractBatch, ExtractResult
from ragd.index.snapshot import write_snapshot
from ragd.watch.files import look_at, with_hash

CHUNKS_A_FILE = 50
_FILES_AT_ONCE = 100
_CHUNKS_AT_ONCE = 2_000


class Nobody:
    """An Outbox whose workers never answer: the filler answers itself."""

    def extract(self, batch: ExtractBatch) -> None:
        """Takes a batch."""

    def embed(self, batch: EmbedBatch) -> None:
        """Takes a batch."""


def fill(folder: Path, state: Path, *, chunks: int, seed: int = 0, model: str = "minilm") -> int:
    """Writes filler files below `folder` with this many chunks in all, indexed in `state`; returns how many files.

    The catalog, the index and its snapshot are those of a daemon that was stopped in order. `model` is
    embed.model of the configuration that the daemon will run with.
    """
    rng = random.Random(seed)
    paths = [
        _written(folder, number, min(CHUNKS_A_FILE, chunks - number * CHUNKS_A_FILE), rng)
        for number in range(-(-chunks // CHUNKS_A_FILE))
    ]
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    collection = Collection(name="default", folders=(folder.absolute(),))
    config = Config.model_validate({"state": state, "collections": (collection,), "embed": {"model": model}})
    opened = app.build(config, app.open_model(config), Nobody(), recheck=lambda _root, _path: None)
    try:
        ((root_id, root),) = opened.roots.items()
        for at in range(0, len(paths), _FILES_AT_ONCE):
            some = [os.fsencode(path.relative_to(folder)) for path in paths[at : at + _FILES_AT_ONCE]]
            seen = [with_hash(root, look_at(root, path, 1 << 30)) for path in some]
            opened.ingest.observe(root_id, seen)
            _answer_texts(opened, root)
        answer_vectors(opened, seed)
        write_snapshot(opened.places.generation(opened.generation_id), opened.model.space, opened.index)
    finally:
        opened.close()
    return len(paths)


def _written(folder: Path, number: int, blocks: int, rng: random.Random) -> Path:
    path = folder / "filler" / f"part-{number // 100:03}" / f"filler-{number:06}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    first = number * CHUNKS_A_FILE
    path.write_text("\n\n".join(_block(first + at, rng) for at in range(blocks)) + "\n", "utf-8")
    # At rest for longer than any file that is still being written.
    os.utime(path, (time.time() - 3600,) * 2)
    return path


def _block(number: int, rng: random.Random) -> str:
    """Some six hundred characters, no two alike."""
    words = rng.choices(VOCABULARY, k=80)
    return f"Block {number:07d} tells of {' '.join(words)}."


def _answer_texts(opened: App, root: bytes) -> None:
    results = []
    for waiting in opened.tables.documents.pending(_FILES_AT_ONCE):
        text = (Path(os.fsdecode(root)) / os.fsdecode(waiting.path)).read_text("utf-8")
        seen = with_hash(root, look_at(root, waiting.path, 1 << 30))
        assert seen.stat is not None
        assert seen.content_hash is not None
        pieces = tuple(_pieces(text))
        extraction = Extraction(seen.content_hash, "md", "", seen.stat, len(text), pieces)
        results.append(ExtractResult(waiting.document_id, waiting.version, extraction))
    opened.ingest.commit_text(results, time.time())


def _pieces(text: str) -> list[Piece]:
    pieces, at = [], 0
    for block in text.rstrip("\n").split("\n\n"):
        pieces.append(Piece(block, "", at, at + len(block)))
        at += len(block) + 2
    return pieces


def answer_vectors(opened: App, seed: int) -> None:
    """Random unit vectors for every chunk that waits for one."""
    rng = np.random.default_rng(seed)
    space = opened.model.space
    generation = opened.generation_id
    while waiting := opened.tables.vectors.to_embed(generation, _CHUNKS_AT_ONCE, fresh=False):
        vectors = rng.standard_normal((len(waiting), space.dimension), np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        halves = vectors.astype(np.float16)
        opened.ingest.commit_vectors(EmbedResult("filler", generation, tuple(waiting), halves, 0.0, 0))
