"""Which paths of a root are not documents: defaults, a collection's globs, .gitignore and .ragdignore at any depth."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Container
from dataclasses import dataclass

from ragd.disk.beneath import open_beneath
from ragd.domain.errors import PathInvalid
from ragd.watch.patterns import Patterns

# The later one overrules the earlier one where both say something of a path.
IGNORE_FILES = (b".gitignore", b".ragdignore")
_MAX_IGNORE_FILE_BYTES = 1 << 20
_MAX_CACHED_FOLDERS = 50_000
_MAX_CACHED_FILES = 5_000

_NAMES = frozenset(
    b".git .hg .svn .bzr _darcs .jj CVS .DS_Store .AppleDouble .Spotlight-V100 .Trashes .fseventsd .TemporaryItems"
    b" Thumbs.db thumbs.db ehthumbs.db desktop.ini Desktop.ini $RECYCLE.BIN .Trash lost+found @eaDir #recycle"
    b" __pycache__ .venv .tox .nox .mypy_cache .ruff_cache .pytest_cache .hypothesis .ipynb_checkpoints"
    b" node_modules .gitignore .ragdignore 4913".split()
) | {b"System Volume Information"}
_SUFFIXES = (b"~", b".tmp", b".part", b".crdownload", b".download", b".partial", b".filepart", b".swp", b".swx")
# A folder whose names hold none of these has nothing that a suffix or a first letter could ignore.
_SIGNS = re.compile(rb"~|/[.#]|\.(?:tmp|part|crdown|down|filepart|sw)")
# Vim's swap files, Emacs' locks and autosaves, the lock files of LibreOffice and Microsoft Office, NFS leftovers,
# GNOME's unfinished saves, private trash folders, rsync's temporary files.
_SPECIAL = re.compile(
    rb"\..*\.sw.|\.#.*|#.*#|~\$.*|\.~lock\..*#|\.nfs[0-9a-f]+|\.goutputstream-.*|\.Trash-\d+|\..+\.[^.]+\.[A-Za-z0-9]{6}",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class IgnoreSettings:
    """What a collection says about its paths; globs have gitignore's meaning, relative to each folder of it.

    An empty `include` means every file. `exclude` overrules everything but the state folder; an entry that
    begins with `!` keeps what would be ignored by default. `state_folder` is ragd's own, an absolute path.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    use_defaults: bool = True
    use_ignore_files: bool = True
    state_folder: bytes = b""


@dataclass(slots=True)
class FolderRules:
    """The rules that hold for the entries of one folder; `levels` are (length of the prefix to cut, patterns).

    `proof` is what a scan leaves here after it found listing and catalog equal under these very rules: the digests
    of both. `wanted` is how many files that were.
    """

    prefix: bytes
    levels: tuple[tuple[int, Patterns], ...]
    include: Patterns | None
    state_folder: bytes
    use_defaults: bool
    proof: tuple[int, int] | None = None
    wanted: int = 0

    def ignores(self, name: bytes, is_folder: bool) -> bool:
        """Whether the entry `name` of this folder is left out (a folder: with all that is in it)."""
        # The first letters keep the regular expression away from nearly every name.
        is_ignored = self.use_defaults and (
            name in _NAMES or name.endswith(_SUFFIXES) or (name[0] in b".#~" and _is_special(name))
        )
        if not (self.levels or self.include or self.state_folder):
            return is_ignored
        return self._decide(name, is_folder, is_ignored)

    def ignored_files(self, names: Collection[bytes]) -> list[bytes]:
        """Those of the files `names` of this folder that are left out; nearly free where no file is."""
        if not self.levels and self.include is None:
            if not self.use_defaults:
                return []
            row = b"/" + b"/".join(names)
            if _NAMES.isdisjoint(names) and not _SIGNS.search(row):
                return []
        return [name for name in names if self.ignores(name, is_folder=False)]

    def _decide(self, name: bytes, is_folder: bool, by_default: bool) -> bool:
        path = self.prefix + name
        if self.state_folder and path == self.state_folder:
            return True
        verdict: bool | None = None
        for cut, patterns in self.levels:
            verdict = patterns.decide(path[cut:], name, is_folder)
            if verdict is not None:
                break
        if by_default if verdict is None else verdict:
            return True
        return not is_folder and self.include is not None and not self.include.covers(path)


