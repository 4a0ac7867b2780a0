"""Looks into a zip archive before anything unpacks it, and refuses one that would fill the memory."""

from __future__ import annotations

import io
import zipfile
import zlib

from ragd.domain.errors import ReadFailed

_MIB = 1 << 20
MAX_UNPACKED_BYTES = 512 * _MIB
MAX_RATIO = 200
_RATIO_COUNTS_FROM = 16 * _MIB  # small archives of blank sheets compress well and harm nobody
MAX_MEMBERS = 50_000
_NESTED = (".zip", ".docx", ".xlsx", ".pptx", ".epub", ".jar", ".odt")
_DEPTH = 3


def open_archive(data: bytes) -> zipfile.ZipFile:
    """The archive, opened for reading, after its directory and those of archives inside it were checked.

    Raises ReadFailed when it is not a zip archive, encrypted, or declares more than 512 MiB unpacked,
    more than 200 times its size, or more than 50,000 members. The standard library unpacks no
    member beyond the size that was declared.
    """
    archive = _opened(data)
    _check(archive, len(data), _DEPTH, [0])
    return archive


def _opened(data: bytes) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        if data.startswith(b"\xd0\xcf\x11\xe0"):
            raise ReadFailed(
                "encrypted, or in an old binary format", hint="save it without a password in today's format"
            ) from error
        raise ReadFailed(
            f"broken: not a complete zip archive ({error})", hint="copy or save the file again; this one may be cut off"
        ) from error


def _check(archive: zipfile.ZipFile, size: int, depth: int, total: list[int]) -> None:
    """Adds the declared sizes to `total` (one number, shared by all levels) and compares."""
    members = archive.infolist()
    declared = sum(member.file_size for member in members)
    total[0] += declared
    is_bomb = declared > _RATIO_COUNTS_FROM and declared > MAX_RATIO * max(1, size)
    if total[0] > MAX_UNPACKED_BYTES or is_bomb or len(members) > MAX_MEMBERS:
        raise ReadFailed(
            f"zip bomb: {size:,} bytes would unpack to {total[0]:,} in {len(members):,} members, at most "
            f"{MAX_UNPACKED_BYTES:,} bytes, {MAX_RATIO} times the size and {MAX_MEMBERS:,} members are unpacked",
            hint="exclude it, or unpack it into the folder",
        )
    for member in members:
        if member.flag_bits & 1:
            raise ReadFailed("encrypted: it needs a password", hint="save it without a password, or exclude it")
        if depth > 1 and member.filename.lower().endswith(_NESTED):
            _check_nested(archive, member, depth, total)


def _check_nested(archive: zipfile.ZipFile, member: zipfile.ZipInfo, depth: int, total: list[int]) -> None:
    """An archive inside: checked as well, and left alone when it is none after all."""
    try:
        inner = archive.read(member)
        nested = zipfile.ZipFile(io.BytesIO(inner))
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError, RuntimeError, zlib.error):
        return
    _check(nested, len(inner), depth - 1, total)
