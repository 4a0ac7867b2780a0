"""Bytes to text: byte order marks, UTF-8 first, then what the bytes look like; binary is refused."""

from __future__ import annotations

import codecs
import re

from ragd.domain.errors import ReadFailed

# UTF-32 before UTF-16: the first two bytes of its little-endian mark are those of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Left to choose among every codec it knows, the detector finds rare ones in short texts.
_CANDIDATES = (
    "cp1252", "gb18030", "big5", "cp932", "euc_jp", "euc_kr", "cp1251", "koi8_r",
    "cp1250", "cp1253", "cp1254", "cp1255", "cp1256",
)  # fmt: skip
_SAMPLE_BYTES = 1 << 16
_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f\ufffd]")
_CONTROL_SHARE = 0.05
_BINARY_HINT = "exclude it, or install a plugin that reads this kind of file"


def decode_text(data: bytes, *, declared: str = "") -> str:
    """The text in `data`, without byte order mark, with every line ending as `\\n`.

    `declared` is an encoding that the format itself names (an HTML meta element); it is used when it
    is known and fits. A text that is UTF-8 but for a few bytes keeps them as U+FFFD.
    Raises ReadFailed for binary data.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _checked(data[len(mark) :].decode(encoding, "replace"))
    wide = _wide_encoding(data[:_SAMPLE_BYTES])
    if wide:
        return _checked(data.decode(wide, "replace"))
    if b"\0" in data:
        raise ReadFailed("binary without text: it holds NUL bytes", hint=_BINARY_HINT)
    for encoding in ("utf-8", declared):
        text = _strict(data, encoding)
        if text is not None:
            return _checked(text)
    return _checked(_detected(data))


def _strict(data: bytes, encoding: str) -> str | None:
    """The text if every byte fits the encoding and Python knows it."""
    if not encoding:
        return None
    try:
        return data.decode(encoding)
    except (UnicodeError, LookupError):
        return None


def _wide_encoding(sample: bytes) -> str:
    """UTF-16 without a mark, told by where the NUL bytes of Latin letters stand; "" for anything else."""
    if len(sample) < 8 or b"\0" not in sample:
        return ""
    half = len(sample) // 2
    even, odd = sample[0::2].count(0) / half, sample[1::2].count(0) / half
    if odd > 0.4 and even < 0.05:
        return "utf-16-le"
    if even > 0.4 and odd < 0.05:
        return "utf-16-be"
    return ""


def _detected(data: bytes) -> str:
    """The text by its likeliest encoding; a torn UTF-8 file stays UTF-8 with its broken bytes marked."""
    from charset_normalizer import from_bytes  # 40 ms to import, and most files are UTF-8

    loose = data.decode("utf-8", "replace")
    broken = loose.count("\ufffd")
    whole = sum(1 for c in loose[:_SAMPLE_BYTES] if c > "\x7f") - loose[:_SAMPLE_BYTES].count("\ufffd")
    if whole > 4 * min(broken, _SAMPLE_BYTES):
        return loose
    matches = from_bytes(_telling(data), cp_isolation=list(_CANDIDATES))
    best = matches.best()
    if best is None:
        return loose
    # Western European texts often fit Central European code pages just as well.
    western = next((m for m in matches if m.encoding == "cp1252" and m.chaos <= best.chaos), None)
    chosen = western if western is not None and best.encoding in ("cp1250", "cp1254") else best
    return data.decode(chosen.encoding, "replace")


def _telling(data: bytes) -> bytes:
    """A sample that holds bytes beyond ASCII, which alone tell encodings apart; cut at line ends."""
    if len(data) <= _SAMPLE_BYTES:
        return data
    lines, size = [], 0
    for line in data.splitlines(keepends=True):
        if not line.isascii():
            lines.append(line[:_SAMPLE_BYTES])
            size += len(lines[-1])
            if size > _SAMPLE_BYTES:
                break
    return b"".join(lines)


def _checked(text: str) -> str:
    """The text with plain line ends. Raises ReadFailed when too much of it cannot be printed."""
    sample = text[:_SAMPLE_BYTES]
    if len(_CONTROL.findall(sample)) > _CONTROL_SHARE * len(sample):
        raise ReadFailed("binary without text: most of it cannot be printed", hint=_BINARY_HINT)
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
