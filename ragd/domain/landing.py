"""What a commit made searchable, and at what cost: the values that freshness and rates are measured by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Waited:
    """Seconds from the moment a change was seen until this commit; `is_fresh` unless it came with a flood of others."""

    seconds: float
    is_fresh: bool


@dataclass(frozen=True, slots=True)
class Landing:
    """Changes that a commit made searchable by words, and by meaning.

    `edited_chars` are the characters of the texts that came in, `encoded_chars` those that the encoder was given for
    `chunks` of them in `encode_s` seconds. `is_fill` when they went into a generation that does not serve.
    """

    by_words: tuple[Waited, ...] = ()
    by_meaning: tuple[Waited, ...] = ()
    edited_chars: int = 0
    encoded_chars: int = 0
    chunks: int = 0
    encode_s: float = 0.0
    is_fill: bool = False
