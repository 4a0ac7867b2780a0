from __future__ import annotations

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragd.domain.changes import Observation, Presence
from ragd.domain.documents import Extraction, Piece, Stat
from ragd.domain.errors import PayloadInvalid
from ragd.domain.index import EncoderSpec
from ragd.domain.work import EmbedBatch, EmbedResult, ExtractBatch, ExtractItem, ExtractResult
from ragd.jobs.payload import decode, decode_vectors, encode, encode_vectors

STAT = Stat(3, 1_700_000_000_000_000_001, 2, 2**63 - 1)
RESULT = EmbedResult("b", 1, (7, 9), np.asarray([[1, 0.5], [-1, 0.25]], np.float16), 0.5, 20)


@given(st.binary(max_size=50), st.integers(0, 2**62), st.booleans(), st.text(alphabet=st.characters(), max_size=50))
def test_a_batch_of_files_comes_back_equal_whatever_bytes_its_paths_hold(
    path: bytes, version: int, fresh: bool, batch_id: str
) -> None:
    batch = ExtractBatch(batch_id, path, (ExtractItem(1, version, path),), fresh)
    assert decode(ExtractBatch, encode(batch)) == batch


@given(st.text(alphabet=st.characters(), max_size=80), st.one_of(st.none(), st.integers(1, 9)))
def test_pieces_come_back_equal_even_with_lone_surrogates(text: str, page: int | None) -> None:
    piece = Piece(text, "a title", 0, len(text), page)
    result = ExtractResult(1, 2, Extraction(b"\xff" * 16, "md", text, STAT, len(text), (piece, piece)))
    assert decode(ExtractResult, encode(result)) == result


@given(st.sampled_from(Presence), st.one_of(st.none(), st.binary(min_size=16, max_size=16)))
def test_observations_come_back_equal(presence: Presence, content_hash: bytes | None) -> None:
    seen = Observation(b"a\xffb", presence, STAT, content_hash, "why", "what", 1.5, 2.0, True)
    assert decode(Observation, encode(seen)) == seen


def test_vectors_come_back_bit_for_bit() -> None:
    back = decode_vectors(encode_vectors(RESULT))
    assert replace(back, vectors=RESULT.vectors) == RESULT
    assert back.vectors.dtype == np.float16
    assert back.vectors.tobytes() == RESULT.vectors.tobytes()


def test_no_vectors_at_all_keep_their_dimension() -> None:
    none = EmbedResult("b", 1, (), np.empty((0, 384), np.float16), 0.0, 0)
    assert decode_vectors(encode_vectors(none)).vectors.shape == (0, 384)


def test_vectors_that_are_cut_short_are_refused() -> None:
    with pytest.raises(PayloadInvalid, match="7 bytes of vectors for 2 chunks of dimension 2"):
        decode_vectors(encode_vectors(RESULT)[:-1])


def test_vectors_that_are_not_finite_are_refused() -> None:
    broken = replace(RESULT, vectors=np.asarray([[1, np.nan], [0, 1]], np.float16))
    with pytest.raises(PayloadInvalid, match="not finite"):
        decode_vectors(encode_vectors(broken))


def test_more_vectors_than_chunks_are_a_bug() -> None:
    with pytest.raises(ValueError, match="2 vectors for 1 chunks"):
        encode_vectors(replace(RESULT, chunk_ids=(7,)))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"generation": "1"}, "EmbedBatch.generation: expected int, found str"),
        ({"generation": True}, "EmbedBatch.generation: expected int, found bool"),
        ({"texts": "a"}, "EmbedBatch.texts: expected an array, found str"),
        ({"texts": [1]}, "EmbedBatch.texts: expected str, found int"),
        ({"fresh": 0}, "EmbedBatch.fresh: expected bool, found int"),
        ({"more": 0}, "expected the fields"),
    ],
)
def test_a_field_that_does_not_fit_is_named(change: dict[str, object], told: str) -> None:
    batch = json.loads(encode(EmbedBatch("b", 1, "f", (1,), ("t",))))
    with pytest.raises(PayloadInvalid, match=told):
        decode(EmbedBatch, json.dumps(batch | change).encode())


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff", b"[]", b"null", b"NaN", b"[" * 100_000, pickle.dumps(EmbedBatch("b", 1, "f", (), ()))]
)
def test_what_is_no_batch_is_refused(data: bytes) -> None:
    with pytest.raises(PayloadInvalid, match="EmbedBatch"):
        decode(EmbedBatch, data)


def test_a_presence_that_does_not_exist_is_named() -> None:
    data = encode(Observation(b"a", Presence.GONE)).replace(b'"gone"', b'"lost"')
    with pytest.raises(PayloadInvalid, match="'lost' is none of present, gone, unknown"):
        decode(Observation, data)


def test_bytes_that_are_not_base64_are_refused() -> None:
    data = encode(Observation(b"abc", Presence.GONE)).replace(b'"YWJj"', b'"*"')
    with pytest.raises(PayloadInvalid, match=r"Observation\.path: not base64"):
        decode(Observation, data)


def test_a_whole_number_is_a_number() -> None:
    data = encode(EncoderSpec(timeout_s=30.0)).replace(b"30.0", b"30")
    assert decode(EncoderSpec, data) == EncoderSpec()


def test_what_has_no_json_form_is_a_bug() -> None:
    with pytest.raises(TypeError, match="set does not travel"):
        encode({1})
