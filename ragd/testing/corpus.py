"""A small corpus that asks for learning: queries say in other words what the chunks say, over many subjects."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ragd.domain.index import HalfVectors, Ids, Vectors
from ragd.domain.learning import Chunk, Pair, Prompt

NAMES = (
    "Kestrel", "Hollow", "Marrow", "Tansy", "Brindle", "Cobalt", "Ember", "Fallow", "Gannet", "Heron", "Iris",
    "Juniper", "Larch", "Merlin", "Nettle", "Osprey", "Plover", "Quarry", "Rowan", "Sorrel", "Teasel", "Umber", "Vetch",
    "Willow",
)  # fmt: skip
KINDS = ("lighthouse", "bridge", "mill", "harbour", "tower", "canal", "chapel", "station")
# What is asked, in words that the chunk does not use; what the chunk says; the unit.
ASPECTS = (
    ("how heavy is", "mass of", "tonnes"),
    ("how tall is", "height of", "metres"),
    ("how old is", "year of construction of", "AD"),
    ("who drew the plans for", "architect of", "(member of the guild)"),
    ("what did people pay for", "cost of", "crowns"),
    ("how many folks come to see", "annual visitors of", "guests"),
    ("what colour did they paint", "coating on", "lead grade"),
    ("how fast can one climb", "ascent time of", "minutes"),
    ("when does one get into", "opening hours of", "o'clock"),
    ("what keeps warm", "heating in", "kilowatts"),
    ("who looks after", "caretaker of", "(roster number)"),
    ("what was broken at", "damage report for", "items"),
)
VALIDATION_EVERY = 5
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class MemorySnapshot:
    """A `Snapshot` in memory; its vectors, shape (len(chunks), dimension), cannot be written to."""

    chunks: tuple[Chunk, ...]
    vectors: HalfVectors
    pairs: tuple[Pair, ...] = ()
    validation_pairs: tuple[Pair, ...] = ()
    prompts: tuple[Prompt, ...] = ()

    def rows(self, chunk_ids: Sequence[int]) -> Ids:
        """Where these chunks stand, shape (n,), int64. Raises KeyError for an unknown id."""
        places = {chunk.id: place for place, chunk in enumerate(self.chunks)}
        return np.array([places[chunk_id] for chunk_id in chunk_ids], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Corpus:
    """Chunks, each alone in its document, with the pairs and prompts that ask for them."""

    chunks: tuple[Chunk, ...]
    pairs: tuple[Pair, ...]
    validation_pairs: tuple[Pair, ...]
    prompts: tuple[Prompt, ...]


def corpus(subjects: int = 24) -> Corpus:
    """What is known of so many subjects, twelve chunks each; every fifth subject is for validation.

    Equal arguments give equal texts. Raises ValueError for more subjects than there are names (192).
    """
    if not 0 < subjects <= len(NAMES) * len(KINDS):
        raise ValueError(f"{subjects} subjects: there are 1 to {len(NAMES) * len(KINDS)}")
    chunks: list[Chunk] = []
    pairs: tuple[list[Pair], list[Pair]] = ([], [])
    prompts: list[Prompt] = []
    for number in range(subjects):
        name = f"{NAMES[number % len(NAMES)]} {KINDS[(number + number // len(NAMES)) % len(KINDS)]}"
        for aspect, (asked, said, unit) in enumerate(ASPECTS):
            chunk_id = 1000 + 7 * len(chunks)  # ids with gaps, as in a catalog that has lived
            value = 11 + zlib.crc32(f"{name} {said}".encode()) % 900
            answer = f"The {said} the {name}: {value} {unit}."
            path = f"{name.replace(' ', '-').lower()}/{aspect}.md"
            chunks.append(Chunk(chunk_id, len(chunks) + 1, "places", path, f"{name}\n{answer}"))
            query = f"{asked} the {name}?"
            pairs[number % VALIDATION_EVERY == VALIDATION_EVERY - 1].append(Pair(query, (chunk_id,)))
            prompts.append(Prompt(query, answer))
    return Corpus(tuple(chunks), tuple(pairs[0]), tuple(pairs[1]), tuple(prompts))


def hashed_vectors(texts: Sequence[str], dimension: int = 64) -> Vectors:
    """A hashed bag of words for each text, shape (n, dimension), float32, unit length; no model is needed."""
    found = np.zeros((len(texts), dimension), dtype=np.float32)
    for row, text in zip(found, texts, strict=True):
        row[0] = 0.1  # so that a blank text has a direction too
        for word in _WORD.findall(text.lower()):
            place = zlib.crc32(word.encode("utf-8"))
            row[place % dimension] += 1.0 if place & 0x10000 else -1.0
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), dtype=np.float32)
