"""Walks a root and tells what differs from the catalog: one listing and one query a folder, memory flat."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from ragd.domain.changes import Known, Observation, Presence
from ragd.domain.documents import Stat
from ragd.watch.files import link_target, look_at, unlistable, with_hash
from ragd.watch.ignore import FolderRules, IgnoreRules
from ragd.watch.listing import Listing, listing

_LOOK_CLOSELY = -2  # the mark of a link or special file: never a known one
_SLICE = 64  # observations at most before a scan lets others in
_QUIET_FOLDERS = 8


class KnownFiles(Protocol):
    """What the catalog tells the watcher; every call is made from the watcher's own thread."""

    def known_marks(self, root_id: int, folder: bytes) -> Iterable[tuple[bytes, int]]:
        """(name, `Stat.mark`) of the documents directly in one folder; -1 for a failed one that has no hash."""
        ...

    def known_digests(self, root_id: int, below: bytes = b"") -> Mapping[bytes, int]:
        """A digest of the rows of each folder that holds a document, at or below one folder (empty: all).

        Equal digests of a folder mean equal rows.
        """
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
        self.missing: list[bytes] = []
        self.ignored: list[bytes] = []
        self.unlisted: set[bytes] = set(leave_alone)
        self.links: dict[bytes, set[bytes]] = {}
        self.new_identities: set[tuple[int, int, int]] = set()
        self.new_hashes: set[bytes] = set()
        self.deferred = 0
        self._root_id, self._root, self._rules, self._known = root_id, root, rules, known
        self._max_file_bytes, self._defer = max_file_bytes, defer
        self._found: list[Observation] = []
        self._digests: Mapping[bytes, int] = {}

    def steps(self) -> Iterator[list[Observation]]:
        """The walk, in small steps; each gives what it found to differ (often nothing)."""
        self._digests = self._known.known_digests(self._root_id, self.top)
        if self._may_enter(self.top):
            yield from self._walk(self.top)
        for folder in self._digests:
            if folder in self.folders or self._is_unlisted(folder):
                continue
            if self._may_enter(folder):
                yield from self._walk(folder)  # it appeared behind the walk
            else:
                self._lost(folder)
        if not self.top:
            self._rules.keep(self.folders)

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
            try:
                found = listing(os.path.join(self._root, folder) if folder else self._root)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                self._unlistable(folder, error)
                continue
            if found.error is not None:
                self._unlistable(folder, found.error)
            self.folders.add(folder)
            rules = self._rules.enter(folder, above, found.marks)
            yield from self._judge(folder, found, rules, stack)
            if self._found or len(self.folders) % _QUIET_FOLDERS == 0:
                yield self._taken()
        yield self._taken()

    def _judge(
        self, folder: bytes, found: Listing, rules: FolderRules, stack: list[tuple[bytes, FolderRules | None]]
    ) -> Iterator[list[Observation]]:
        """Walks on to the folders in a folder, and compares its files unless nothing changed since they were equal."""
        odd = [entry.name for entry in found.others if not entry.is_dir(follow_symlinks=False)]
        if len(odd) < len(found.others):
            names = (entry.name for entry in found.others if entry.is_dir(follow_symlinks=False))
            stack += [(rules.prefix + name, rules) for name in names if not rules.ignores(name, is_folder=True)]
        proof = None
        if not odd and found.error is None:
            proof = (self._digests.get(folder, 0), found.digest())
            if rules.proof == proof:
                self.files += rules.wanted
                return
        marks = found.marks | dict.fromkeys(odd, _LOOK_CLOSELY)
        ignored = rules.ignored_files(marks)
        for name in ignored:
            del marks[name]
        self.files += len(marks)
        known = dict(self._known.known_marks(self._root_id, folder))
        rules.proof = proof if known == marks else None
        rules.wanted = len(marks)
        if known != marks:
            yield from self._compare(folder, marks, known, ignored)

    def _compare(
        self, folder: bytes, marks: dict[bytes, int], known: dict[bytes, int], ignored: list[bytes]
    ) -> Iterator[list[Observation]]:
        """Tells what differs between the files of a folder and what is known of them."""
        prefix = folder + b"/" if folder else b""
        for name, mark in marks.items():
            if known.get(name) != mark:
                self._differs(prefix + name, is_known=name in known, is_link=mark == _LOOK_CLOSELY)
                if len(self._found) >= _SLICE:
                    yield self._taken()
        unwanted = known.keys() & ignored
        self.ignored += [prefix + name for name in unwanted]
        if folder not in self.unlisted:
            self.missing += [prefix + name for name in known.keys() - marks.keys() - unwanted]

    def _differs(self, path: bytes, *, is_known: bool, is_link: bool) -> None:
        """Looks closely at one path; what is told is what really differs."""
        seen = look_at(self._root, path, self._max_file_bytes)
        stat = seen.stat
        if stat is None:
            return  # out of reach, or no file any more: the next look tells
        if is_link and not seen.problem:
            self.links.setdefault(link_target(self._root, path), set()).add(path)
        if is_known:
            known = self._known.known_path(self._root_id, path)
            if known is not None and known.stat == stat:
                # The same problem is no news; that a problem is over is.
                is_same = known.is_failed if seen.problem else known.content_hash is not None
                if is_same:
                    return
        elif self._digests:
            self.new_identities.add((stat.size_bytes, stat.mtime_ns, stat.inode))
        if not seen.problem:
            if self._defer(path, stat):
                self.deferred += 1
                return
            seen = with_hash(self._root, seen)
            if not is_known and self._digests and seen.content_hash is not None:
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
        prefix = folder + b"/" if folder else b""
        paths = [prefix + name for name, _ in self._known.known_marks(self._root_id, folder)]
        if self._rules.ignores(folder, is_folder=True):
            self.ignored += paths
        else:
            self.missing += paths

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
