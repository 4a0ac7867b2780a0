"""One list of gitignore patterns, compiled once: what the last pattern that fits a path itself says of it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pathspec.patterns.gitignore import GitIgnorePatternError
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

_BOM = b"\xef\xbb\xbf"
_NAME = re.compile(rb"[^\\/*?\[\]!#\s][^\\/*?\[\]\s]*")
_SUFFIX = re.compile(rb"\*(\.[^\\/*?\[\].\s]+)")
_PARENT_OF_ALL = b"(?P<ps_d>/)"  # how pathspec writes `*/` and `**/`: any folder


class Patterns:
    """Gitignore patterns in the order of their file; a later one overrules an earlier one.

    The regular expressions are pathspec's. What nearly every real pattern is, a plain name or `*.suffix`,
    is looked up in a dictionary instead, so that a long ignore file costs a path nothing.
    """

    __slots__ = ("_names", "_others", "_suffixes", "_verdicts")

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._verdicts: list[bool] = []
        self._names: dict[bytes, list[tuple[int, bool]]] = {}
        self._suffixes: dict[bytes, list[tuple[int, bool]]] = {}
        self._others: list[tuple[int, re.Pattern[bytes]]] = []
        for line in lines:
            self._add(line.removeprefix(_BOM))
        self._others.reverse()

    def __bool__(self) -> bool:
        return bool(self._verdicts)

    def decide(self, path: bytes, name: bytes, is_folder: bool) -> bool | None:
        """True: ignore `path` (relative to where the patterns apply); False: keep it; None: they do not say.

        Only patterns that fit the path itself count, not those that fit a folder above it: whoever walks
        the tree has asked about that folder before.
        """
        best = -1
        for index, folders_only in self._names.get(name, ()):
            if index > best and (is_folder or not folders_only):
                best = index
        if self._suffixes:
            _, dot, suffix = name.rpartition(b".")
            for index, folders_only in self._suffixes.get(dot + suffix, ()):
                if index > best and (is_folder or not folders_only):
                    best = index
        for index, regex in self._others:
            if index <= best:
                break
            if _fits_itself(regex, path, is_folder):
                best = index
                break
        return self._verdicts[best] if best >= 0 else None

    def covers(self, path: bytes) -> bool:
        """Whether the file at `path`, or a folder above it, is matched; the last match decides."""
        parts = path.split(b"/")
        for depth in range(len(parts), 0, -1):
            verdict = self.decide(b"/".join(parts[:depth]), parts[depth - 1], depth < len(parts))
            if verdict is not None:
                return verdict
        return False

    def _add(self, line: bytes) -> None:
        try:
            pattern = GitIgnoreSpecPattern(line)
        except (GitIgnorePatternError, re.error):
            return  # git skips what it cannot read
        if pattern.include is None or pattern.regex is None:
            return
        index = len(self._verdicts)
        self._verdicts.append(pattern.include)
        bare = line.rstrip().removeprefix(b"!")
        folders_only = bare.endswith(b"/")
        bare = bare.removesuffix(b"/")
        if _NAME.fullmatch(bare):
            self._names.setdefault(bare, []).append((index, folders_only))
        elif suffix := _SUFFIX.fullmatch(bare):
            self._suffixes.setdefault(suffix[1], []).append((index, folders_only))
        else:
            self._others.append((index, pattern.regex))


def _fits_itself(regex: re.Pattern[bytes], path: bytes, is_folder: bool) -> bool:
    """Whether the pattern names this path, rather than only a folder above it."""
    if regex.pattern == _PARENT_OF_ALL:
        return is_folder
    if "ps_d" not in regex.groupindex:
        return regex.search(path) is not None  # `a/**` is all that is in `a`, but not `a`
    target = path + b"/" if is_folder else path
    match = regex.search(target)
    return match is not None and match.end("ps_d") in (-1, len(target))
