"""How the sandbox and its child talk: JSON messages behind their length, and values as JSON."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Sequence
from typing import Any

from ragd.domain.documents import Extraction, Piece, Stat
from ragd.domain.training import PluginSource
from ragd.domain.work import ReadLimits, SplitPolicy
from ragd.plan.bounds import Bounds

HEADER = struct.Struct(">I")
Message = dict[str, Any]


def packed(message: Message) -> bytes:
    """The message as bytes with its length (4 bytes, big endian) in front; paths travel as escaped text."""
    body = json.dumps(message, separators=(",", ":")).encode("ascii")
    return HEADER.pack(len(body)) + body


class Nonsense(Exception):
    """A message that nobody of us would send: whoever did is not what it was."""


def unpacked(body: bytes) -> Message:
    """The message in a body. Raises Nonsense when it is none."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Nonsense("not JSON") from error
    if not isinstance(message, dict):
        raise Nonsense("not an object")
    return message


def settings(limits: ReadLimits, policy: SplitPolicy, plugins: Sequence[PluginSource] | None = None) -> Message:
    """What the child must know before it reads anything; without `plugins` it loads all but files."""
    return {
        "plugins": None if plugins is None else [[p.name, p.source, p.path, p.sha256] for p in plugins],
        "limits": [limits.max_file_bytes, limits.max_chars, limits.timeout_s, limits.memory_mb],
        "policy": [policy.tokenizer, policy.min_tokens, policy.max_tokens],
    }


def limits_of(message: Message) -> ReadLimits:
    size, chars, seconds, memory = message["limits"]
    return ReadLimits(int(size), int(chars), float(seconds), int(memory))


def policy_of(message: Message) -> SplitPolicy:
    tokenizer, least, most = message["policy"]
    return SplitPolicy(str(tokenizer), int(least), int(most))


def plugins_of(message: Message) -> list[PluginSource] | None:
    rows = message["plugins"]
    return None if rows is None else [PluginSource(*row) for row in rows]


def path_text(path: bytes) -> str:
    """Bytes as text that JSON carries unchanged (PEP 383)."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def path_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def extraction_message(extraction: Extraction) -> Message:
    stat = extraction.stat
    return {
        "hash": extraction.content_hash.hex(),
        "kind": extraction.kind,
        "title": extraction.title,
        "stat": [stat.size_bytes, stat.mtime_ns, stat.ctime_ns, stat.inode],
        "chars": extraction.size_chars,
        "pieces": [[p.text, p.context, p.start, p.end, p.page] for p in extraction.pieces],
    }


def extraction_of(message: object, max_chars: int) -> Extraction:
    """The extraction in a message of the child. Raises Nonsense for what could not be stored as one."""
    try:
        return _extraction(message, max_chars)
    except (KeyError, TypeError, ValueError) as error:
        raise Nonsense(f"{type(error).__name__} in an extraction") from error


def refusal_of(message: Message) -> tuple[str, str]:
    """Reason and hint of a file that was not read. Raises Nonsense."""
    try:
        return _text(message["reason"]), _text(message["hint"])
    except (KeyError, TypeError, ValueError) as error:
        raise Nonsense("neither an extraction nor a reason") from error


def resident_of(message: Message) -> int:
    """The bytes of memory that the child says it holds. Raises Nonsense."""
    try:
        return _number(message["rss"])
    except (KeyError, TypeError, ValueError) as error:
        raise Nonsense("no size of its memory") from error


def bounds_message(bounds: Bounds) -> list[int]:
    return [bounds.landlock, bounds.is_offline, bounds.is_filtered]


def bounds_of(message: Message) -> Bounds:
    landlock, is_offline, is_filtered = message["bounds"]
    return Bounds(int(landlock), bool(is_offline), bool(is_filtered))


def _extraction(message: Any, max_chars: int) -> Extraction:
    size_chars = _number(message["chars"])
    if size_chars > max_chars:
        raise ValueError("too long")
    return Extraction(
        content_hash=bytes.fromhex(_text(message["hash"])),
        kind=_text(message["kind"]),
        title=_text(message["title"]),
        stat=Stat(*(_number(value) for value in message["stat"])),
        size_chars=size_chars,
        pieces=tuple(_piece(*fields) for fields in message["pieces"]),
    )


def _piece(text: object, context: object, start: object, end: object, page: object) -> Piece:
    return Piece(_text(text), _text(context), _number(start), _number(end), None if page is None else _number(page))


def _text(value: object) -> str:
    """A text that a catalog can hold. Raises TypeError or ValueError."""
    if not isinstance(value, str):
        raise TypeError("not a text")
    value.encode()  # UnicodeEncodeError, a ValueError, for half a character
    return value


def _number(value: object) -> int:
    if type(value) is not int:
        raise TypeError("not a whole number")
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueError("beyond 64 bits")
    return value
