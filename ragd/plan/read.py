"""Opens one file beneath its root, reads it whole and at one moment, and turns its bytes into text."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ragd.disk.beneath import open_beneath
from ragd.domain.documents import ReadText, Stat, stat_of
from ragd.domain.errors import ReadFailed
from ragd.domain.ports import Reader
from ragd.domain.work import ReadLimits

_READS = 3
_BLOCK_BYTES = 1 << 20
_SURROGATE = re.compile("[\ud800-\udfff]")
_EXCLUDE = "exclude it, or raise read."


@dataclass(frozen=True, slots=True)
class FileBytes:
    """A file's bytes and what the file system said of them; `is_stable` when nothing changed while they were read."""

    data: bytes = field(repr=False)
    stat: Stat
    is_stable: bool


def open_document(root: bytes, path: bytes) -> int:
    """Opens the file at `path` beneath `root` for reading; the caller closes the descriptor.

    Raises ReadFailed for what may not be read, PathInvalid for what is not a regular file beneath the root,
    FileNotFoundError and NotADirectoryError when it is gone.
    """
    try:
        return open_beneath(root, path)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise _unreadable(error) from error


def read_bytes(descriptor: int, limits: ReadLimits) -> FileBytes:
    """The bytes of an open file; one that changes meanwhile is read again, up to three times.

    Raises ReadFailed for what is too large or not readable.
    """
    try:
        return _settled(descriptor, limits)
    except OSError as error:
        raise _unreadable(error) from error


def _settled(descriptor: int, limits: ReadLimits) -> FileBytes:
    """Reads until the file is the same after as before, or for the last time."""
    attempt = 0
    while True:
        attempt += 1
        before = _stat(descriptor, limits)
        data = _whole(descriptor, limits)
        after = _stat(descriptor, limits)
        is_stable = before == after and len(data) == after.size_bytes
        if is_stable or attempt == _READS:
            return FileBytes(data, after, is_stable)


def _stat(descriptor: int, limits: ReadLimits) -> Stat:
    """What the file system says now. Raises ReadFailed above the size limit."""
    seen = os.fstat(descriptor)
    if seen.st_size > limits.max_file_bytes:
        raise ReadFailed(
            f"larger than the limit: {seen.st_size:,} bytes, at most {limits.max_file_bytes:,} are read",
            hint=_EXCLUDE + "max_file_mb",
        )
    return stat_of(seen)


def _whole(descriptor: int, limits: ReadLimits) -> bytes:
    """Everything from the first byte, at most one byte more than the limit."""
    blocks: list[bytes] = []
    offset = 0
    while offset <= limits.max_file_bytes:
        block = os.pread(descriptor, min(_BLOCK_BYTES, limits.max_file_bytes + 1 - offset), offset)
        if not block:
            break
        blocks.append(block)
        offset += len(block)
    return b"".join(blocks)


def _unreadable(error: OSError) -> ReadFailed:
    if isinstance(error, PermissionError):
        return ReadFailed("no permission to read it", hint="let ragd's user read the file and its folders")
    return ReadFailed(
        f"cannot be read: {error.strerror or type(error).__name__}", hint="check the disk, then `ragd retry`"
    )


class ReaderTable:
    """Which reader reads which suffix: the first that offers it; "" reads what nobody else offers."""

    def __init__(self, readers: Sequence[Reader]) -> None:
        self._by_suffix: dict[str, Reader] = {}
        for reader in readers:
            for suffix in reader.suffixes:
                self._by_suffix.setdefault(suffix, reader)

    def reader(self, suffix: str) -> Reader:
        """The reader for a suffix. Raises ReadFailed when no plugin reads it."""
        reader = self._by_suffix.get(suffix) or self._by_suffix.get("")
        if reader is None:
            raise ReadFailed(f"no plugin reads {suffix or 'files without a suffix'}", hint="install one, or exclude it")
        return reader

    def versions(self) -> list[str]:
        """`suffix=name@version` of every suffix, sorted: equal lists read equal text from equal bytes."""
        return sorted(f"{suffix}={reader.name}@{reader.version}" for suffix, reader in self._by_suffix.items())


def read_text(data: bytes, suffix: str, readers: ReaderTable, limits: ReadLimits) -> ReadText:
    """The text of a file's bytes, in a form that every later step accepts.

    Raises ReadFailed with the reader's reason, or its name and error when it failed unforeseen.
    """
    reader = readers.reader(suffix)
    try:
        found = reader.read(data, suffix)
    except (ReadFailed, MemoryError):
        raise
    except RecursionError as error:
        raise ReadFailed("nested too deeply", hint="simplify the file, or exclude it") from error
    except Exception as error:
        cause = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}".removesuffix(": ")
        raise ReadFailed(
            f"broken: the {reader.name} reader could not read it ({cause})",
            hint="open it in its own program and save it again, or exclude it",
        ) from error
    if len(found.text) > limits.max_chars:
        raise ReadFailed(
            f"holds more text than the limit: {len(found.text):,} characters, at most {limits.max_chars:,} are kept",
            hint=_EXCLUDE + "max_chars",
        )
    return _sound(found)


def _sound(text: ReadText) -> ReadText:
    """The text without what cannot be stored: lone surrogates and NULs are replaced, one for one."""
    clean = text.text
    if "\0" in clean:
        clean = clean.replace("\0", " ")
    if _SURROGATE.search(clean):
        clean = _SURROGATE.sub("\ufffd", clean)
    title = " ".join(_SURROGATE.sub("\ufffd", text.title).replace("\0", " ").split())
    return ReadText(text=clean, title=title, form=text.form, pages=text.pages)
