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

HEADER = struct.Struct(">I")
Message = dict[str, Any]


def packed(message: Message) -> bytes:
    """The message as bytes with its length (4 bytes, big endian) in front; paths travel as escaped text."""
    body = json.dumps(message, separators=(",", ":")).encode("ascii")
    return HEADER.pack(len(body)) + body


def unpacked(body: bytes) -> Message:
    """The message in a body. Raises ValueError when it is none."""
    message = json.loads(body)
    if not isinstance(message, dict):
        raise ValueError("a message is an object")
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


def extraction_of(message: Message) -> Extraction:
    return Extraction(
        content_hash=bytes.fromhex(message["hash"]),
        kind=message["kind"],
        title=message["title"],
        stat=Stat(*message["stat"]),
        size_chars=message["chars"],
        pieces=tuple(Piece(*fields) for fields in message["pieces"]),
    )
