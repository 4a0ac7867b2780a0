"""Walks a root and tells what differs from the catalog: one listing and one query a folder, memory flat."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from ragd.domain.changes import Known, Observation, Presence
from ragd.domain.documents import Stat
from ragd.watch.files import INODE_MASK, link_target, look_at, unlistable, with_hash
from ragd.watch.ignore import IGNORE_FILES, FolderRules, IgnoreRules

# (name, size in bytes, mtime in ns, ctime in ns, inode): plain, because a scan compares one for every file.
StatRow = tuple[bytes, int, int, int, int]

_SLICE = 64  # observations at most before a scan lets others in
_SLICE_ENTRIES = 2000


class KnownFiles(Protocol):
    """What the catalog tells the watcher; every call is made from the watcher's own thread."""

    def known_stats(self, root_id: int, folder: bytes) -> Iterable[StatRow]:
        """The documents directly in one folder. A failed document without a hash has size -1: look again."""
        ...

    def known_folders(self, root_id: int, below: bytes = b"") -> Iterable[bytes]:
        """Folders that hold a document, at or below one folder (empty: all)."""
        ...

    def known_path(self, root_id: int, path: bytes) -> Known | None:
        """The document at one path."""
        ...

    def document_count(self, root_id: int) -> int:
        """How many documents the root has."""
        ...


