"""Queries over a real catalog and a real index; only the encoder is a small one (hashed words)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragd.catalog.contents import Contents
from ragd.catalog.documents import Documents
from ragd.catalog.reader import CatalogReader
from ragd.catalog.store import Store
from ragd.catalog.vectors import Vectors as VectorTable
from ragd.domain.changes import Observation, Presence
from ragd.domain.documents import Extraction, Piece, Stat, content_hash
from ragd.domain.errors import BadRequest, EncoderFailed, ModelUnavailable
from ragd.domain.index import EmbeddingSpace, HalfVectors, IndexPolicy, Vectors
from ragd.domain.search import Filters, Mode, Query
from ragd.flow.answer import Answer, Freshness, OnAnswered, SearchSettings
from ragd.flow.route import Route, Routes, Transform
from ragd.index.exact import ExactIndex
from ragd.index.generation import Generation

_NO_IDS = np.empty(0, dtype=np.int64)


class HashedWords:
    """An encoder whose vectors count words by hash: texts that share words are near."""

    def __init__(self, dimension: int = 256) -> None:
        self.space = EmbeddingSpace("hashed", dimension, "hashed", 256)
        self.failure: Exception | None = None
        self.queries = 0

    def encode(self, texts: Sequence[str]) -> Vectors:
        return np.stack([self.encode_query(text) for text in texts])

    def encode_query(self, text: str) -> Vectors:
        if self.failure is not None:
            raise self.failure
        self.queries += 1
        vector = np.full(self.space.dimension, 1e-3, dtype=np.float32)
        for word in re.findall(r"\w+", text.lower()):
            vector[int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest()) % len(vector)] += 1.0
        return vector / np.float32(np.linalg.norm(vector))

    def close(self) -> None:
        pass


class Library:
    """A state folder with one root, filled by the same rooms the daemon uses."""

    def __init__(self, state: Path) -> None:
        self.store = Store(state)
        self.documents = Documents(self.store)
        self.contents = Contents(self.store)
        self.vectors = VectorTable(self.store)
        self.encoder = HashedWords()
        self.generation_id = self.vectors.serve(self.encoder.space)
        self.generation = Generation(ExactIndex(self.encoder.space.dimension), IndexPolicy())
        self.root = self.documents.set_roots([("notes", b"/notes")])[0]
        self.reader = CatalogReader(state)

    def write(self, path: str, *texts: str, mtime: float = 1000.0, embed: bool = True) -> None:
        stat = Stat(1, int(mtime * 1e9), 1, 1)
        pieces = tuple(Piece(text, "Title", at * 100, at * 100 + len(text), at + 1) for at, text in enumerate(texts))
        extraction = Extraction(content_hash("".join(texts).encode()), "md", "Title", stat, 1, pieces)
        self.delete(path)
        with self.store.transaction():
            row = self.documents.put(
                self.root.id, Observation(path.encode(), Presence.PRESENT, stat, extraction.content_hash), "pending"
            )
            content = self.contents.find(extraction.content_hash, "md", "r1") or self.contents.add(
                extraction, "r1", self.generation_id
            )
            self.contents.acquire(content.id)
            self.documents.set_content(row.id, content.id, stat, extraction.content_hash)
            self.contents.settle([self.generation_id], fresh=True)
        if embed:
            self.embed()

    def embed(self) -> None:
        ids, texts = self.vectors.texts(self.vectors.to_embed(self.generation_id, 100, fresh=True))
        if not ids:
            return
        vectors: HalfVectors = self.encoder.encode(texts).astype(np.float16)
        with self.store.transaction():
            self.vectors.put(self.generation_id, ids, vectors)
        self.generation.apply(np.asarray(ids), vectors, _NO_IDS)

    def delete(self, path: str, *, index: bool = True) -> None:
        with self.store.transaction():
            known = self.documents.known(self.root.id, [path.encode()]).get(path.encode())
            row = self.documents.row(known.document_id) if known else None
            if row is None:
                return
            if row.content_id is not None:
                self.contents.release(row.content_id)
            self.documents.delete(row.id)
            delta = self.contents.settle([self.generation_id], fresh=True)[self.generation_id]
        if index:
            self.generation.apply(_NO_IDS, np.empty((0, 256), np.float32), np.asarray(delta.leave, dtype=np.int64))

    def answer(self, on_answered: OnAnswered | None = None, **settings: int) -> Answer:
        routes = Routes(Route(self.encoder, self.generation, adapter=lambda vector: vector))
        fresh = Freshness(0, 0)
        return Answer(self.reader, routes, SearchSettings(**settings), lambda: fresh, on_answered=on_answered)


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    made = Library(tmp_path)
    yield made
    made.reader.close()
    made.store.close()


@pytest.mark.parametrize("mode", list(Mode))
def test_every_mode_finds_the_chunk_and_shows_where_it_stands(library: Library, mode: Mode) -> None:
    library.write("guide/a.md", "otters swim upstream", "beavers build dams", mtime=1234.5)
    library.write("guide/b.md", "foxes dig dens")
    answered = library.answer().search(Query("beavers dams", mode=mode, limit=1))
    hit = answered.hits[0]
    assert (hit.collection, hit.root, hit.path) == ("notes", "/notes", "guide/a.md")
    assert (hit.text, hit.heading, hit.page, hit.start, hit.end) == ("beavers build dams", "Title", 2, 100, 118)
    assert hit.modified_at == 1234.5
    assert answered.took_ms > 0
    assert answered.notes == ()


def test_each_modes_score_is_its_own_and_the_parts_say_why(library: Library) -> None:
    library.write("a.md", "beavers build dams")
    by_mode = {m: library.answer().search(Query("beavers build dams", mode=m)).hits[0] for m in Mode}
    assert set(by_mode[Mode.DENSE].parts) == {"dense", "dense_rank"}
    assert by_mode[Mode.DENSE].score == by_mode[Mode.DENSE].parts["dense"]
    assert set(by_mode[Mode.WORDS].parts) == {"words", "words_rank"}
    assert set(by_mode[Mode.HYBRID].parts) == {"dense", "dense_rank", "words", "words_rank"}
    assert by_mode[Mode.HYBRID].score == pytest.approx(1.0)


def test_a_chunk_in_two_documents_is_one_hit_and_outlives_either(library: Library) -> None:
    library.write("first.md", "beavers build dams")
    library.write("second.md", "beavers build dams")
    assert [h.path for h in library.answer().search(Query("beavers")).hits] == ["first.md"]
    library.delete("first.md")
    assert [h.path for h in library.answer().search(Query("beavers")).hits] == ["second.md"]


def test_a_chunk_that_left_the_catalog_is_no_hit_even_while_the_index_holds_it(library: Library) -> None:
    library.write("gone.md", "beavers build dams")
    library.write("here.md", "beavers build lodges")
    library.delete("gone.md", index=False)
    for mode in Mode:
        assert [h.path for h in library.answer().search(Query("beavers build dams", mode=mode)).hits] == ["here.md"]


def test_ghosts_do_not_take_the_place_of_hits(library: Library) -> None:
    for at in range(12):
        library.write(f"gone{at}.md", f"beavers build dams {at}")
    library.write("here.md", "beavers and more about other animals of the river")
    for at in range(12):
        library.delete(f"gone{at}.md", index=False)
    answered = library.answer(candidates=4).search(Query("beavers build dams", mode=Mode.DENSE, limit=1))
    assert [h.path for h in answered.hits] == ["here.md"]


def test_filters_hold_inside_the_search_so_the_limit_is_still_filled(library: Library) -> None:
    for at in range(30):
        library.write(f"noise/{at}.md", f"beavers build dams number {at}", mtime=100)
    library.write("kept/one.md", "beavers once", mtime=500)
    library.write("kept/two.txt", "beavers twice", mtime=900)

    def paths(filters: Filters, mode: Mode) -> set[str]:
        found = library.answer(candidates=2).search(Query("beavers build dams", mode, 2, filters))
        return {hit.path for hit in found.hits}

    for mode in Mode:
        assert paths(Filters(folders=("kept",)), mode) == {"kept/one.md", "kept/two.txt"}
        assert paths(Filters(globs=("*.txt",)), mode) == {"kept/two.txt"}
        assert paths(Filters(types=("txt",)), mode) == {"kept/two.txt"}
        assert paths(Filters(modified_after=500), mode) == {"kept/one.md", "kept/two.txt"}
        assert paths(Filters(modified_after=101, modified_before=900), mode) == {"kept/one.md"}
        assert paths(Filters(collections=("other",)), mode) == set()


def test_a_chunk_in_two_documents_is_shown_at_the_one_that_passes_the_filter(library: Library) -> None:
    library.write("a/first.md", "beavers build dams")
    library.write("b/second.md", "beavers build dams")
    for mode in Mode:
        answered = library.answer().search(Query("beavers", mode, filters=Filters(folders=("b",))))
        assert [h.path for h in answered.hits] == ["b/second.md"]


def test_text_without_a_vector_is_found_by_words_in_a_hybrid_search(library: Library) -> None:
    library.write("old.md", "foxes dig dens")
    library.write("new.md", "beavers build dams", embed=False)
    assert library.answer().search(Query("beavers")).hits[0].path == "new.md"


def test_a_hybrid_search_falls_back_to_words_and_says_so(library: Library) -> None:
    library.write("a.md", "beavers build dams")
    library.encoder.failure = EncoderFailed("the endpoint is down", hint="wait")
    answered = library.answer().search(Query("beavers"))
    assert [h.path for h in answered.hits] == ["a.md"]
    assert answered.notes == ("searched by words only: the endpoint is down",)
    with pytest.raises(EncoderFailed):
        library.answer().search(Query("beavers", Mode.DENSE))


def test_without_an_encoder_words_still_answer(library: Library) -> None:
    library.write("a.md", "beavers build dams")
    answer = Answer(library.reader, Routes(Route(None, None)), SearchSettings(), lambda: Freshness(1, 2))
    answered = answer.search(Query("beavers"))
    assert [h.path for h in answered.hits] == ["a.md"]
    assert answered.notes
    with pytest.raises(ModelUnavailable):
        answer.search(Query("beavers", Mode.DENSE))


def test_a_bug_in_the_encoder_is_not_hidden_as_a_fallback(library: Library) -> None:
    library.encoder.failure = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        library.answer().search(Query("beavers"))


def test_an_empty_catalog_answers_with_nothing(library: Library) -> None:
    for mode in Mode:
        assert library.answer().search(Query("beavers", mode)).hits == ()


def test_a_query_without_words_finds_nothing_by_words(library: Library) -> None:
    library.write("a.md", "beavers build dams")
    assert library.answer().search(Query("?!", Mode.WORDS)).hits == ()


def test_a_chinese_query_is_answered_by_words(library: Library) -> None:
    library.write("a.md", "河狸在河里筑坝")
    library.write("b.md", "狐狸挖洞")
    assert [h.path for h in library.answer().search(Query("筑坝", Mode.WORDS)).hits] == ["a.md"]


@pytest.mark.parametrize(
    "query",
    [Query(""), Query(" \n"), Query("x" * 8193), Query("a", limit=0), Query("a", limit=1001), Query("a\ud800")],
)
def test_a_query_that_cannot_be_searched_for_is_refused_with_a_remedy(library: Library, query: Query) -> None:
    with pytest.raises(BadRequest) as caught:
        library.answer().search(query)
    assert caught.value.hint


def test_the_longest_query_is_answered(library: Library) -> None:
    library.write("a.md", "beavers build dams")
    long = ("beavers " * 1024)[:8192]
    assert [h.path for h in library.answer().search(Query(long)).hits] == ["a.md"]


def test_an_answer_as_json_has_the_documented_names(library: Library) -> None:
    library.write("a.md", "beavers build dams")
    told = library.answer().search(Query("beavers")).as_json()
    assert set(told) == {"query", "mode", "took_ms", "freshness", "notes", "hits"}
    assert told["freshness"] == {"pending": 0, "words_only": 0, "proven_at": None, "is_current": True}
    assert told["mode"] == "hybrid"


def test_answers_agree_from_many_threads_beside_a_writer(library: Library) -> None:
    library.write("a.md", "beavers build dams")

    def ask(_: int) -> tuple[str, ...]:
        return tuple(h.path for h in library.answer().search(Query("beavers dams", limit=1)).hits)

    with ThreadPoolExecutor(4) as pool:
        asked = pool.map(ask, range(40))
        for at in range(10):
            library.write(f"other{at}.md", f"foxes dig dens {at}")
    assert set(asked) == {("a.md",)}


def test_hits_are_counted_without_their_queries(library: Library) -> None:
    library.write("a.md", "beavers build dams")
    library.write("b.md", "foxes dig dens")
    answer = library.answer()
    hits = [answer.search(Query("beavers", Mode.WORDS)).hits for _ in range(3)]
    assert answer.take_found() == {hits[0][0].chunk_id: 3}
    assert answer.take_found() == {}


def test_a_search_takes_the_route_once_and_keeps_it(library: Library) -> None:
    library.write("a.md", "beavers build dams")
    asked: list[str] = []

    class Watched(HashedWords):
        def encode_query(self, text: str) -> Vectors:
            asked.append(f"{routes.is_used(old)} {routes.is_used(new)}")
            if len(asked) == 1:
                routes.replace(Route(new, library.generation, bridge=lambda vector: vector))
                asked.append(f"{routes.is_used(old)} {routes.is_used(new)}")
            return super().encode_query(text)

    old, new = Watched(), Watched()
    routes = Routes(Route(old, library.generation))
    answer = Answer(library.reader, routes, SearchSettings(), lambda: Freshness(0, 0))
    assert answer.search(Query("beavers", Mode.DENSE)).hits
    assert asked == ["True False", "True True"]
    assert (routes.is_used(old), routes.is_used(new)) == (False, True)


def test_a_route_adapts_in_its_own_space_and_then_crosses_into_the_other(library: Library) -> None:
    steps: list[str] = []

    def step(name: str) -> Transform:
        def change(vector: Vectors) -> Vectors:
            steps.append(name)
            return vector

        return change

    Route(library.encoder, None, adapter=step("adapter"), bridge=step("bridge")).query_vector("beavers")
    assert steps == ["adapter", "bridge"]
    with pytest.raises(ModelUnavailable):
        Route(None, None).query_vector("beavers")


def test_every_answer_is_told_with_its_documents_and_the_encoders_own_vector(library: Library) -> None:
    library.write("guide/a.md", "otters swim upstream", "beavers build dams")
    heard: list[Any] = []

    def on_answered(*told: Any) -> int:
        heard.append(told)
        return 41

    answered = library.answer(on_answered).search(Query("beavers dams", limit=2))
    ((query, hits, took_ms, vector, space),) = heard
    assert query.text == "beavers dams"
    assert hits == [(hit.chunk_id, hit.document_id) for hit in answered.hits]
    assert {document for _, document in hits} == {1}
    assert took_ms == answered.took_ms
    assert space == library.encoder.space.fingerprint
    assert np.array_equal(vector, library.encoder.encode_query("beavers dams"))
    assert answered.query_id == answered.as_json()["query_id"] == 41


def test_an_answer_without_a_journal_has_no_id_and_one_by_words_no_vector(library: Library) -> None:
    library.write("a.md", "beavers build dams")
    assert "query_id" not in library.answer().search(Query("beavers")).as_json()
    vectors: list[Any] = []

    def on_answered(_query: Query, _hits: object, _took_ms: float, vector: object, _space: str) -> None:
        vectors.append(vector)

    answered = library.answer(on_answered).search(Query("beavers", mode=Mode.WORDS))
    assert answered.query_id is None
    assert vectors == [None]


def test_a_search_that_looks_deeper_encodes_its_query_once(library: Library) -> None:
    for number in range(6):
        library.write(f"{number}.md", f"beavers build dam {number}")
    for number in range(4):
        library.delete(f"{number}.md", index=False)
    before = library.encoder.queries
    answered = library.answer(candidates=4).search(Query("beavers", mode=Mode.DENSE, limit=4))
    assert len(answered.hits) == 2
    assert library.encoder.queries == before + 1
