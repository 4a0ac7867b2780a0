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
    assert wire.extraction_of(through(wire.extraction_message(extraction))) == extraction


def test_settings_travel() -> None:
    limits, policy = ReadLimits(1, 2, 3.5, 4), SplitPolicy("/x/tokenizer.json", 5, 6)
    message = through(wire.settings(limits, policy))
    assert wire.limits_of(message) == limits
    assert wire.policy_of(message) == policy


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(ValueError, match="object"):
        wire.unpacked(b"[1]")