class Scan:
    """One walk over a root, or over a folder of it. `steps` does the work, the figures grow meanwhile.

    `defer(path, stat)` is asked before a file that differs is read: true leaves it to whoever asked (it may still
    be written). What is missing is only collected: `missing` and `ignored` hold the documents that are not there,
    or not wanted, any more; `confirmed` checks them once more when their deletion has been decided. Nothing below
    `unlisted` folders is judged; `leave_alone` names some from the start.
    """

    def __init__(
        self,
        root_id: int,
        root: bytes,
        rules: IgnoreRules,
        known: KnownFiles,
        max_file_bytes: int,
        *,
        top: bytes = b"",
        defer: Callable[[bytes, Stat], bool] = lambda path, stat: False,
        leave_alone: Iterable[bytes] = (),
    ) -> None:
        self.top = top
        self.files = 0
        self.folders: set[bytes] = set()
        self.missing: list[tuple[bytes, StatRow]] = []
        self.ignored: list[bytes] = []
        self.unlisted: set[bytes] = set(leave_alone)
        self.links: dict[bytes, set[bytes]] = {}
        self.new_identities: set[tuple[int, int, int]] = set()
        self.new_hashes: set[bytes] = set()
        self.deferred = 0
        self._root_id, self._root, self._rules, self._known = root_id, root, rules, known
        self._max_file_bytes, self._defer = max_file_bytes, defer
        self._found: list[Observation] = []
        # Only documents that are known can be missing under one name and present under another.
        self._tracks_moves = known.document_count(root_id) > 0

    def steps(self) -> Iterator[list[Observation]]:
        """The walk, in small steps; each gives what it found to differ (often nothing)."""
        if self._may_enter(self.top):
            yield from self._walk(self.top)
        for folder in list(self._known.known_folders(self._root_id, self.top)):
            if folder in self.folders or self._is_unlisted(folder):
                continue
            if self._may_enter(folder):
                yield from self._walk(folder)  # it appeared behind the walk
            else:
                self._lost(folder)

    def confirmed(self, paths: Iterable[bytes]) -> Iterator[Observation]:
        """Of documents found missing or ignored, those that are so even now."""
        enterable: dict[bytes, bool] = {}
        for path in paths:
            folder = path.rpartition(b"/")[0]
            if folder not in enterable:
                enterable[folder] = self._may_enter(folder)
            is_gone = not enterable[folder] or self._rules.ignores(path)
            if is_gone or look_at(self._root, path, self._max_file_bytes).presence is Presence.GONE:
                yield Observation(path, Presence.GONE)

    def _walk(self, top: bytes) -> Iterator[list[Observation]]:
        above = self._rules.at(top.rpartition(b"/")[0]) if top else None
        stack: list[tuple[bytes, FolderRules | None]] = [(top, above)]
        while stack:
            folder, above = stack.pop()
            if folder in self.folders or folder in self.unlisted:
                continue
            entries = self._listing(folder)
            if entries is not None:
                self.folders.add(folder)
                own = [entry.name for entry in entries if entry.name in IGNORE_FILES]
                rules = self._rules.enter(folder, above, own)
                rows = {row[0]: row for row in self._known.known_stats(self._root_id, folder)}
                for start in range(0, len(entries), _SLICE_ENTRIES):
                    yield from self._compare(entries[start : start + _SLICE_ENTRIES], rows, rules, stack)
                self.missing += [(rules.prefix + row[0], row) for row in rows.values()]
            yield self._taken()

    def _listing(self, folder: bytes) -> list[os.DirEntry[bytes]] | None:
        path = os.path.join(self._root, folder) if folder else self._root
        try:
            with os.scandir(path) as listing:
                return list(listing)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self._unlistable(folder, error)
            return None

    def _compare(
        self,
        entries: list[os.DirEntry[bytes]],
        rows: dict[bytes, StatRow],
        rules: FolderRules,
        stack: list[tuple[bytes, FolderRules | None]],
    ) -> Iterator[list[Observation]]:
        """Takes the rows of the entries that are there out of `rows`; what stays in it is missing."""
        prefix, ignores, pop = rules.prefix, rules.ignores, rows.pop
        for entry in entries:
            name = entry.name
            if entry.is_dir(follow_symlinks=False):
                if not ignores(name, True):
                    stack.append((prefix + name, rules))
                continue
            if ignores(name, False):
                if pop(name, None) is not None:
                    self.ignored.append(prefix + name)
                continue
            self.files += 1
            row = pop(name, None)
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            except OSError as error:
                self._unlistable(prefix[:-1], error)
                continue
            if row != (name, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino & INODE_MASK):
                self._differs(prefix + name, row, found, entry.is_symlink())
                if len(self._found) >= _SLICE:
                    yield self._taken()

    def _differs(self, path: bytes, row: StatRow | None, found: os.stat_result, is_link: bool) -> None:
        seen = look_at(self._root, path, self._max_file_bytes, found)
        stat = seen.stat
        if stat is None:
            return  # out of reach, or no file any more: the next look tells
        if is_link and not seen.problem:
            self.links.setdefault(link_target(self._root, path), set()).add(path)
        now = (stat.size_bytes, stat.mtime_ns, stat.ctime_ns, stat.inode)
        # A failed row without a hash hides its size; the same problem of the same file is no news.
        if row is not None and (row[1:] == now or (row[1] < 0 and seen.problem and row[2:] == now[1:])):
            return
        if self._tracks_moves and row is None:
            self.new_identities.add((stat.size_bytes, stat.mtime_ns, stat.inode))
        if not seen.problem:
            if self._defer(path, stat):
                self.deferred += 1
                return
            seen = with_hash(self._root, seen)
            if self._tracks_moves and row is None and seen.content_hash is not None:
                self.new_hashes.add(seen.content_hash)
        if seen.presence is Presence.PRESENT:
            self._found.append(seen)

    def _unlistable(self, folder: bytes, error: OSError) -> None:
        """Keeps what is known below a folder out of judgement, and tells of it once."""
        if self._is_unlisted(folder):
            return
        self.unlisted.add(folder)
        if not folder:
            return  # the root itself is reported by its state
        seen = unlistable(self._root, folder, error)
        if seen.stat is None:
            # Not even the folder itself can be seen: the one above is the problem.
            self._unlistable(folder.rpartition(b"/")[0], error)
            return
        row = self._known.known_path(self._root_id, folder)
        if row is None or not row.is_failed or row.stat != seen.stat:
            self._found.append(seen)

    def _lost(self, folder: bytes) -> None:
        rows = list(self._known.known_stats(self._root_id, folder))
        prefix = folder + b"/" if folder else b""
        if self._rules.ignores(folder, is_folder=True):
            self.ignored += [prefix + row[0] for row in rows]
        else:
            self.missing += [(prefix + row[0], row) for row in rows]

    def _is_unlisted(self, folder: bytes) -> bool:
        return any(not one or folder == one or folder.startswith(one + b"/") for one in self.unlisted)

    def _may_enter(self, folder: bytes) -> bool:
        """Whether a folder is there, wanted, and reached without passing a link."""
        if not folder:
            return os.path.isdir(self._root)
        if self._rules.ignores(folder, is_folder=True):
            return False
        here = self._root
        for part in folder.split(b"/"):
            here = os.path.join(here, part)
            if os.path.islink(here):
                return False
        return os.path.isdir(here)

    def _taken(self) -> list[Observation]:
        found, self._found = self._found, []
        return found
