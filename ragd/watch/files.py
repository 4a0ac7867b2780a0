"""What one path is: a regular file with its hash, or a clear reason why it cannot be a document."""

from __future__ import annotations

import errno
import hashlib
import os
import stat as modes
from dataclasses import replace

from ragd.disk.beneath import open_beneath, target_beneath
from ragd.domain.changes import Observation, Presence
from ragd.domain.documents import Stat, display_path
from ragd.domain.errors import PathInvalid

_BLOCK_BYTES = 1 << 20


def look_at(root: bytes, path: bytes, max_file_bytes: int, found: os.stat_result | None = None) -> Observation:
    """What is at `path` below `root` now, unread: `content_hash` is left out (`with_hash` adds it).

    `found` spares the lstat when a listing gave it already. A link to a regular file inside the root is seen as
    that file. Never raises: what cannot be reached is unknown, what cannot be a document has a `problem`.
    """
    try:
        found = found or os.lstat(os.path.join(root, path))
    except (FileNotFoundError, NotADirectoryError):
        return Observation(path, Presence.GONE)
    except OSError:
        return Observation(path, Presence.UNKNOWN)
    stat = Stat.of(found)
    if modes.S_ISLNK(found.st_mode):
        return _link(root, path, stat, max_file_bytes)
    if modes.S_ISREG(found.st_mode):
        return _regular(path, stat, max_file_bytes)
    if modes.S_ISDIR(found.st_mode):
        return Observation(path, Presence.GONE)  # a folder has taken the place of the document
    return _problem(
        path, stat, f"is a {_kind(found.st_mode)}, not a regular file", "remove it, or exclude it from the collection"
    )


def stat_at(root: bytes, path: bytes) -> Stat | None:
    """The stat of whatever is at `path` (of the file itself where it is a link), None when nothing can be seen."""
    try:
        return Stat.of(os.stat(os.path.join(root, path)))
    except OSError:
        return None


def is_folder(root: bytes, path: bytes) -> bool:
    """Whether a folder (not a link to one) is at `path`."""
    try:
        return modes.S_ISDIR(os.lstat(os.path.join(root, path)).st_mode)
    except OSError:
        return False


def is_link(root: bytes, path: bytes) -> bool:
    """Whether a link is at `path`."""
    return os.path.islink(os.path.join(root, path))


def with_hash(root: bytes, seen: Observation) -> Observation:
    """The same observation with the hash of the file's bytes, or with what came of trying to read it.

    A file that changes while it is read keeps its new stat and no hash.
    """
    if seen.presence is not Presence.PRESENT or seen.problem:
        return seen
    try:
        stat, content_hash = hash_file(root, seen.path)
    except (FileNotFoundError, NotADirectoryError):
        return replace(seen, presence=Presence.GONE, stat=None)
    except PermissionError:
        hint = "give the user ragd runs as the right to read it"
        return replace(seen, problem="may not be read: permission denied", hint=hint)
    except PathInvalid as error:
        return replace(seen, problem=_reason(seen.path, error), hint=error.hint)
    except OSError as error:
        return replace(seen, problem=f"cannot be read: {error.strerror}", hint="check the disk or the mount")
    return replace(seen, stat=stat, content_hash=content_hash)


def hash_file(root: bytes, path: bytes) -> tuple[Stat, bytes | None]:
    """The stat of the file at `path` and the 16-byte blake2b of its bytes, None when it changed meanwhile.

    Raises PathInvalid or OSError as `open_beneath` does. The file is read in blocks, never whole.
    """
    descriptor = open_beneath(root, path)
    try:
        before = Stat.of(os.fstat(descriptor))
        digest = hashlib.blake2b(digest_size=16)
        # One block, no larger than the file: a MiB for each small file would leave holes in a heap that lives long.
        block = memoryview(bytearray(min(before.size_bytes + 1, _BLOCK_BYTES)))
        count = 0
        # Beyond the size it had, it grows: perhaps faster than it is read.
        while count <= before.size_bytes and (got := os.readv(descriptor, [block])):
            count += got
            digest.update(block[:got])
        after = Stat.of(os.fstat(descriptor))
    finally:
        os.close(descriptor)
    return after, digest.digest() if before == after else None


def unlistable(root: bytes, folder: bytes, error: OSError) -> Observation:
    """The problem that stands for a whole folder whose entries cannot be seen."""
    try:
        stat = Stat.of(os.lstat(os.path.join(root, folder)))
    except OSError:
        stat = None
    reason = f"the folder cannot be listed: {error.strerror}; what is known of its files is kept"
    return _problem(folder, stat, reason, "give the user ragd runs as the right to read and enter it, or exclude it")


def link_target(root: bytes, path: bytes) -> bytes:
    """Where the link at `path` leads below `root`; `path` itself when that cannot be told."""
    try:
        return target_beneath(root, path)
    except (OSError, PathInvalid):
        return path


def _link(root: bytes, path: bytes, own: Stat, max_file_bytes: int) -> Observation:
    try:
        if modes.S_ISDIR(os.stat(os.path.join(root, path)).st_mode):
            hint = "add the folder it leads to to the collection, or exclude the link"
            return _problem(path, own, "is a link to a folder, which is not followed", hint)
        found = os.stat(os.path.join(root, target_beneath(root, path)))
    except FileNotFoundError:
        return _problem(path, own, "is a link to a file that is not there", "restore what it leads to, or remove it")
    except PathInvalid as error:
        return _problem(path, own, _reason(path, error), error.hint)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return _problem(path, own, "is a link that leads back to itself", "remove it")
        hint = "check the rights on the folders that it leads through"
        return _problem(path, own, f"is a link that cannot be followed: {error.strerror}", hint)
    if not modes.S_ISREG(found.st_mode):
        return _problem(path, own, f"is a link to a {_kind(found.st_mode)}", "remove it, or exclude it")
    return _regular(path, Stat.of(found), max_file_bytes)


def _regular(path: bytes, stat: Stat, max_file_bytes: int) -> Observation:
    if stat.size_bytes > max_file_bytes:
        reason = f"is larger than the limit: {stat.size_bytes:,} bytes, at most {max_file_bytes:,} are read"
        return _problem(path, stat, reason, "exclude it, or raise read.max_file_mb")
    return Observation(path, Presence.PRESENT, stat)


def _problem(path: bytes, stat: Stat | None, reason: str, hint: str) -> Observation:
    return Observation(path, Presence.PRESENT, stat, problem=reason, hint=hint)


def _reason(path: bytes, error: PathInvalid) -> str:
    return str(error).removeprefix(f"{display_path(path)}: ")


def _kind(mode: int) -> str:
    if modes.S_ISFIFO(mode):
        return "pipe (FIFO)"
    if modes.S_ISSOCK(mode):
        return "socket"
    return "device" if modes.S_ISCHR(mode) or modes.S_ISBLK(mode) else "special file"
