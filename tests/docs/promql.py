"""Reads the names out of a PromQL expression: metrics with their label matchers, functions, and labels of groupings."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\]|\\.)*")|(?P<range>\[[^\]]+\])|(?P<number>[0-9][0-9.eE]*)|(?P<name>[a-zA-Z_:][\w:]*)"""
    r"""|(?P<sign>=~|!~|!=|==|>=|<=|[-+*/%^<>=(){},]))"""
)
_RANGE = re.compile(r"\[(?:\d+[smhdw]|\$__rate_interval)\]")
_WORDS = frozenset({"and", "or", "unless", "bool", "offset", "inf", "nan"})
_GROUPINGS = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
FUNCTIONS = frozenset(
    {
        "rate",
        "increase",
        "sum",
        "max",
        "min",
        "avg",
        "count",
        "histogram_quantile",
        "changes",
        "time",
        "absent",
        "label_values",
    }
)


@dataclass(slots=True)
class Read:
    """What an expression names: metrics, each with the labels of its matchers, functions, and labels it groups by."""

    metrics: list[tuple[str, frozenset[str]]] = field(default_factory=list)
    functions: set[str] = field(default_factory=set)
    grouped: set[str] = field(default_factory=set)


def read(expression: str) -> Read:
    """The names of an expression. Raises ValueError for what is not PromQL as far as this knows it."""
    tokens = _tokens(expression)
    found, at = Read(), 0
    while at < len(tokens):
        kind, text = tokens[at]
        following = tokens[at + 1][1] if at + 1 < len(tokens) else ""
        if kind == "name" and text in _GROUPINGS:
            labels, at = _between(tokens, at + 1, "(", ")")
            found.grouped |= {name for part, name in labels if part == "name"}
            continue
        if kind == "name" and following in ("(", "by", "without") and text not in _WORDS:
            found.functions.add(text)
        elif kind == "name" and text not in _WORDS:
            matchers: frozenset[str] = frozenset()
            if following == "{":
                inside, at = _between(tokens, at + 1, "{", "}")
                matchers = _matchers(inside, expression)
                at -= 1
            found.metrics.append((text, matchers))
        elif text == "{":
            raise ValueError(f"a selector without a metric: {expression}")
        at += 1
    return found


def _tokens(expression: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    open_signs: list[str] = []
    at = 0
    while expression[at:].strip():
        match = _TOKEN.match(expression, at)
        if match is None or match.lastgroup is None:
            raise ValueError(f"not understood: {expression[at : at + 20]!r} in {expression}")
        kind, text = match.lastgroup, match[match.lastgroup]
        if kind == "range" and not _RANGE.fullmatch(text):
            raise ValueError(f"not a range: {text}")
        if text in ("(", "{"):
            open_signs.append({"(": ")", "{": "}"}[text])
        elif text in (")", "}") and (not open_signs or open_signs.pop() != text):
            raise ValueError(f"unbalanced: {expression}")
        tokens.append((kind, text))
        at = match.end()
    if open_signs:
        raise ValueError(f"unbalanced: {expression}")
    return [token for token in tokens if token[0] != "range"]


def _between(tokens: list[tuple[str, str]], at: int, begin: str, end: str) -> tuple[list[tuple[str, str]], int]:
    """What stands between two signs, and the place behind them."""
    if at >= len(tokens) or tokens[at][1] != begin:
        raise ValueError(f"{begin} is missing")
    close = next(place for place in range(at, len(tokens)) if tokens[place][1] == end)
    return tokens[at + 1 : close], close + 1


def _matchers(inside: list[tuple[str, str]], expression: str) -> frozenset[str]:
    names = set()
    parts = [inside[at : at + 4] for at in range(0, len(inside), 4)]
    for part in parts:
        shape = [kind for kind, _ in part[:3]]
        if shape != ["name", "sign", "text"] or part[1][1] not in ("=", "!=", "=~", "!~"):
            raise ValueError(f"not a matcher: {part} in {expression}")
        names.add(part[0][1])
    return frozenset(names)
