"""Which headings a place in a Markdown text stands under."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

# The lines that matter: `# words`, a fence of code, or the underline of a heading.
_LINE = re.compile(
    r"^ {0,3}(?:"
    r"(?P<atx>#{1,6})(?:[ \t]+(?P<words>[^\n]*?))?(?:[ \t]+#+)?[ \t]*"
    r"|(?P<fence>`{3,}|~{3,})(?P<info>[^\n]*)"
    r"|(?P<under>=+|-+)[ \t]*"
    r")$",
    re.MULTILINE,
)
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
    for line in _LINE.finditer(markdown, _front_matter_end(markdown)):
        if line["fence"]:
            if not fence:
                fence = line["fence"]
            elif line["fence"].startswith(fence) and not line["info"].strip():
                fence = ""
        elif fence:
            continue
        elif line["atx"]:
            found.append(Heading(line.start(), len(line["atx"]), plain(line["words"] or "")))
        else:
            start = _underlined(markdown, line.start())
            if start >= 0:
                words = plain(markdown[start : line.start()])
                found.append(Heading(start, 1 if line["under"][0] == "=" else 2, words))
    return tuple(found)


def _underlined(markdown: str, under: int) -> int:
    """Where the line above `under` begins if, underlined, it is a heading: a paragraph of one line; else -1."""
    start = markdown.rfind("\n", 0, max(0, under - 1)) + 1
    above = markdown[start:under].strip()
    if not above or above[0] in "|>-+*<:#`~" or markdown.startswith(("    ", "\t"), start):
        return -1
    before = markdown[markdown.rfind("\n", 0, max(0, start - 1)) + 1 : start]
    return -1 if before.strip() else start


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

    def heading_after(self, least: int, most: int) -> int:
        """Where the first heading from `least` up to `most` begins, -1 without one."""
        at = bisect_left(self._starts, least)
        return self._starts[at] if at < len(self._starts) and self._starts[at] < most else -1


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
