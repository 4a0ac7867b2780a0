"""What may be believed of a watched folder: is it there, is it the same, is it local, and when is too much missing."""

from __future__ import annotations

import os
import re
import shlex
import stat
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from ragd.domain.documents import display_path
from ragd.watch.ignore import IgnoreSettings

# inotify hears only of changes made through this machine's own kernel.
# fmt: off
NETWORK_TYPES = frozenset((
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ncpfs", "ceph", "lustre", "glusterfs", "gfs", "gfs2",
    "ocfs2", "gpfs", "beegfs", "orangefs", "pvfs2", "coda", "davfs", "virtiofs", "vboxsf", "prl_fs", "fuse.sshfs",
    "fuse.rclone", "fuse.s3fs", "fuse.glusterfs", "fuse.davfs2", "fuse.gcsfuse", "fuse.goofys", "fuse.juicefs",
    "fuse.cephfs", "fuse.smbnetfs", "fuse.curlftpfs", "fuse.gvfsd-fuse", "fuse.mergerfs", "fuse.moosefs",
    "fuse.vmhgfs-fuse", "fuse.blobfuse", "fuse.blobfuse2", "fuse.geesefs", "fuse.seaweedfs",
))
# fmt: on
HELD_SHARE = 0.3
HELD_FROM_DOCUMENTS = 20
_OCTAL = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class WatchedRoot:
    """A folder to watch: its id in the catalog, its absolute path, and what to leave out of it."""

    id: int
    path: bytes
    ignore: IgnoreSettings = field(default_factory=IgnoreSettings)


class RootState(StrEnum):
    """How a root stands. Only `ok` roots may lose documents; anything else leaves all of them as they are."""

    OK = "ok"
    MISSING = "missing"
    UNLISTABLE = "unlistable"
    REPLACED = "replaced"  # another folder at the same path: to be watched and scanned anew


@dataclass(frozen=True, slots=True)
class RootFacts:
    """A root at one moment: `identity` is (device, inode), None without a folder; `reason` and `hint` say why."""

    state: RootState
    identity: tuple[int, int] | None = None
    reason: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo: where, and what kind of file system."""

    point: bytes
    kind: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Deletions that a scan found and that wait for a person's word, with the reason and the remedy.

    `examples` are some of the paths, as they are shown.
    """

    missing: int
    known: int
    reason: str
    hint: str
    examples: tuple[str, ...] = ()


def look(path: bytes, before: tuple[int, int] | None) -> RootFacts:
    """The root at `path` now; `before` is the identity it had when it was last watched, None at first."""
    shown = display_path(path)
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return RootFacts(
            RootState.MISSING,
            reason=f"{shown}: the folder is not there; its documents are kept",
            hint="mount or create it again, or take it out of the configuration",
        )
    except OSError as error:
        return RootFacts(
            RootState.UNLISTABLE,
            reason=f"{shown}: cannot be reached ({error.strerror}); its documents are kept",
            hint="check the mount and the rights of the user ragd runs as",
        )
    identity = (found.st_dev, found.st_ino)
    if not stat.S_ISDIR(found.st_mode):
        return RootFacts(
            RootState.MISSING,
            reason=f"{shown}: is not a folder; its documents are kept",
            hint="name a folder in the configuration",
        )
    if not os.access(path, os.R_OK | os.X_OK):
        return RootFacts(
            RootState.UNLISTABLE,
            identity,
            reason=f"{shown}: may not be listed; its documents are kept",
            hint="give the user ragd runs as the right to read and enter it",
        )
    if before is not None and identity != before:
        return RootFacts(RootState.REPLACED, identity)
    return RootFacts(RootState.OK, identity)


def hold(
    path: bytes, known: int, missing: int, *, is_empty: bool = False, from_documents: int = HELD_FROM_DOCUMENTS
) -> Hold | None:
    """Whether deletions that a scan found are held: the root is empty, or too much of it is missing at once.

    `known` documents were expected, `missing` of them are not there under any name (a renamed file is not missing).
    Of fewer than `from_documents` any share may go.
    """
    if missing == 0 or (not is_empty and (known < from_documents or missing <= HELD_SHARE * known)):
        return None
    shown = display_path(path)
    what = "the folder is empty" if is_empty else f"{missing} of {known} documents are missing"
    return Hold(
        missing=missing,
        known=known,
        reason=f"{shown}: {what}; nothing is deleted until you say so",
        hint="put the files back or mount the folder again, and all is as before; or run "
        f"`ragd confirm-delete {shlex.quote(shown)}` if they are meant to be gone",
    )


def parse_mounts(mountinfo: bytes) -> tuple[Mount, ...]:
    """The lines of /proc/self/mountinfo (proc(5)); lines that cannot be read are left out."""
    mounts = []
    for line in mountinfo.splitlines():
        left, separator, right = line.partition(b" - ")
        fields = left.split(b" ")
        kinds = right.split(b" ")
        if separator and len(fields) >= 5:
            point = _OCTAL.sub(lambda match: bytes([int(match[1], 8)]), fields[4])
            mounts.append(Mount(point, kinds[0].decode("ascii", "replace")))
    return tuple(mounts)


def mount_of(path: bytes, mounts: tuple[Mount, ...]) -> Mount | None:
    """The mount that holds an absolute path without links: the longest prefix, the latest of equals."""
    best: Mount | None = None
    for mount in mounts:
        point = mount.point.rstrip(b"/")
        is_above = path == mount.point or path.startswith(point + b"/")
        if is_above and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best


def mounts_below(path: bytes, mounts: tuple[Mount, ...]) -> frozenset[bytes]:
    """Folders below `path`, relative to it, at which something is mounted."""
    prefix = path.rstrip(b"/") + b"/"
    return frozenset(m.point[len(prefix) :] for m in mounts if m.point.startswith(prefix) and m.point != prefix)


def read_mounts(mountinfo: Path = Path("/proc/self/mountinfo")) -> tuple[Mount, ...]:
    """The mounts this process sees; none where the system does not tell."""
    try:
        return parse_mounts(mountinfo.read_bytes())
    except OSError:
        return ()
