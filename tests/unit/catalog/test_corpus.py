"""The corpus as training sees it: every document, what it holds, and its texts, of one moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ragd.catalog.corpus import DocumentRow, open_corpus
from ragd.domain.index import EncoderSpec
from ragd.embed.encoder import open_encoder
from ragd.testing.embeddings import EmbeddingServer
from ragd.testing.indexed import IndexedState


def test_documents_holdings_and_texts_are_those_that_live(tmp_path: Path) -> None:
    with EmbeddingServer(dimension=8) as server:
        encoder = open_encoder(EncoderSpec(kind="openai", model="hashing", url=server.url, dimension=8), tmp_path)
        state = IndexedState(tmp_path, encoder)
        state.add({"a/one.md": ["first passage", "second passage"], "two.md": ["second passage"]})
        reader, corpus = open_corpus(tmp_path)
        with corpus.at_once():
            assert corpus.documents() == [
                DocumentRow(1, "notes", "/kb/notes", "a/one.md"),
                DocumentRow(2, "notes", "/kb/notes", "two.md"),
            ]
            before = corpus.holdings()
            state.add({"three.md": ["third passage"]}, headings={"three.md": "Guide"})
            np.testing.assert_array_equal(corpus.holdings().chunks, before.chunks)
        assert before.documents.tolist() == [1, 1, 2]
        assert before.chunks[1] == before.chunks[2]
        after = corpus.holdings()
        assert after.documents.tolist() == [1, 1, 2, 3]
        assert corpus.texts(after.chunks[[3, 0]].tolist()) == [("Guide", "third passage"), ("", "first passage")]
        with pytest.raises(KeyError):
            corpus.texts([999])
        assert corpus.often_found() == {}
        reader.close()
        state.close()
        encoder.close()
