"""What every Encoder must do, over all three: ONNX Runtime, sentence-transformers, an endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ragd.domain.errors import EncoderFailed
from ragd.domain.index import EncoderSpec, Vectors
from ragd.domain.ports import Encoder
from ragd.embed.batch import encode_slices
from ragd.embed.encoder import open_encoder, space_of
from ragd.embed.halt import Halt, Haltable, Halted
from ragd.testing.embeddings import EmbeddingServer

KINDS = ("onnx", "sbert", "openai")

TEXTS = (
    "Ownership is a set of rules that govern how a program manages memory.",
    "x",
    "索引始终等于文件夹的内容，删除的文件不会再被找到。",
    "The daemon watches folders and keeps the index equal to them. " * 6,
    "Größe, naïveté, Ελληνικά, русский текст, 🙂 and e\u0301",
    "def encode(texts):\n    return [model(text) for text in texts]\n",
    "1999-12-31T23:59:59Z 0xdeadbeef --flag=value /etc/hosts",
)


@pytest.fixture(scope="module", params=KINDS)
def spec(request: pytest.FixtureRequest) -> Iterator[EncoderSpec]:
    if request.param != "openai":
        yield EncoderSpec(kind=request.param, threads=2)
        return
    with EmbeddingServer(dimension=48) as server:
        yield EncoderSpec(kind="openai", model=server.model, url=server.url, max_tokens=64, retries=0)


@pytest.fixture(scope="module")
def encoder(spec: EncoderSpec, models: Path) -> Iterator[Encoder]:
    opened = open_encoder(spec, models)
    yield opened
    opened.close()


def _cosines(left: Vectors, right: Vectors) -> Vectors:
    return np.asarray((left * right).sum(axis=-1))


def test_it_is_an_encoder(encoder: Encoder) -> None:
    assert isinstance(encoder, Encoder)


def test_its_space_is_the_one_foretold(encoder: Encoder, spec: EncoderSpec, models: Path) -> None:
    assert encoder.space == space_of(spec, models)
    assert len(bytes.fromhex(encoder.space.fingerprint)) == 16
    assert encoder.space.max_tokens > 0


def test_vectors_are_float32_of_unit_length(encoder: Encoder) -> None:
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), encoder.space.dimension)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_order_is_kept_and_company_does_not_matter(encoder: Encoder) -> None:
    together = encoder.encode(TEXTS)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    backwards = encoder.encode(TEXTS[::-1])[::-1]
    assert _cosines(together, alone).min() > 0.99999
    assert _cosines(together, backwards).min() > 0.99999


def test_different_texts_differ(encoder: Encoder) -> None:
    cosines = encoder.encode(TEXTS) @ encoder.encode(TEXTS).T
    assert np.max(cosines - np.eye(len(TEXTS))) < 0.99


def test_no_texts_give_no_rows(encoder: Encoder) -> None:
    vectors = encoder.encode([])
    assert vectors.shape == (0, encoder.space.dimension)
    assert vectors.dtype == np.float32


@pytest.mark.parametrize("text", ["", " \n\t ", "\x00", "\ud800 half a character"])
def test_odd_texts_have_a_vector_too(encoder: Encoder, text: str) -> None:
    vectors = encoder.encode([text, TEXTS[0]])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_a_text_beyond_the_limit_is_cut(encoder: Encoder) -> None:
    long = "alpha beta gamma delta " * 500
    vectors = encoder.encode([long, long + "and an end that nothing sees"])
    assert _cosines(vectors[0], vectors[1]) > 0.99999


def test_a_query_is_one_vector_near_the_same_text(encoder: Encoder) -> None:
    query = encoder.encode_query(TEXTS[0])
    assert query.shape == (encoder.space.dimension,)
    assert query.dtype == np.float32
    assert _cosines(query, encoder.encode([TEXTS[0]])[0]) > 0.99999


def test_it_may_be_asked_from_several_threads(encoder: Encoder) -> None:
    expected = encoder.encode(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        found = np.stack(list(pool.map(encoder.encode_query, TEXTS * 3)))
    assert _cosines(found, np.tile(expected, (3, 1))).min() > 0.99999


def test_slices_give_the_same_vectors_as_one_call(encoder: Encoder) -> None:
    encoded = encode_slices(encoder, TEXTS, budget_tokens=32)
    assert encoded.left == ()
    assert _cosines(encoded.vectors, encoder.encode(TEXTS)[list(encoded.done)]).min() > 0.99999


def test_one_that_can_be_halted_gives_nothing_then_and_goes_on_after(encoder: Encoder) -> None:
    if not isinstance(encoder, Haltable):
        pytest.skip("a computation that nobody can end early")
    halt = Halt()
    assert _cosines(encoder.encode_until(TEXTS, halt), encoder.encode(TEXTS)).min() > 0.99999
    halt.set()
    with pytest.raises(Halted):
        encoder.encode_until(TEXTS, halt)
    assert encoder.encode_until(TEXTS[:1], Halt()).shape == (1, encoder.space.dimension)


def test_closing_twice_is_fine_and_a_closed_encoder_says_so(spec: EncoderSpec, models: Path) -> None:
    opened = open_encoder(replace(spec, dimension=space_of(spec, models).dimension), models)
    opened.close()
    opened.close()
    with pytest.raises(EncoderFailed, match="closed"):
        opened.encode(["a"])
    with pytest.raises(EncoderFailed, match="closed"):
        opened.encode_query("a")


def test_onnx_and_torch_give_the_same_vectors_in_the_same_space(models: Path) -> None:
    onnx, torch = (open_encoder(EncoderSpec(kind=kind, threads=2), models) for kind in ("onnx", "sbert"))
    assert onnx.space == torch.space
    assert _cosines(onnx.encode(TEXTS), torch.encode(TEXTS)).min() >= 0.999
    assert _cosines(onnx.encode_query(TEXTS[2]), torch.encode_query(TEXTS[2])) >= 0.999
    onnx.close()
    torch.close()
