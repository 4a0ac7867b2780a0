"""Bytes become text by their mark, as UTF-8, or by what they look like."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragd.domain.errors import ReadFailed
from ragd.hooks.text import decode_text

PRINTABLE = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1)


@given(PRINTABLE)
def test_utf8_comes_back_as_it_was(text: str) -> None:
    assert decode_text(text.encode()) == text.removeprefix("\ufeff")


@given(PRINTABLE, st.sampled_from(["utf-8-sig", "utf-16", "utf-32"]))
def test_a_byte_order_mark_decides(text: str, encoding: str) -> None:
    assert decode_text(text.encode(encoding)) == text


def test_line_ends_become_one_kind() -> None:
    assert decode_text(b"a\r\nb\rc\n") == "a\nb\nc\n"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Caf\xe9 au lait\n", "latin-1"),
        ("Gr\xfc\xdfe aus M\xfcnchen, sch\xf6ne Stra\xdfe", "cp1252"),
        ("検索インデックスはフォルダと常に一致していなければならない。", "euc_jp"),
        ("검색 색인은 항상 폴더와 같아야 합니다. 저장한 파일은 곧바로 찾을 수 있습니다.", "euc_kr"),
        ("Индекс поиска всегда равен папке. Сохранённый файл находится через секунду.", "koi8_r"),
    ],
)
def test_older_encodings_are_told_apart(text: str, encoding: str) -> None:
    assert decode_text(text.encode(encoding)) == text


def test_a_rare_byte_beyond_ascii_far_into_a_long_text_is_seen() -> None:
    text = "plain words\n" * 20_000 + "d\xe9j\xe0 vu, tr\xe8s f\xe2ch\xe9\n"
    assert decode_text(text.encode("latin-1")) == text


def test_a_declared_encoding_is_used_when_it_fits_and_ignored_when_unknown() -> None:
    assert decode_text("Žluťoučký kůň".encode("iso-8859-2"), declared="iso-8859-2") == "Žluťoučký kůň"
    assert decode_text(b"words", declared="no-such-encoding") == "words"


@pytest.mark.parametrize("data", [b"\0\1\2\3" * 50, b"words\0words", bytes([1, 2, 3, 4, 5, 6]) * 50])
def test_binary_is_refused(data: bytes) -> None:
    with pytest.raises(ReadFailed, match="binary without text") as refused:
        decode_text(data)
    assert refused.value.hint


@given(st.binary(max_size=300))
def test_any_bytes_give_text_with_plain_line_ends_or_a_refusal(data: bytes) -> None:
    try:
        text = decode_text(data)
    except ReadFailed:
        assert not data.isascii() or set(data) & set(range(32)) or 127 in data
        return
    assert "\r" not in text
