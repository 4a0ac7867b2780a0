"""The words of the vector side: generations, snapshots and what a search returns."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]
HalfVectors = npt.NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class EmbeddingSpace:
    """What makes vectors comparable: the model's fingerprint (hex) and their dimension.

    The fingerprint covers the weights' hash, precision, pooling, prompts and maximum length
    (tokens); two encoders with the same fingerprint may share one generation.
    """

    fingerprint: str
    dimension: int
    model: str
    max_tokens: int


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """Which encoder to open: plain values, published to workers as JSON (never a secret).

    `kind` is `onnx`, `sbert` or `openai`. `model` is `minilm` (the packaged model), a folder, or the
    endpoint's model name. `precision` (`fp32` or `int8`) is for `onnx`. `threads` 0 means every core.
    `max_tokens` 0 means what the model says. `dimension` 0 means ask the model. The prompts are
    put in front of queries and documents. `url`, `timeout_s`, `retries` and `requests_per_minute`
    (0: unlimited) are for `openai`.
    """

    kind: str = "onnx"
    model: str = "minilm"
    precision: str = "fp32"
    threads: int = 0
    max_tokens: int = 0
    dimension: int = 0
    query_prompt: str = ""
    document_prompt: str = ""
    url: str = ""
    timeout_s: float = 30.0
    retries: int = 5
    requests_per_minute: int = 0


@dataclass(frozen=True, slots=True)
class IndexPolicy:
    """When the exact index gives way to IVF and back, in chunks, and how IVF is built."""

    ivf_above: int = 100_000
    exact_below: int = 50_000
    nprobe: int = 16
    training_rows_per_list: int = 64


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """What an index says of itself: kind (`exact` or `ivf`), chunks, lists and memory in bytes."""

    kind: str
    chunks: int
    dimension: int
    lists: int
    size_bytes: int
    centroid_cosine: float | None = None


class Depth(StrEnum):
    """How far a proof looks: at digests as kept (`digest`), at the index's memory (`rows`), at every row (`full`)."""

    DIGEST = "digest"
    ROWS = "rows"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """Catalog against index: how many chunks each holds, and the ids that only one side holds, or holds differently.

    `is_miscounted` says that the rows are equal and a digest that was kept of them is not. `faults` are what the
    catalog itself counted wrong, a sentence each; only a full proof looks.
    """

    catalog_chunks: int
    index_chunks: int
    missing: tuple[int, ...]
    ghosts: tuple[int, ...]
    differing: tuple[int, ...]
    is_miscounted: bool
    seconds: float
    faults: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """True when both sides hold exactly the same chunks with the same vectors, and everything is counted right."""
        return not (self.missing or self.ghosts or self.differing or self.is_miscounted or self.faults)
