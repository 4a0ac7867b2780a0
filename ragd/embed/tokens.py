"""Texts to token ids as one encoder wants them: its tokenizer, its limit, its special tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from ragd.domain.errors import ModelUnavailable
from ragd.embed.folder import ModelFolder

TokenIds = npt.NDArray[np.int64]


def well_formed(text: str) -> str:
    """The text with lone surrogates replaced by U+FFFD, so that it has a UTF-8 form."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


class TextTokens:
    """The tokenizer of one model folder, cut to `max_tokens` (special tokens included); safe to share by threads."""

    def __init__(self, folder: ModelFolder, max_tokens: int) -> None:
        self._lower_case = folder.lower_case
        self._pad_id = folder.pad_id
        self._tokenizer = load_tokenizer(folder.tokenizer)
        self._tokenizer.no_padding()  # the file may ask for a fixed width, which would cost most of the work
        self._tokenizer.enable_truncation(max_tokens)

    def ids(self, text: str) -> TokenIds:
        """Token ids, shape (tokens,), at least one.

        One text at a time: the tokenizer's own batches start a thread a core, whatever was configured.
        """
        text = well_formed(text)
        ids = self._tokenizer.encode(text.lower() if self._lower_case else text).ids
        return np.array(ids or [self._pad_id], dtype=np.int64)

    def padded(self, rows: list[TokenIds]) -> tuple[TokenIds, TokenIds]:
        """Rows of ids padded on the right to the longest, and their mask, both (rows, tokens)."""
        width = max(len(row) for row in rows)
        ids = np.full((len(rows), width), self._pad_id, dtype=np.int64)
        mask = np.zeros((len(rows), width), dtype=np.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
            mask[i, : len(row)] = 1
        return ids, mask


def load_tokenizer(path: Path) -> Tokenizer:
    """The fast tokenizer kept in a file. Raises ModelUnavailable when it is missing or broken."""
    if not path.is_file():
        raise ModelUnavailable(
            f"{path} is missing",
            hint="save the model's fast tokenizer into its folder, or use the encoder kind sbert",
        )
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise ModelUnavailable(f"{path} cannot be read: {error}", hint="save the tokenizer again") from error
