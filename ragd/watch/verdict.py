"""What a finished scan means for the documents it did not find: deleted, moved, or held until a person says so."""

from __future__ import annotations

import os
from dataclasses import replace

from ragd.domain.documents import display_path
from ragd.watch.ignore import IgnoreRules
from ragd.watch.roots import HELD_FROM_DOCUMENTS, Hold, hold
from ragd.watch.scan import KnownFiles, Scan

_EXAMPLES = 10


def judge(
    scan: Scan,
    root_id: int,
    root: bytes,
    rules: IgnoreRules,
    known: KnownFiles,
    *,
    is_told: bool = False,
    is_another: bool = False,
) -> Hold | None:
    """Whether the deletions of a scan are held; None lets them go ahead.

    A file that is there under another name is not missing: the same inode with the same size and time, or the same
    content. `is_told`: events announced that the scanned folder went; that is believed unless the root is emptied.
    `is_another`: the root is another folder than before, so that few documents are no excuse.
    """
    if not scan.missing:
        return None
    count = known.document_count(root_id)
    if is_told and not is_emptied(root_id, root, rules, known):
        return None
    is_empty = scan.files == 0 and not scan.unlisted and (is_told or not scan.top)
    from_documents = 1 if is_another else HELD_FROM_DOCUMENTS
    if hold(root, count, len(scan.missing), is_empty=is_empty, from_documents=from_documents) is None:
        return None
    # Only now is it worth asking the catalog about each of them.
    absent = [path for path in scan.missing if not _is_elsewhere(path, root_id, scan, known)]
    held = hold(root, count, len(absent), is_empty=is_empty, from_documents=from_documents)
    examples = tuple(display_path(path) for path in absent[:_EXAMPLES])
    return replace(held, examples=examples) if held is not None else None


def is_emptied(root_id: int, root: bytes, rules: IgnoreRules, known: KnownFiles) -> bool:
    """Whether no wanted file is left in a root that had many: whatever events say, a person is asked first."""
    for here, folders, files in os.walk(root):
        below = here[len(root.rstrip(b"/")) + 1 :]
        prefix = below + b"/" if below else b""
        if any(not rules.ignores(prefix + name) for name in files):
            return False
        folders[:] = [name for name in folders if not rules.ignores(prefix + name, is_folder=True)]
    return known.document_count(root_id) >= HELD_FROM_DOCUMENTS


def _is_elsewhere(path: bytes, root_id: int, scan: Scan, known: KnownFiles) -> bool:
    document = known.known_path(root_id, path)
    if document is None:
        return True
    stat = document.stat
    is_renamed = (stat.size_bytes, stat.mtime_ns, stat.inode) in scan.new_identities
    return is_renamed or (document.content_hash is not None and document.content_hash in scan.new_hashes)