class IgnoreRules:
    """The rules of one root. Not for several threads at once."""

    def __init__(self, root: bytes, settings: IgnoreSettings) -> None:
        self._root = root
        self._settings = settings
        self._include = Patterns(map(os.fsencode, settings.include)) or None
        exclude = Patterns(map(os.fsencode, settings.exclude))
        self._first = ((0, exclude),) if exclude else ()
        self._state_folder = _below(root, settings.state_folder)
        self._read: dict[bytes, tuple[tuple[int, int, int], Patterns]] = {}
        self._folders: dict[bytes, FolderRules | None] = {}

    def enter(self, folder: bytes, above: FolderRules | None, names: Container[bytes]) -> FolderRules:
        """The rules of `folder`, whose entries are `names`, given those of the folder above (None for the root)."""
        levels = above.levels if above is not None else self._first
        if self._settings.use_ignore_files and any(name in names for name in IGNORE_FILES):
            levels = self._with_own(folder, levels, names)
        rules = self._folders.get(folder)
        if rules is not None and rules.levels == levels:
            return rules
        rules = FolderRules(
            prefix=folder + b"/" if folder else b"",
            levels=levels,
            include=self._include,
            state_folder=self._state_folder,
            use_defaults=self._settings.use_defaults,
        )
        self._remember(folder, rules)
        return rules

    def _with_own(
        self, folder: bytes, levels: tuple[tuple[int, Patterns], ...], names: Container[bytes]
    ) -> tuple[tuple[int, Patterns], ...]:
        """An exclude of the configuration comes first, then the deepest file; of one folder's files the last."""
        cut = len(folder) + 1 if folder else 0
        own = [
            (cut, patterns)
            for name in reversed(IGNORE_FILES)
            if name in names and (patterns := self._patterns(_joined(folder, name)))
        ]
        fixed = len(self._first)
        return (*levels[:fixed], *own, *levels[fixed:])

    def at(self, folder: bytes) -> FolderRules | None:
        """The rules of a folder met outside a walk; None when the folder itself is ignored."""
        if folder in self._folders:
            return self._folders[folder]
        above: FolderRules | None = None
        if folder:
            parent, _, name = folder.rpartition(b"/")
            above = self.at(parent)
            if above is None or above.ignores(name, is_folder=True):
                self._remember(folder, None)
                return None
        return self.enter(folder, above, IGNORE_FILES)

    def _remember(self, folder: bytes, rules: FolderRules | None) -> None:
        # Builds make folders with ever new names in ignored places: those are remembered, too.
        if len(self._folders) >= _MAX_CACHED_FOLDERS:
            self._folders.clear()
        self._folders[folder] = rules

    def ignores(self, path: bytes, *, is_folder: bool = False) -> bool:
        """Whether a path is left out, by itself or with a folder above it."""
        folder, _, name = path.rpartition(b"/")
        rules = self.at(folder)
        return rules is None or rules.ignores(name, is_folder)

    def forget(self, folder: bytes = b"") -> None:
        """Drops what is remembered of a folder and all below it: an ignore file there changed."""
        if not folder:
            self._folders.clear()
            return
        below = folder + b"/"
        for known in [one for one in self._folders if one == folder or one.startswith(below)]:
            del self._folders[known]

    def keep(self, folders: Container[bytes]) -> None:
        """Drops what is remembered of any other folder: a whole walk did not meet it."""
        self._folders = {folder: rules for folder, rules in self._folders.items() if folder in folders}

    def _patterns(self, path: bytes) -> Patterns:
        """The patterns of one ignore file, read again only when it changed; none when it cannot be read."""
        try:
            descriptor = open_beneath(self._root, path)
        except (OSError, PathInvalid):
            self._read.pop(path, None)
            return Patterns(())
        with os.fdopen(descriptor, "rb") as file:
            stat = os.fstat(descriptor)
            identity = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            known = self._read.get(path)
            if known is not None and known[0] == identity:
                return known[1]
            patterns = Patterns(file.read(_MAX_IGNORE_FILE_BYTES).split(b"\n"))
        if len(self._read) >= _MAX_CACHED_FILES:
            self._read.clear()
        self._read[path] = (identity, patterns)
        return patterns


def is_ignore_file(path: bytes) -> bool:
    """Whether a path is a file of ignore rules, so that a change of it changes what else is indexed."""
    return path.rpartition(b"/")[2] in IGNORE_FILES


def _is_special(name: bytes) -> bool:
    return _SPECIAL.fullmatch(name) is not None


def _joined(folder: bytes, name: bytes) -> bytes:
    return folder + b"/" + name if folder else name


def _below(root: bytes, path: bytes) -> bytes:
    """`path` relative to `root`, empty when it is not inside."""
    if not path:
        return b""
    base = os.path.realpath(root).rstrip(b"/") + b"/"
    full = os.path.realpath(path)
    return full[len(base) :] if full.startswith(base) else b""
