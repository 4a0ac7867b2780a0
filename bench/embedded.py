"""The chunks of real texts with their vectors by the packaged encoder, embedded once and kept in a folder.

A source is a folder in BEIR's layout or a history of a folder (`*.jsonl.gz`, its first revision counts). Texts are
cut and encoded as the daemon does it. Everything that is kept is named by the hash of the chunks.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.history import read_history
from bench.quality import load
from ragd.disk.atomic import replacing
from ragd.domain.documents import ReadText
from ragd.domain.index import EncoderSpec, HalfVectors
from ragd.domain.ports import Encoder
from ragd.embed.encoder import open_encoder, tokenizer_path
from ragd.plan.split import TokenSplitter, policy_for

BUILD = Path(__file__).parents[1] / ".build"
SPEC = EncoderSpec(threads=1)
BATCH = 128


@dataclass(frozen=True, slots=True)
class Corpus:
    """The chunks of one source in the order of its documents: texts, their document's number, vectors (n, d)."""

    name: str
    texts: tuple[str, ...]
    documents: tuple[int, ...]
    vectors: HalfVectors


def documents_of(source: Path) -> list[tuple[str, str]]:
    """Title and Markdown of each document, in order."""
    if source.is_dir():
        return [(title, text) for _, title, text in load(source).documents]
    first = next(iter(read_history(source, 1)))
    return [("", text) for path, text in sorted(first.write.items()) if path.endswith(".md")]


def embedded(source: Path, kept: Path = BUILD / "bench") -> Corpus:
    """The source's chunks with their vectors; what was embedded before is read from `kept`."""
    tokenizer = tokenizer_path(SPEC, BUILD / "models")
    splitter = TokenSplitter(policy_for(str(tokenizer or ""), 256))
    texts: list[str] = []
    documents: list[int] = []
    for number, (title, text) in enumerate(documents_of(source)):
        pieces = splitter.pieces(ReadText(text, title=title))
        texts += [piece.embedded for piece in pieces]
        documents += [number] * len(pieces)
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
    path = kept / f"{source.name.partition('.')[0]}-{digest}.npy"
    if not path.is_file():
        kept.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            np.save(file, _encoded(texts), allow_pickle=False)
    return Corpus(source.name, tuple(texts), tuple(documents), np.load(path, allow_pickle=False))


def seconds_per_thousand(encoder: Encoder, texts: Sequence[str]) -> float:
    """What embedding takes now, in CPU seconds of this process per thousand chunks: other load does not count."""
    encoder.encode(texts[:8])
    started = time.process_time()
    encoder.encode(texts)
    return (time.process_time() - started) / len(texts) * 1000


def opened() -> Encoder:
    """The packaged encoder on one thread."""
    return open_encoder(SPEC, BUILD / "models")


def _encoded(texts: Sequence[str]) -> HalfVectors:
    """Vectors of the texts, longest together, as the daemon batches them."""
    encoder = opened()
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    rows = np.empty((len(texts), encoder.space.dimension), np.float16)
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        rows[chosen] = encoder.encode([texts[i] for i in chosen])
        print(f"embedded {min(start + BATCH, len(order))} of {len(order)}", flush=True)
    encoder.close()
    return rows
