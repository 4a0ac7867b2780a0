"""What travels between the daemon and its workers, as values; `jobs/payload` gives them their JSON form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from ragd.domain.documents import Extraction
from ragd.domain.index import HalfVectors


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """What one file may cost: bytes read, characters kept, seconds, and MiB of memory of the reading child."""

    max_file_bytes: int = 64 * 1024 * 1024
    max_chars: int = 10_000_000
    timeout_s: float = 120.0
    memory_mb: int = 2048


@dataclass(frozen=True, slots=True)
class SplitPolicy:
    """How texts are cut: pieces of `min_tokens` to `max_tokens` of the tokenizer file at `tokenizer`.

    An empty `tokenizer` counts characters instead (endpoints whose tokenizer is not known), four to a token.
    """

    tokenizer: str
    min_tokens: int
    max_tokens: int


@dataclass(frozen=True, slots=True)
class ExtractItem:
    """One file to read: `version` is echoed, so that an answer for an older plan is recognised."""

    document_id: int
    version: int
    path: bytes


@dataclass(frozen=True, slots=True)
class ExtractBatch:
    """Files of one root to read, split and hash. `root` is the folder's absolute path."""

    id: str
    root: bytes
    items: tuple[ExtractItem, ...]
    fresh: bool


@dataclass(frozen=True, slots=True)
class ExtractResult:
    """What became of one file: an extraction, or the reason why not and what to do.

    `is_gone` means that the file was no longer there: not a failure. `is_unstable` means that it
    changed while it was read; the extraction is then what was read last, whole.
    """

    document_id: int
    version: int
    extraction: Extraction | None
    reason: str = ""
    hint: str = ""
    is_gone: bool = False
    is_unstable: bool = False


@dataclass(frozen=True, slots=True)
class EmbedBatch:
    """Texts to embed into one generation's space, in the order of `chunk_ids`."""

    id: str
    generation: int
    fingerprint: str
    chunk_ids: tuple[int, ...]
    texts: tuple[str, ...] = field(repr=False)
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class EmbedResult:
    """Vectors of a batch, or of a part of it: (n, dimension) float16, with the encoder's seconds and characters."""

    batch_id: str
    generation: int
    chunk_ids: tuple[int, ...]
    vectors: HalfVectors = field(repr=False)
    encode_s: float
    encoded_chars: int


class Outbox(Protocol):
    """Where the flow puts work for the workers; `jobs/queue` implements it over Redis."""

    def extract(self, batch: ExtractBatch) -> None:
        """Queues a batch for an extract worker; fresh ones go to the front. Raises BrokerUnavailable."""
        ...

    def embed(self, batch: EmbedBatch) -> None:
        """Queues a batch for an embed worker; fresh ones go to the front. Raises BrokerUnavailable."""
        ...
