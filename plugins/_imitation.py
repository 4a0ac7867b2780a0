"""Teaches one encoder the vectors of another: the stored ones of chunks, and fresh ones of short sentences."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ragd.hooks.api import Run, TooFewExamples

from ._encoder_folder import features

Floats = npt.NDArray[np.float32]
_SENTENCE = re.compile(r"[^\n.!?。！？]{12,}[.!?。！？]?")


def examples(run: Run, *, most: int, sentences: int) -> tuple[list[str], Floats]:
    """Texts with the unit vectors that the serving encoder gives them, shape (n, dimension).

    Chunks come with their stored vectors, for nothing. As many as `sentences` are cut out of them and embedded by the
    serving encoder, because queries are short and chunks are not. Raises TooFewExamples for fewer than two chunks.
    """
    draw = random.Random(run.seed)  # noqa: S311 - a seeded sample, not a secret
    chunks = run.data.chunks
    rows = sorted(draw.sample(range(len(chunks)), min(most, len(chunks))))
    if len(rows) < 2:
        raise TooFewExamples(f"{len(rows)} chunks are there, at least 2 are needed", hint="wait until more is indexed")
    texts = [chunks[row].text for row in rows]
    vectors = np.asarray(run.data.vectors[rows], dtype=np.float32)
    cut = [draw.choice(found) for row in rows if (found := _SENTENCE.findall(chunks[row].text))]
    short = [sentence.strip() for sentence in draw.sample(cut, min(sentences, len(cut)))]
    if short:
        texts += short
        vectors = np.concatenate([vectors, run.encode_documents(short)])
    return texts, vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def imitation(
    model: Any, texts: Sequence[str], targets: Floats, *, size: int, seed: int, kind: str = "cosine"
) -> tuple[Callable[[int], Any], int]:
    """The loss of a batch by its number, and how many batches show every text once.

    `cosine` is 1 minus the cosine to the target. `similarity` asks only that texts of a batch are as near to each other
    as their targets are, which leaves the student more room.
    """
    import torch

    wanted = torch.from_numpy(np.ascontiguousarray(targets)).to(model.device)
    an_epoch = -(-len(texts) // size)

    def of(number: int) -> Any:
        order = np.random.default_rng([seed, number // an_epoch]).permutation(len(texts))
        some = order[number % an_epoch * size :][:size]
        made = model(features(model, [texts[i] for i in some], is_query=False))["sentence_embedding"].float()
        made = torch.nn.functional.normalize(made, dim=-1)
        goal = wanted[torch.from_numpy(some)]
        if kind == "similarity":
            return (made @ made.T - goal @ goal.T).square().mean()
        return (1 - (made * goal).sum(dim=-1)).mean()

    return of, an_epoch


def likeness(model: Any, texts: Sequence[str], targets: Floats, encode: Callable[[Any, Sequence[str]], Any]) -> float:
    """The mean cosine between the model's vectors of some texts and their targets."""
    return float((encode(model, texts) * targets).sum(axis=1).mean())
