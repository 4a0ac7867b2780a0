"""Prompts with answers as rows of tokens, the same way for every trainer of generators and for the evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from ragd.domain.learning import Prompt

IGNORED = -100


class Tokenizer(Protocol):
    """What is asked of a tokenizer; those of transformers have it."""

    bos_token_id: int | None
    eos_token_id: int | None

    def __call__(self, text: str, *, add_special_tokens: bool, verbose: bool) -> Any: ...


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One prompt with its answer as token ids, of which the first `asked` are not learned: bos and prompt."""

    ids: tuple[int, ...]
    asked: int

    @property
    def labels(self) -> tuple[int, ...]:
        """The same ids with -100 in place of what is not learned, as transformers wants them: not shifted."""
        return (IGNORED,) * self.asked + self.ids[self.asked :]

    @property
    def learned(self) -> int:
        """How many tokens are learned: the answer and the end."""
        return len(self.ids) - self.asked


def prompt_ids(tokenizer: Tokenizer, prompt: str, most: int) -> list[int]:
    """The ids that an answer follows: bos and the prompt, at most `most` of them; a long prompt loses its beginning."""
    start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    ids = _ids(tokenizer, prompt)
    room = max(0, most - len(start))
    return start + (ids[-room:] if room else [])


def prompt_row(tokenizer: Tokenizer, prompt: Prompt, window: int) -> TokenRow | None:
    """The row bos + prompt + answer + eos of at most `window` tokens; None for an answer that does not fit.

    The prompt is cut, never the answer. Prompt and answer are turned into tokens each for itself: joined first, a
    token could straddle the border, and the model would be asked for what it never sees when it answers.
    """
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    answer = _ids(tokenizer, prompt.answer) + end
    room = window - len(answer)
    if room < 1 or len(answer) == len(end):
        return None
    asked = prompt_ids(tokenizer, prompt.prompt, room)
    return TokenRow((*asked, *answer), len(asked)) if asked else None


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    # `verbose` would have it warn of texts that are longer than its window; here they are cut.
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
