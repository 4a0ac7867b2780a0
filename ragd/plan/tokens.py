"""How many tokens a stretch of text has, counted once for the whole text and looked up ever after."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Protocol

from ragd.domain.errors import ModelUnavailable

# Words, single marks, single characters of scripts without spaces. A word takes the space before it along,
# because byte-level and sentence-piece vocabularies count " word" as one token.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\ua4cf\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
# Longer runs count by parts: a vocabulary may take a run of a thousand letters for one unknown token.
_UNIT = re.compile(rf" ?(?:[^\W_{_UNSPACED}]{{1,32}}|\S)|\s")
_ASCII_UNIT = re.compile(r" ?(?:[A-Za-z0-9]{1,32}|\S)|\s", re.ASCII)  # the same units, found in half the time
_CACHE_SIZE = 200_000
CHARACTERS_A_TOKEN = 4


class Counter(Protocol):
    """Counts tokens of texts; `special` is how many the encoder adds around every text.

    `doubt` is the share of a stretch by which its measured count may differ from the exact one.
    """

    special: int
    doubt: float

    def exact(self, text: str) -> int:
        """The tokens of a text, without the special ones."""
        ...

    def measured(self, text: str) -> Measured:
        """The text with its token counts by place."""
        ...


class Measured:
    """A text with the number of tokens up to each of its units: any stretch is counted in O(log n)."""

    def __init__(self, text: str, ends: list[int], counts: list[int]) -> None:
        self._text = text
        self._ends = ends
        self._counts = counts
        self._cursor = 0

    def between(self, start: int, end: int) -> int:
        """Tokens from `start` to `end` (character offsets); a unit that is cut counts whole."""
        first = bisect_right(self._ends, start)
        last = bisect_left(self._ends, end)
        if last >= len(self._ends):
            last = len(self._ends) - 1
        return self._counts[last] - (self._counts[first - 1] if first else 0) if end > start else 0

    def total(self) -> int:
        """Tokens of the whole text."""
        return self._counts[-1] if self._counts else 0

    def size(self, part: str) -> int:
        """Tokens of a substring of the text, as the splitter asks for it: from left to right.

        A splitter hands over parts without saying where they are. They begin at or after the ones it
        asked for before, so that the search from there succeeds at once; an earlier equal part has
        the same tokens wherever it is.
        """
        start = self._text.find(part, self._cursor)
        if start < 0:
            start = self._text.find(part)
        else:
            self._cursor = start
        return self.between(start, start + len(part))


class TokenCounter:
    """Counts by a tokenizer file, unit by unit with a cache; `exact` asks the tokenizer itself.

    For word-piece vocabularies the sum over units is the tokenizer's own count but for rare
    accents; for others it may be a little high. Raises ModelUnavailable when the file cannot be read.
    """

    def __init__(self, path: str) -> None:
        from tokenizers import Tokenizer  # 30 ms that only this class needs

        try:
            self._tokenizer = Tokenizer.from_str(Path(path).read_text(encoding="utf-8"))
        except Exception as error:  # the library raises nothing more precise
            raise ModelUnavailable(
                f"{path}: cannot be read as a tokenizer: {error}", hint="check the model folder named in the encoder"
            ) from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._counts = _UnitCounts(self.exact)
        self.special = int(self._tokenizer.num_special_tokens_to_add(False))
        self.doubt = 0.03 if type(self._tokenizer.model).__name__ == "WordPiece" else 0.15

    def exact(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def measured(self, text: str) -> Measured:
        if len(self._counts) > _CACHE_SIZE:
            self._counts.clear()
        units: list[str] = (_ASCII_UNIT if text.isascii() else _UNIT).findall(text)
        counts = map(self._counts.__getitem__, units)
        return Measured(text, list(accumulate(map(len, units))), list(accumulate(counts)))


class _UnitCounts(dict[str, int]):
    """Tokens by unit; a unit is counted when it is first met."""

    def __init__(self, count: Callable[[str], int]) -> None:
        super().__init__()
        self._count = count

    def __missing__(self, unit: str) -> int:
        count = self[unit] = self._count(unit)
        return count


class CharacterCounter:
    """Counts four characters as a token, for encoders whose tokenizer is not known."""

    special = 0
    doubt = 0.0

    def exact(self, text: str) -> int:
        return -(-len(text) // CHARACTERS_A_TOKEN)

    def measured(self, text: str) -> Measured:
        ends = list(range(CHARACTERS_A_TOKEN, len(text) + CHARACTERS_A_TOKEN, CHARACTERS_A_TOKEN))
        return Measured(text, ends, list(range(1, len(ends) + 1)))


def counter(tokenizer: str) -> Counter:
    """The counter for a tokenizer file, or for characters when the path is empty."""
    return TokenCounter(tokenizer) if tokenizer else CharacterCounter()
