"""Which headings a place in a Markdown text stands under."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass

_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)$")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_MARKS = re.compile(r"[*`]+|<[^>]*>|\{#[^}]*\}")
SEPARATOR = " > "


@dataclass(frozen=True, slots=True)
class Heading:
    """One heading: where its line begins (characters), its level (1 to 6) and its words."""

    start: int
    level: int
    text: str


def headings(markdown: str) -> tuple[Heading, ...]:
    """The headings in order, by CommonMark's rules for `#` and underlined ones; code and front matter are skipped."""
    found: list[Heading] = []
    fence = ""
    offset = 0
    before, before_start = "", 0  # the line above, if it can be an underlined heading
    front_end = _front_matter_end(markdown)
    for line in markdown.split("\n"):
        start, offset = offset, offset + len(line) + 1
        if start < front_end:
            continue
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence) and not mark[2].strip():
                fence = ""
            continue
        if mark:
            fence, before = mark[1], ""
            continue
        if line.startswith(("    ", "\t")) and not before:
            continue
        if (atx := _ATX.match(line)) is not None:
            found.append(Heading(start, len(atx[1]), plain(atx[2] or "")))
            before = ""
        elif before and (under := _SETEXT.match(line)) is not None:
            found.append(Heading(before_start, 1 if under[1][0] == "=" else 2, plain(before)))
            before = ""
        else:
            before, before_start = (line.strip(), start) if _may_be_heading(line, before) else ("", 0)
    return tuple(found)


def _may_be_heading(line: str, before: str) -> bool:
    """Whether the line, underlined, would be a heading: a paragraph of this one line, not a list or a table."""
    stripped = line.strip()
    return bool(stripped) and not before and stripped[0] not in "|>-+*<:"


def _front_matter_end(markdown: str) -> int:
    """Where the YAML front matter ends, 0 without one."""
    if not markdown.startswith("---\n"):
        return 0
    end = markdown.find("\n---\n", 3)
    return end + 5 if end >= 0 else 0


def plain(heading: str) -> str:
    """A heading's words without Markdown's marks, on one line."""
    return " ".join(_MARKS.sub("", _LINK.sub(r"\1", heading)).split())


class Outline:
    """The headings of one text, asked for the path above any place."""

    def __init__(self, markdown: str, title: str = "") -> None:
        self._starts: list[int] = []
        self._paths: list[tuple[str, ...]] = []
        title = plain(title)
        stack: list[Heading] = []
        for heading in headings(markdown):
            if not heading.text:
                continue
            stack = [h for h in stack if h.level < heading.level]
            stack.append(heading)
            self._starts.append(heading.start)
            self._paths.append(_titled(title, tuple(h.text for h in stack)))
        self._above: tuple[str, ...] = (title,) if title else ()

    def path(self, place: int) -> tuple[str, ...]:
        """Title and headings that hold at the character offset `place`, outermost first."""
        at = bisect_right(self._starts, place) - 1
        return self._paths[at] if at >= 0 else self._above


def _titled(title: str, path: tuple[str, ...]) -> tuple[str, ...]:
    """The path under the title, unless it begins with it."""
    return path if not title or path[0].casefold() == title.casefold() else (title, *path)


def shortened(path: tuple[str, ...], limit: int) -> str:
    """The path as one line of at most `limit` characters.

    What is dropped first is the middle: the outermost and the innermost heading say most. The
    result depends on the path alone.
    """
    kept = list(path)
    while len(kept) > 2 and len(SEPARATOR.join(kept)) > limit:
        del kept[len(kept) // 2 if len(kept) > 3 else 1]
    line = SEPARATOR.join(kept)
    if len(line) <= limit:
        return line
    share = max(8, (limit - len(SEPARATOR) * (len(kept) - 1)) // len(kept))
    return SEPARATOR.join(_cut(part, share) for part in kept)[:limit]


def _cut(text: str, limit: int) -> str:
    """The text cut at a word's end, with a mark."""
    if len(text) <= limit:
        return text
    head = text[: limit - 1]
    space = head.rfind(" ")
    return (head[:space] if space > limit // 2 else head).rstrip() + "…"
