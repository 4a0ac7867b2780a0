"""Documents, the chunks of their text, and the way of one change: the nouns of ingest."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, field
from enum import StrEnum

# What catalogs and messages hold: inodes may use all 64 bits, and times may lie beyond the year 2262.
_MOST = (1 << 63) - 1
_SUFFIX = re.compile(rb"[^/]\.([A-Za-z0-9_+~-]{1,16})\Z")


class DocumentState(StrEnum):
    """Where a document stands: `pending` waits for extraction, `text` is found by words,
    `searchable` by words and meaning, `failed` has a reason in `ragd failed`."""

    PENDING = "pending"
    TEXT = "text"
    SEARCHABLE = "searchable"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Stat:
    """What the file system says of a file, cheap to compare: equal means unchanged.

    Sizes in bytes, times in nanoseconds since 1970.
    """

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @property
    def mark(self) -> int:
        """One number for the four, cheap to compare for every file of a scan: another mark, another stat."""
        return self.size_bytes + self.mtime_ns + self.ctime_ns + (self.inode & 0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class Piece:
    """One chunk as extraction gives it, before the catalog names it.

    `start` and `end` are character offsets into the extracted Markdown; `page` counts from 1
    where the format has pages (slides and sheets count as pages), else None.
    """

    text: str
    context: str
    start: int
    end: int
    page: int | None = None

    @property
    def embedded(self) -> str:
        """What the encoder sees: title and heading path, an empty line, then the text."""
        return f"{self.context}\n\n{self.text}" if self.context else self.text

    @property
    def key(self) -> bytes:
        """The chunk's identity, 16 bytes: equal means the same text under the same headings."""
        return hashlib.blake2b(self.embedded.encode("utf-8", "surrogatepass"), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class ReadText:
    """What a Reader returns: Markdown (or plain text), a title, and where pages begin.

    `form` chooses the splitter: `markdown`, `text`, or `code:LANGUAGE`. `pages` holds the
    character offset at which each page begins, ascending, empty where the format has none.
    """

    text: str = field(repr=False)
    title: str = ""
    form: str = "markdown"
    pages: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Extraction:
    """What one file held: its hash (16 bytes, blake2b of the bytes), kind, title and pieces in order."""

    content_hash: bytes
    kind: str
    title: str
    stat: Stat
    size_chars: int
    pieces: tuple[Piece, ...] = field(repr=False)


def stat_of(found: os.stat_result) -> Stat:
    """The four numbers that tell a changed file from an unchanged one, each within 63 bits and a sign."""
    mtime_ns, ctime_ns = (max(-_MOST, min(time_ns, _MOST)) for time_ns in (found.st_mtime_ns, found.st_ctime_ns))
    return Stat(found.st_size, mtime_ns, ctime_ns, found.st_ino & _MOST)


def suffix_of(path: bytes) -> str:
    """The file name's suffix with its dot, in lower case, "" without one: the key of readers."""
    found = _SUFFIX.search(path.rsplit(b"/", 1)[-1])
    return "." + found[1].decode("ascii").lower() if found else ""


def kind_of(path: bytes) -> str:
    """The document's kind for filters: the suffix without its dot, `txt` without one."""
    return suffix_of(path)[1:] or "txt"


def content_hash(data: bytes) -> bytes:
    """The 16-byte blake2b of a file's bytes, the identity of its content."""
    return hashlib.blake2b(data, digest_size=16).digest()


def display_path(path: bytes) -> str:
    """A path for people and JSON: UTF-8, with bytes that are not UTF-8 shown as \\xNN."""
    return path.decode("utf-8", "backslashreplace")
