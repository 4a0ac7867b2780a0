"""What was saved against the plain ways: embedding files anew as a whole, rebuilding the index, fine-tuning in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ragd.domain.learning import Role

_SPACE_STAYS = (Role.INDEX, Role.QUERY_ADAPTER)


@dataclass(frozen=True, slots=True)
class Embedded:
    """The encoder's work since the catalog began, and what it would have been by file.

    `encoded_chars` took `encode_s` seconds. `changed_chars` are the characters of every file that changed, each time
    that it did, of which `new_chars` were new to the encoder; `changes` counts them, `reused` those with nothing new.
    `live_chars` and `live_chunks` are what is searchable now.
    """

    encoded_chars: int = 0
    encode_s: float = 0.0
    changed_chars: int = 0
    new_chars: int = 0
    changes: int = 0
    reused: int = 0
    live_chars: int = 0
    live_chunks: int = 0

    @property
    def seconds_a_char(self) -> float | None:
        """What a character costs to embed, learned; None while nothing was embedded."""
        return self.encode_s / self.encoded_chars if self.encoded_chars else None


@dataclass(frozen=True, slots=True)
class Promoted:
    """A model that went live: its trainer and role, its run's examples and seconds (CPU and GPU together)."""

    trainer: str
    role: str
    examples: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Reference:
    """The full fine-tuning of a role: its trainer, seconds per thousand examples, whether its own runs told them."""

    trainer: str
    per_thousand_s: float
    is_learned: bool


@dataclass(frozen=True, slots=True)
class Saved:
    """One saving: seconds (None where there is nothing to compute it from), how many times, and how it was computed."""

    what: str
    seconds: float | None
    count: int
    how: str


def saved(embedded: Embedded, promoted: Sequence[Promoted], references: Mapping[str, Reference]) -> tuple[Saved, ...]:
    """Every saving, the most certain first."""
    return _embeddings(embedded), _rebuilds(embedded, promoted), _runs(promoted, references)


def _embeddings(embedded: Embedded) -> Saved:
    """Characters of changed files that were not new, at the learned price of a character."""
    kept = max(0, embedded.changed_chars - embedded.new_chars)
    each = embedded.seconds_a_char
    told = (
        f"{embedded.changes:,} changed files held {embedded.changed_chars:,} characters, {embedded.new_chars:,} of them"
        f" new to the encoder; {embedded.reused:,} files had nothing new (moved, copied, reverted)"
    )
    if each is None:
        return Saved("embeddings not recomputed", None, embedded.changes, f"{told}; nothing was embedded yet")
    how = f"{told}; the other {kept:,} at {each * 1e6:.2f} s a million, as measured over {embedded.encoded_chars:,}"
    return Saved("embeddings not recomputed", kept * each, embedded.changes, how)


def _rebuilds(embedded: Embedded, promoted: Sequence[Promoted]) -> Saved:
    """A model that leaves the embedding space as it is needs no rebuild, which a fine-tuned encoder would."""
    count = sum(model.role in _SPACE_STAYS for model in promoted)
    each = embedded.seconds_a_char
    told = f"{count} promotions left the vectors as they are"
    if each is None:
        return Saved("rebuilds not needed", None, count, f"{told}; nothing was embedded yet")
    rebuild_s = embedded.live_chars * each
    how = f"{told}; a full rebuild embeds {embedded.live_chunks:,} chunks ({embedded.live_chars:,} characters)"
    return Saved("rebuilds not needed", count * rebuild_s, count, f"{how} in {rebuild_s:,.1f} s")


def _runs(promoted: Sequence[Promoted], references: Mapping[str, Reference]) -> Saved:
    """What a full fine-tuning on the same examples would have taken beyond what the cheaper run did."""
    seconds, count, spent = 0.0, 0, 0.0
    names: dict[str, str] = {}
    for model in promoted:
        reference = references.get(model.role)
        if reference is None or reference.trainer == model.trainer or not model.examples:
            continue
        full_s = reference.per_thousand_s * model.examples / 1000
        if full_s > model.seconds:
            seconds += full_s - model.seconds
            spent += model.seconds
            count += 1
            source = "learned from its runs" if reference.is_learned else "its own first guess"
            names[reference.trainer] = f"{reference.trainer} at {reference.per_thousand_s:,.1f} s a thousand ({source})"
    if not count:
        return Saved("full fine-tunings not needed", 0.0, 0, "no promoted model was cheaper than a full fine-tuning")
    how = f"{count} cheaper models won in {spent:,.1f} s; on the same examples {', '.join(names.values())}"
    return Saved("full fine-tunings not needed", seconds, count, how)
