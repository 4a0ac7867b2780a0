"""What a finished scan means for the documents it did not find: deleted, moved, or held until a person says so."""

from __future__ import annotations

from ragd.watch.roots import Hold, hold
from ragd.watch.scan import KnownFiles, Scan


def judge(scan: Scan, root_id: int, root: bytes, known: KnownFiles) -> Hold | None:
    """Whether the deletions of a scan that nobody announced are held; None lets them go ahead.

    A file that is there under another name is not missing: the same inode with the same size and time,
    or the same content.
    """
    if not scan.missing:
        return None
    count = known.document_count(root_id)
    is_empty = not scan.top and scan.files == 0 and not scan.unlisted
    if hold(root, count, len(scan.missing), is_empty=is_empty) is None:
        return None
    # Only now is it worth asking the catalog about each of them.
    absent = sum(not _is_elsewhere(path, root_id, scan, known) for path in scan.missing)
    return hold(root, count, absent, is_empty=is_empty)


def _is_elsewhere(path: bytes, root_id: int, scan: Scan, known: KnownFiles) -> bool:
    document = known.known_path(root_id, path)
    if document is None:
        return True
    stat = document.stat
    is_renamed = (stat.size_bytes, stat.mtime_ns, stat.inode) in scan.new_identities
    return is_renamed or (document.content_hash is not None and document.content_hash in scan.new_hashes)
