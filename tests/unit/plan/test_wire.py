"""Messages between the sandbox and its child come back as they were sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragd.domain.documents import Extraction, Piece, Stat
from ragd.domain.work import ReadLimits, SplitPolicy
from ragd.plan import wire

TEXTS = st.text(st.characters(codec="utf-8"), max_size=30)
PIECES = st.builds(Piece, TEXTS, TEXTS, st.integers(0, 9), st.integers(9, 99), st.none() | st.integers(1, 9))


def through(message: wire.Message) -> wire.Message:
    data = wire.packed(message)
    size = wire.HEADER.unpack(data[: wire.HEADER.size])[0]
    assert len(data) == wire.HEADER.size + size
    return wire.unpacked(data[wire.HEADER.size :])


@given(st.binary(max_size=40))
def test_any_path_travels(path: bytes) -> None:
    assert wire.path_bytes(through({"path": wire.path_text(path)})["path"]) == path


@given(st.lists(PIECES, max_size=5), TEXTS, st.binary(min_size=16, max_size=16))
def test_an_extraction_travels(pieces: list[Piece], title: str, content: bytes) -> None:
    extraction = Extraction(content, "md", title, Stat(1, 2, 3, 4), 99, tuple(pieces))
    assert wire.extraction_of(through(wire.extraction_message(extraction)), 99) == extraction


def test_settings_travel() -> None:
    limits, policy = ReadLimits(1, 2, 3.5, 4), SplitPolicy("/x/tokenizer.json", 5, 6)
    message = through(wire.settings(limits, policy))
    assert wire.limits_of(message) == limits
    assert wire.policy_of(message) == policy


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
GOOD = wire.extraction_message(Extraction(b"h" * 16, "md", "t", Stat(1, 2, 3, 4), 9, (Piece("x", "", 0, 1, None),)))


@given(st.sampled_from(sorted(GOOD)), JSON | st.just([["\ud800", "", 0, 1, None]]) | st.just([1, 2, 3, 1 << 63]))
def test_an_extraction_with_a_field_of_somebody_elses_making_is_nonsense_or_fits_the_catalog(
    name: str, value: object
) -> None:
    try:
        made = wire.extraction_of({**GOOD, name: value}, 99)
    except wire.Nonsense:
        return
    for text in (made.kind, made.title, *(part for piece in made.pieces for part in (piece.text, piece.context))):
        assert text.encode() is not None
    assert all(-(1 << 63) <= number < 1 << 63 for number in (made.size_chars, made.stat.size_bytes, made.stat.inode))


@given(JSON)
def test_what_is_neither_an_extraction_nor_a_reason_is_nonsense(value: object) -> None:
    with pytest.raises(wire.Nonsense):
        wire.extraction_of(value, 99)
    with pytest.raises(wire.Nonsense):
        wire.refusal_of({"reason": value, "hint": 3})


@pytest.mark.parametrize("body", [b"[1]", b"{", b"\xff", b"[" * 100_000, b""])
def test_what_is_no_object_is_nonsense(body: bytes) -> None:
    with pytest.raises(wire.Nonsense):
        wire.unpacked(body)
