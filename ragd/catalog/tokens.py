"""Words for full-text search, in any script: the same rules for a chunk's text and for a query.

SQLite's unicode61 tokenizer splits at spaces and punctuation, which finds no words in Chinese,
Japanese or Korean. Runs of those scripts are therefore written as overlapping pairs of characters
(the usual bigram analysis of information retrieval), the last character once more alone, so that
a query of any length, even one character, meets the text.
"""

from __future__ import annotations

import re
import unicodedata

TOKENIZER = "porter unicode61 remove_diacritics 2"
"""FTS5's tokenizer; together with `index_text` it defines what a word is (a schema migration when changed)."""

_CJK = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af\U00020000-\U0003ffff]+")
_WORD = re.compile(r"[^\W_]+")
_QUOTED = re.compile(r'"([^"]+)"')
_STOP_WORDS = frozenset(
    (
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "but",
        "by",
        "for",
        "from",
        "has",
        "have",
        "how",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "of",
        "on",
        "or",
        "that",
        "the",
        "their",
        "there",
        "these",
        "they",
        "this",
        "to",
        "was",
        "were",
        "what",
        "when",
        "where",
        "which",
        "who",
        "why",
        "will",
        "with",
    )
)


def index_text(text: str) -> str:
    """The text as full-text search is to see it: compatibility-normalised, CJK runs as bigrams."""
    return _CJK.sub(_bigrams, _normalised(text))


def match_expression(query: str) -> str:
    """The FTS5 MATCH expression of a person's query; empty when it holds no word.

    Words are alternatives ranked by BM25; every part in double quotes is a phrase that must occur.
    Common English words count only when there is nothing else.
    """
    normalised = _normalised(query)
    phrases = [p for part in _QUOTED.findall(normalised) if (p := _phrase(index_text(part)))]
    rest = _QUOTED.sub(" ", normalised)
    terms = _terms(rest)
    content = [t for t in terms if t.strip('"') not in _STOP_WORDS]
    if content or phrases:
        terms = content
    any_word = " OR ".join(dict.fromkeys(terms))
    required = " AND ".join(phrases)
    if not phrases:
        return any_word
    # A row must hold the phrases; the other words only add to its rank.
    return f"({required}) AND ({any_word} OR {required})" if any_word else required


def query_words(query: str) -> tuple[str, ...]:
    """The plain words of a query, for marking them in a result."""
    return tuple(dict.fromkeys(w for w in _WORD.findall(_normalised(query)) if w not in _STOP_WORDS))


def _normalised(text: str) -> str:
    return unicodedata.normalize("NFKC", text).replace("\x00", " ").lower()


def _bigrams(run: re.Match[str]) -> str:
    characters = run.group()
    pairs = [characters[i : i + 2] for i in range(len(characters))]
    return f" {' '.join(pairs)} "


def _terms(text: str) -> list[str]:
    terms: list[str] = []
    for word in _WORD.findall(text):
        at = 0
        for run in _CJK.finditer(word):
            terms += [f'"{word[at : run.start()]}"'] if run.start() > at else []
            characters = run.group()
            pairs = [characters[i : i + 2] for i in range(len(characters) - 1)]
            terms += [f'"{pair}"' for pair in pairs] or [f'"{characters}" *']
            at = run.end()
        terms += [f'"{word[at:]}"'] if at < len(word) else []
    return terms


def _phrase(indexed: str) -> str:
    words = _WORD.findall(indexed)
    # The lone last character of a run is only there for one-character queries.
    if len(words) > 1 and _CJK.fullmatch(words[-1]) and len(words[-1]) == 1 and words[-2].endswith(words[-1]):
        words = words[:-1]
    if not words:
        return ""
    # A run of one character begins the pair that it is a part of, unless it ends its run.
    is_lone = len(words[-1]) == 1 and _CJK.fullmatch(words[-1])
    return f'"{" ".join(words)}"{" *" if is_lone else ""}'
