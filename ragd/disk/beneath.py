"""Opens a file below a folder so that no link, swapped in at any moment, can lead out of that folder."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from ragd.domain.documents import display_path
from ragd.domain.errors import PathInvalid

# O_PATH needs only the right to pass through a folder, not to list it; other systems open it for reading.
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
# O_NONBLOCK: a FIFO put in the place of a file must not hang the reader.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


def open_beneath(root: int | bytes | str, relative: bytes) -> int:
    """Opens the regular file at `relative` below `root` for reading; the caller closes the descriptor.

    `root` is a folder's path or descriptor (which stays open). Every component is opened relative to
    the one before it and never through a link. Only the last may be a link, when its target is a
    regular file inside the root: that target is then opened in the same way.

    Raises PathInvalid when the path is not a plain relative one, leads through or out by a link, or is
    not a regular file; OSError as the system gives it (FileNotFoundError, PermissionError, ...).
    """
    with _folder(root) as top:
        try:
            return _open_strict(top, relative)
        except _IsLink:
            return _open_strict(top, target_beneath(root, relative))


def target_beneath(root: int | bytes | str, relative: bytes) -> bytes:
    """The path below `root` that the link at `relative` leads to, with every link on the way resolved.

    Nothing is opened, so the answer may be stale when it is used; `open_beneath` checks again.
    Raises PathInvalid for a link that loops or leads out of the root, FileNotFoundError for one that dangles.
    """
    _components(relative)
    base = os.path.realpath(b"/proc/self/fd/%d" % root if isinstance(root, int) else os.fsencode(root))
    try:
        target = os.path.realpath(os.path.join(base, relative), strict=True)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise PathInvalid(f"{display_path(relative)}: the link leads back to itself", hint="remove it") from error
        raise
    prefix = base.rstrip(b"/") + b"/"
    if not target.startswith(prefix):
        raise PathInvalid(
            f"{display_path(relative)}: the link leads out of the folder, to {display_path(target)}",
            hint="put the file itself into the folder, or add the folder it lies in to the collection",
        )
    return target[len(prefix) :]


class _IsLink(PathInvalid):
    """The last component is a link."""

    @property
    def code(self) -> str:
        return "path_invalid"


@contextmanager
def _folder(root: int | bytes | str) -> Iterator[int]:
    """A descriptor of the root: the caller's own, or one opened and closed here."""
    if isinstance(root, int):
        yield root
        return
    descriptor = os.open(root, _FOLDER)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _components(relative: bytes) -> list[bytes]:
    parts = relative.split(b"/")
    if b"\0" in relative or any(part in (b"", b".", b"..") for part in parts):
        raise PathInvalid(
            f"{display_path(relative)!r}: not a plain path below the folder",
            hint="give a relative path without '.', '..' or empty parts",
        )
    return parts


def _open_strict(top: int, relative: bytes) -> int:
    """Opens `relative` below the descriptor `top`, following no link at all."""
    *folders, name = _components(relative)
    opened: list[int] = []
    here = top
    try:
        for folder in folders:
            here = _open_at(here, folder, _FOLDER | os.O_NOFOLLOW, relative)
            opened.append(here)
        return _regular(_open_at(here, name, _FILE, relative), relative)
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _open_at(folder: int, name: bytes, flags: int, relative: bytes) -> int:
    try:
        return os.open(name, flags, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise PathInvalid(f"{display_path(relative)}: the path is too long", hint="shorten it") from error
        if error.errno == errno.ENXIO:  # a socket, or a device that is not there
            raise _not_regular(relative) from error
        was_link = error.errno in (errno.ELOOP, errno.EMLINK)  # and need not be one any more
        if was_link or (error.errno == errno.ENOTDIR and _is_link(folder, name)):
            if flags & os.O_DIRECTORY:
                raise PathInvalid(
                    f"{display_path(relative)}: {display_path(name)} is a link to a folder, which is not followed",
                    hint="add the folder it leads to to the collection",
                ) from error
            raise _IsLink(f"{display_path(relative)}: is a link") from error
        error.filename = relative
        raise


def _is_link(folder: int, name: bytes) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _regular(descriptor: int, relative: bytes) -> int:
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise _not_regular(relative)


def _not_regular(relative: bytes) -> PathInvalid:
    return PathInvalid(
        f"{display_path(relative)}: not a regular file", hint="only regular files are indexed; exclude it or remove it"
    )
