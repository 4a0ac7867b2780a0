"""The part of a chunk that answers best, and the words in it that were asked for."""

from __future__ import annotations

import re

from ragd.cli.terminal import Terminal, columns, one_line

_WORD = re.compile(r"\w+")
_SCRIPTS_WITHOUT_SPACES = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]+")


def terms(query: str) -> list[str]:
    """What to emphasise: the words asked for, and of scripts without spaces the pairs of characters."""
    found: list[str] = []
    for word in _WORD.findall(query):
        runs = _SCRIPTS_WITHOUT_SPACES.findall(word)
        for run in runs:
            found.extend([run[i : i + 2] for i in range(len(run) - 1)] or [run])
        found.extend(rest for rest in _SCRIPTS_WITHOUT_SPACES.split(word) if len(rest) > 1)
    return list(dict.fromkeys(found))


def pattern(query: str) -> re.Pattern[str] | None:
    """Finds the terms at the beginnings of words, in any case; None when there are none."""
    words = sorted(terms(query), key=len, reverse=True)
    if not words:
        return None
    alternatives = [
        re.escape(word) if _SCRIPTS_WITHOUT_SPACES.match(word) else rf"\b{re.escape(word)}\w*" for word in words
    ]
    return re.compile("|".join(alternatives), re.IGNORECASE)


def excerpt(text: str, query: str, width: int) -> str:
    """At most `width` columns of the text on one line, where most of the different terms stand."""
    line = one_line(text)
    if columns(line) <= width:
        return line
    start = _best_start(line, query, width)
    if start:
        space = line.find(" ", start)
        start = space + 1 if 0 <= space < start + 20 else start
    lead = "…" if start else ""
    used, end = columns(lead), start
    while end < len(line) and used + columns(line[end]) <= width - 1:
        used += columns(line[end])
        end += 1
    if end < len(line) and (space := line.rfind(" ", start, end)) > end - 20:
        end = max(space, start + 1)
    return lead + line[start:end].rstrip() + ("…" if end < len(line) else "")


def wrapped(line: str, width: int) -> list[str]:
    """The line cut at spaces into lines of at most `width` columns, or in the middle where there is no space."""
    lines: list[str] = []
    while line and columns(line) > width:  # nothing is wider than a width below nothing
        end, used = 0, 0
        while end < len(line) and used + columns(line[end]) <= width:
            used += columns(line[end])
            end += 1
        space = line.rfind(" ", 1, end + 1)
        cut = space if space > end // 2 else max(end, 1)
        lines.append(line[:cut].rstrip())
        line = line[cut:].lstrip()
    return [*lines, line] if line else lines


def emphasised(line: str, query: str, terminal: Terminal) -> str:
    """The line with the terms emphasised where the terminal can."""
    found = pattern(query)
    if found is None or not terminal.is_colour:
        return line
    return found.sub(lambda match: terminal.bold(match[0]), line)


def _best_start(line: str, query: str, width: int) -> int:
    """Where a window of about `width` columns holds the most different terms, the earliest such place."""
    found = pattern(query)
    places = [(match.start(), match[0].lower()) for match in found.finditer(line)] if found else []
    reach = width // 2 if columns(line) > 1.5 * len(line) else width
    best, best_start = 0, 0
    for index, (start, _) in enumerate(places):
        within = {word for place, word in places[index:] if place < start + reach - 20}
        if len(within) > best:
            best, best_start = len(within), start
    return max(0, best_start - reach // 4) if best_start > reach // 2 else 0
