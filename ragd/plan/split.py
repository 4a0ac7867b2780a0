"""Cuts a text into chunks that fit the encoder, each under the headings it stands below."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from semantic_text_splitter import MarkdownSplitter, TextSplitter

from ragd.domain.documents import Piece, ReadText
from ragd.domain.work import SplitPolicy
from ragd.plan.headings import Outline, shortened
from ragd.plan.tokens import Counter, Measured, counter

SPLIT_VERSION = "1"
# Small enough that an edit re-embeds little, large enough to carry a thought: see docs/explanation.
MIN_TOKENS = 100
MAX_TOKENS = 256
CONTEXT_CHARS = 120
_BLOCK_CHARS = 50_000
_SENTENCE_CHARS = 4_000
_SENTENCE = re.compile(r"[^\n.!?。！？]+")
_CONTEXT_SHARE = 4  # at most a quarter of the encoder's room goes to the headings


def policy_for(tokenizer: str, encoder_max_tokens: int) -> SplitPolicy:
    """The default policy for an encoder that sees `encoder_max_tokens` (special tokens included)."""
    most = max(16, min(MAX_TOKENS, encoder_max_tokens))
    return SplitPolicy(tokenizer=tokenizer, min_tokens=min(MIN_TOKENS, most // 2), max_tokens=most)


class TokenSplitter:
    """Splits Markdown by its structure and other texts by sentences, lines and paragraphs, by tokens.

    A chunk is full from `policy.min_tokens` on; context, text and special tokens together stay within
    `policy.max_tokens`. Source code is cut at blank lines, lines and words: grammars for
    syntax trees are not part of the installation. The cuts after a heading depend
    only on the text below it and the counts before it in its section, so an edit moves few others.
    """

    def __init__(self, policy: SplitPolicy) -> None:
        self._policy = policy
        self._counter: Counter = counter(policy.tokenizer)
        self._room = policy.max_tokens - self._counter.special
        self._context_room = self._room // _CONTEXT_SHARE

    def pieces(self, text: ReadText) -> tuple[Piece, ...]:
        """The chunks in order: no empty ones, and together every character that is not white space."""
        if not text.text or text.text.isspace():
            return ()
        outline = Outline(text.text if text.form == "markdown" else "", text.title)
        contexts: dict[tuple[str, ...], str] = {}
        pieces: list[Piece] = []
        for start, end in self._spans(text, outline):
            path = outline.path(start)
            if path not in contexts:
                contexts[path] = self._context(path)
            page = max(1, bisect_right(text.pages, start)) if text.pages else None
            pieces.append(Piece(text.text[start:end], contexts[path], start, end, page))
        return tuple(pieces)

    def _context(self, path: tuple[str, ...]) -> str:
        """The path as one line that leaves the text its room."""
        limit = CONTEXT_CHARS
        line = shortened(path, limit)
        while line and self._counter.measured(line).total() > self._context_room:
            limit = limit * 3 // 4
            line = shortened(path, limit)[:limit]
        return line

    def _spans(self, text: ReadText, outline: Outline) -> Iterator[tuple[int, int]]:
        """Start and end of each chunk, within the room that any context leaves."""
        most = self._room - self._context_room
        least = min(self._policy.min_tokens, most)
        splitter = MarkdownSplitter if text.form == "markdown" else TextSplitter
        for offset, end_of_block in _blocks(text, outline):
            block = text.text[offset:end_of_block]
            measured = self._counter.measured(block)
            for start, part in splitter.from_callback(measured.size, (least, most)).chunk_indices(block):
                if part.strip():
                    for a, b in self._fitting(block, start, start + len(part), measured, most):
                        yield offset + a, offset + b

    def _fitting(self, text: str, start: int, end: int, measured: Measured, most: int) -> Iterator[tuple[int, int]]:
        """The stretch itself, or halves of it where the exact count says that it is too long after all."""
        if (
            measured.between(start, end) * (1 + self._counter.doubt) <= most
            or self._counter.exact(text[start:end]) <= most
        ):
            yield start, end
            return
        middle = _middle(text, start, end)
        for a, b in ((start, middle), (middle, end)):
            stretch = text[a:b]
            if stretch.strip():
                a += len(stretch) - len(stretch.lstrip())
                yield from self._fitting(text, a, a + len(stretch.strip()), measured, most)


def _blocks(text: ReadText, outline: Outline) -> Iterator[tuple[int, int]]:
    """The stretches that are split on their own: pages, and parts of what is long.

    A chunk lies on one page, so that its page number is true. The splitter's time grows with the
    square of the length of a text, and far more with that of a sentence without an end, so that long
    texts are parted before a heading, else at an empty line, else at a line's end, and endless
    sentences at a space.
    """
    start = 0
    ends = [page for page in text.pages if 0 < page < len(text.text)]
    spans = (sentence.span() for sentence in _SENTENCE.finditer(text.text))
    endless = [place for a, b in spans if b - a > _SENTENCE_CHARS for place in _partings(text.text, a, b)]
    for end in sorted({*ends, *endless, len(text.text)}):
        while end - start > 2 * _BLOCK_CHARS:
            part = _parting(text.text, outline, start + _BLOCK_CHARS, start + 2 * _BLOCK_CHARS)
            yield start, part
            start = part
        yield start, end
        start = end


def _partings(text: str, start: int, end: int) -> Iterator[int]:
    """Places within an endless sentence, a sentence's greatest length apart or a little more."""
    place = start + _SENTENCE_CHARS
    while place < end:
        space = text.find(" ", place, min(end, place + _SENTENCE_CHARS // 10))
        place = space + 1 if space >= 0 else place
        yield place
        place += _SENTENCE_CHARS


def _parting(text: str, outline: Outline, least: int, most: int) -> int:
    """The best place to part a long text from `least` up to `most`."""
    heading = outline.heading_after(least, most)
    if heading >= 0:
        return heading
    for mark in ("\n\n", "\n", " "):
        found = text.find(mark, least, most)
        if found >= 0:
            return found + len(mark)
    return most


def _middle(text: str, start: int, end: int) -> int:
    """A place near the middle of a stretch, after white space if there is some."""
    half = (start + end) // 2
    space = max(text.rfind("\n", start + 1, half), text.rfind(" ", start + 1, half))
    return space + 1 if space > start else half
