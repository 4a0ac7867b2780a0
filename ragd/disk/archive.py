"""One file of named parts, which `tar` reads too; read back so strictly that only what was written here passes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO

from ragd.domain.errors import BackupInvalid

_BLOCK = 512
_END = bytes(2 * _BLOCK)
_PIECE_BYTES = 1 << 20
_OCTAL_LIMIT = 8**11
_NAME = re.compile(r"[A-Za-z0-9_.-][A-Za-z0-9_. /-]{0,250}")


@dataclass(frozen=True, slots=True)
class Member:
    """A part of an archive: where its bytes begin and how many there are."""

    name: str
    size_bytes: int
    offset: int


def is_plain(name: str) -> bool:
    """True for a relative path of ordinary characters that leads nowhere else."""
    return bool(_NAME.fullmatch(name)) and not any(part in ("", ".", "..") for part in name.split("/"))


def write_member(archive: IO[bytes], name: str, size_bytes: int, pieces: Iterable[bytes]) -> None:
    """Appends a part whose pieces are `size_bytes` long together. Raises ValueError when they are not."""
    archive.write(_header(name, size_bytes))
    written = 0
    for piece in pieces:
        archive.write(piece)
        written += len(piece)
    if written != size_bytes:
        raise ValueError(f"{name} has {written} bytes instead of {size_bytes}")
    archive.write(bytes(-size_bytes % _BLOCK))


def write_end(archive: IO[bytes]) -> None:
    """Ends an archive: what comes without this was cut off."""
    archive.write(_END)


def read_members(archive: IO[bytes], size_bytes: int) -> Iterator[Member]:
    """The parts of an archive of `size_bytes` in their order, with nothing of them read yet.

    Raises BackupInvalid where the file is cut off or anything in it is not as `write_member` writes it: so there are
    no links, no folders, no devices, no paths that lead out, no name twice.
    """
    seen: set[str] = set()
    at = 0
    while True:
        archive.seek(at)
        block = archive.read(_BLOCK)
        if block == _END[:_BLOCK]:
            if archive.read(_BLOCK + 1) != _END[_BLOCK:] or at + len(_END) != size_bytes:
                raise BackupInvalid("its end is not where it must be", hint=_HINT)
            return
        member = _parsed(block, at)
        if member.name in seen:
            raise BackupInvalid(f"it holds {member.name} twice", hint=_HINT)
        seen.add(member.name)
        padding = -member.size_bytes % _BLOCK
        end = member.offset + member.size_bytes
        if end + padding + len(_END) > size_bytes:
            raise BackupInvalid(f"it was cut off within {member.name}", hint=_HINT)
        archive.seek(end)
        if archive.read(padding) != bytes(padding):
            raise BackupInvalid(f"there is something behind {member.name}", hint=_HINT)
        yield member
        at = end + padding


def pieces_of(archive: IO[bytes], member: Member, heard: Callable[[int], None] | None = None) -> Iterator[bytes]:
    """The bytes of a part, in pieces of a mebibyte; `heard` is told the length of each. Raises BackupInvalid."""
    archive.seek(member.offset)
    left = member.size_bytes
    while left:
        piece = archive.read(min(left, _PIECE_BYTES))
        if not piece:
            raise BackupInvalid(f"it was cut off within {member.name}", hint=_HINT)
        left -= len(piece)
        if heard is not None:
            heard(len(piece))
        yield piece


def _header(name: str, size_bytes: int) -> bytes:
    """The block in front of a part: POSIX ustar; a size above 8 GiB in base 256, as other programs write it."""
    path, prefix = name, ""
    if len(name) > 100:
        cut = name.find("/", len(name) - 101)
        prefix, path = name[:cut], name[cut + 1 :]
    if not is_plain(name) or len(path) > 100 or len(prefix) > 155:
        raise ValueError(f"{name!r} cannot be the name of a part")
    size = _octal(size_bytes, 12) if size_bytes < _OCTAL_LIMIT else b"\x80" + size_bytes.to_bytes(11, "big")
    numbers = _octal(0o600, 8) + 2 * _octal(0, 8) + size + _octal(0, 12)
    front = path.encode().ljust(100, b"\0") + numbers
    back = b"0" + bytes(100) + b"ustar" + bytes(1) + b"00" + bytes(64) + 2 * _octal(0, 8)
    back += prefix.encode().ljust(155, bytes(1))
    back += bytes(_BLOCK - len(front) - 8 - len(back))
    return front + b"%06o" % (sum(front) + 8 * 0x20 + sum(back)) + b"\x00\x20" + back


def _octal(number: int, width: int) -> bytes:
    return (b"%o" % number).rjust(width - 1, b"0") + bytes(1)


def _parsed(block: bytes, at: int) -> Member:
    """The part that a header announces: one that was written here is equal to the header of what it says."""
    problem = BackupInvalid("it is not a backup, or it is damaged", hint=_HINT)
    if len(block) < _BLOCK:
        raise BackupInvalid("it was cut off", hint=_HINT) if at else problem
    try:
        path, prefix = (block[a:b].rstrip(b"\0").decode("ascii") for a, b in ((0, 100), (345, 500)))
        name = f"{prefix}/{path}" if prefix else path
        field = block[124:136]
        size_bytes = int.from_bytes(field[1:], "big") if field[0] == 0x80 else int(field[:11], 8)
        is_ours = size_bytes >= 0 and _header(name, size_bytes) == block
    except ValueError as error:
        raise problem from error
    if not is_ours:
        raise problem
    return Member(name, size_bytes, at + _BLOCK)


_HINT = "take another backup: this one cannot be trusted"
