"""What a plugin author may import: everything here is public and stable, everything else is private."""

from __future__ import annotations

from pluggy import HookimplMarker

from ragd.domain.documents import ReadText
from ragd.domain.errors import ReadFailed
from ragd.domain.ports import Reader
from ragd.hooks.archive import open_archive
from ragd.hooks.text import decode_text

__all__ = ["ReadFailed", "ReadText", "Reader", "decode_text", "hookimpl", "open_archive"]

hookimpl = HookimplMarker("ragd")
