"""Damages valid bytes in the ways that bytes get damaged: flipped, cut, spliced, repeated, swapped, filled."""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

_TOKENS = (
    *(b"\0", b"\xff" * 4, b"\x80", b"../", b"%s%n", b"-1", b"9" * 400, b"1e999", b"NaN", b"null", b"[" * 500, b"<!--"),
    *(
        b"]]>",
        b"&#x110000;",
        b"\xed\xa0\x80",
        b"\r\n.\r\n",
        b"endobj",
        b"PK\x05\x06",
        "\u202e".encode(),
        b'"',
        b"\\u0000",
    ),
)
_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**31, 2**63, 10**400, 1.5, float("inf"), "", "x", "../../etc/passwd", "\ud800", "\0"),
    *([], {}, [[]], {"a": {}}, "9" * 5000),
)


def damage(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """The bytes after one to four kinds of damage; `others` are what is spliced in."""
    ways: list[Callable[[bytes], bytes]] = [
        lambda b: _flip(b, rng),
        lambda b: b[: rng.randrange(len(b) + 1)],
        lambda b: b[rng.randrange(len(b) + 1) :],
        lambda b: _splice(b, rng.choice(others), rng),
        lambda b: _insert(b, rng.choice(_TOKENS), rng),
        lambda b: _repeat(b, rng),
        lambda b: _fill(b, rng),
        lambda b: _member(b, others, rng),
        lambda b: json_damage(b, rng),
    ]
    for _ in range(rng.choice((1, 1, 2, 4))):
        if data:
            data = rng.choice(ways)(data)
    return data


def json_damage(data: bytes, rng: random.Random) -> bytes:
    """JSON in which one value is another, or one key is gone; other bytes come back as they are."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return data
    places = list(_places(value))
    if not places:
        return json.dumps(rng.choice(_VALUES)).encode()
    holder, key = rng.choice(places)
    if isinstance(holder, dict) and rng.random() < 0.2:
        del holder[key]
    else:
        holder[key] = rng.choice(_VALUES)
    return json.dumps(value).encode()


def _places(value: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        here = waiting.pop()
        keys = list(here) if isinstance(here, dict) else range(len(here)) if isinstance(here, list) else ()
        for key in keys:
            found.append((here, key))
            waiting.append(here[key])
    return found


def _flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 3, 30))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _span(data: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(data))
    return start, min(len(data), start + rng.choice((1, 8, 64, 1024)))


def _splice(data: bytes, other: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    begin = rng.randrange(len(other) + 1)
    return data[:start] + other[begin : begin + rng.choice((4, 64, 2048))] + data[end:]


def _insert(data: bytes, token: bytes, rng: random.Random) -> bytes:
    start, _ = _span(data, rng)
    return data[:start] + token + data[start:]


def _repeat(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + data[start:end] * rng.choice((2, 50, 500)) + data[end:]


def _fill(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + bytes([rng.choice((0, 255, 32, 65))]) * (end - start) + data[end:]


def _member(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """An archive with one damaged member, packed again in order: damage behind the checksums."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # noqa: BLE001 - no archive, or not any more
        return data
    if not members:
        return data
    name = rng.choice(sorted(members))
    members[name] = rng.choice(
        (
            _flip(members[name] or b"x", rng),
            members[name][: len(members[name]) // 2],
            b"",
            rng.choice(others)[:100_000],
        )
    )
    if rng.random() < 0.2:
        members["../../outside"] = members.pop(name)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for each, content in members.items():
            packed.writestr(each, content)
    return buffer.getvalue()
