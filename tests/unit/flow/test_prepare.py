"""A run's data is made from catalog and files, and holds nothing that is held out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ragd.catalog.corpus import open_corpus
from ragd.catalog.journal import Journal, JournalEntry
from ragd.catalog.store import Store
from ragd.domain.errors import ModelMismatch, PairsInvalid, TooFewExamples
from ragd.domain.learning import Data, Needs, Role
from ragd.domain.training import RunPlaces
from ragd.flow.examples import Examples, gather, read_layout
from ragd.flow.prepare import main, prepare, sampled
from ragd.learn.likeness import NearTexts
from ragd.learn.records import read_request, write_request
from ragd.learn.snapshot import is_prepared, read_preparation, read_snapshot
from ragd.learn.splits import Side, Split
from ragd.testing.embeddings import EmbeddingServer
from tests.unit.flow.lesson import DIMENSION, Lesson

pytestmark = pytest.mark.slow  # an endpoint and whole catalogs


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lesson]:
    with EmbeddingServer(dimension=DIMENSION) as server:
        yield Lesson.laid_out(tmp_path_factory.mktemp("lesson"), server)


def examples_of(places: RunPlaces) -> Examples:
    preparation = read_preparation(places)
    reader, corpus = open_corpus(Path(preparation.state))
    try:
        layout = read_layout(corpus, preparation.heldout_share)
        return gather(preparation, reader, corpus, layout, split=Split(preparation.heldout_share))
    finally:
        reader.close()


def test_nothing_held_out_is_written_where_a_trainer_reads(lesson: Lesson) -> None:
    """End to end: neither a held-out query nor a near one, nor a chunk of a held-out document, in any file."""
    places = lesson.run()
    said = prepare(places)
    examples = examples_of(places)
    held = [item.question.query for item in examples.divided.heldout]
    out = {row.path for row in examples.layout.documents if examples.layout.sides[row.id] is Side.HELD_OUT}
    assert said["heldout"] == len(held) > 30
    assert len(out) > 60
    near = NearTexts()
    for query in held:
        near.add(query)
    data = read_snapshot(places.data)
    assert not [pair.query for pair in (*data.pairs, *data.validation_pairs) if near.has_near(pair.query)]
    assert not out & {chunk.path for chunk in data.chunks}
    here = {chunk.id for chunk in data.chunks}
    for pair in (*data.pairs, *data.validation_pairs):
        assert {*pair.positives, *pair.negatives} <= here
    raw = "".join(path.read_text("utf-8") for path in places.data.glob("*.json*"))
    assert not [query for query in held if query in raw]
    assert not [path for path in out if f'"{path}"' in raw]


def test_pairs_name_what_answers_first_and_hard_negatives_of_other_documents(lesson: Lesson) -> None:
    places = lesson.run()
    said = prepare(places)
    data = read_snapshot(places.data)
    path_of = {chunk.id: chunk.path for chunk in data.chunks}
    asked = {row["query"]: row["document"] for row in map(json.loads, lesson.pairs.read_text().splitlines())}
    labelled = [pair for pair in data.pairs if pair.source == "file"]
    assert said["examples"] == len(labelled) > 100
    for pair in labelled:
        assert {path_of[chunk] for chunk in pair.positives} == {asked[pair.query]}
        assert pair.negatives
        assert asked[pair.query] not in {path_of[chunk] for chunk in pair.negatives}
    headings = [pair for pair in data.pairs if pair.source == "heading"]
    assert 0 < len(headings) <= len(labelled) / 4
    assert all(path_of[pair.positives[0]] == pair.query for pair in headings)
    assert data.manifest.facts["report"]["headings"] == len(headings)
    assert 0 < len(data.validation_pairs) < len(labelled)


def test_the_vectors_are_those_of_the_catalog_in_the_order_of_the_chunks(lesson: Lesson) -> None:
    places = lesson.run()
    prepare(places)
    data = read_snapshot(places.data)
    assert data.vectors.shape == (len(data.chunks), DIMENSION)
    for chunk, vector in list(zip(data.chunks, data.vectors, strict=True))[::20]:
        expected = np.array(lesson.server.vector(chunk.text))
        np.testing.assert_allclose(vector.astype(float), expected / np.linalg.norm(expected), atol=2e-3)


def test_equal_data_gives_an_equal_hash(lesson: Lesson) -> None:
    assert prepare(lesson.run())["data_sha256"] == prepare(lesson.run())["data_sha256"]


def test_feedback_is_trained_on_and_the_newest_is_held_out(lesson: Lesson) -> None:
    reader, corpus = open_corpus(lesson.state)
    paths = {row.id: row.path for row in corpus.documents()}
    holdings = list(
        zip(*(part.tolist() for part in (corpus.holdings().chunks, corpus.holdings().documents)), strict=True)
    )
    reader.close()
    store = Store(lesson.state)
    journal = Journal(store)
    for n, (chunk, document) in enumerate(holdings[:90]):
        hits = (*((other, d) for other, d in holdings[100:105]), (chunk, document))
        text = f"{paths[document]} asked of number {n * 7919}"
        journal.add([JournalEntry(n + 1, 1000.0 + n, text, "dense", 1.0, hits)])
        journal.judge(n + 1, chunk, is_good=True, at=2000.0)
        journal.judge(n + 1, hits[0][0], is_good=False, at=2000.0)
    store.close()
    places = lesson.run(pairs=(), has_journal=True, needs=Needs(Data.PAIRS, 20))
    said = prepare(places)
    data = read_snapshot(places.data)
    labelled = [pair for pair in data.pairs if pair.source == "journal"]
    assert said["examples"] == len(labelled) > 30
    border = data.manifest.facts["split"]["newest_from"]
    assert 1070 < border < 1090
    assert max(pair.at for pair in (*labelled, *data.validation_pairs)) < border
    assert {round(pair.weight, 6) for pair in labelled} == {1.0}  # all stood at the same rank
    here = {chunk.id for chunk in data.chunks}
    assert all(pair.negatives[0] == holdings[100][0] for pair in labelled if holdings[100][0] in here)
    assert not prepare(lesson.run())["report"]["sources"].get("journal")  # only where it was asked for


def test_an_index_fit_gets_every_vector_and_no_pairs(lesson: Lesson) -> None:
    places = lesson.run(Role.INDEX, needs=Needs(Data.VECTORS, 100))
    said = prepare(places)
    assert said["counts"]["chunks"] == said["examples"] == len(lesson.documents)
    assert said["counts"]["pairs"] == 0


def test_texts_come_without_those_that_are_held_out(lesson: Lesson) -> None:
    said = prepare(lesson.run(Role.ENCODER, needs=Needs(Data.TEXTS, 100)))
    assert 100 < said["examples"] < len(lesson.documents) * 0.85


def test_too_few_pairs_say_how_many_there_are_and_are_needed(lesson: Lesson) -> None:
    places = lesson.run(needs=Needs(Data.PAIRS, 5000))
    with pytest.raises(TooFewExamples, match=r"trainer needs 5,000 pairs .* there are \d+ \(\d+ more are held out"):
        prepare(places)
    assert not is_prepared(places)


def test_answers_that_are_gone_are_counted_in_the_report(lesson: Lesson, tmp_path: Path) -> None:
    more = tmp_path / "more.jsonl"
    more.write_text('{"query": "where did it go", "document": "gone.md"}\n{"query": "?", "document": "also.md"}\n')
    said = prepare(lesson.run(pairs=(str(lesson.pairs), str(more))))
    dropped = said["report"]["dropped"]["not_in_corpus"]
    assert (dropped["count"], dropped["examples"]) == (2, ("more.jsonl:1", "more.jsonl:2"))


def test_a_passage_is_found_among_the_chunks(lesson: Lesson, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in lesson.pairs.read_text().splitlines()]
    by_text = tmp_path / "passages.jsonl"
    by_text.write_text(
        "".join(
            json.dumps({"question": row["query"], "positive": lesson.documents[row["document"]][0]}) + "\n"
            for row in rows
        )
    )
    by_path, by_passage = prepare(lesson.run()), prepare(lesson.run(pairs=(str(by_text),)))
    assert by_passage["report"]["dropped"].get("not_in_corpus") is None
    assert by_passage["examples"] == by_path["examples"]


def test_a_broken_file_ends_the_run_by_its_name(
    lesson: Lesson, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text("{\n")
    places = lesson.run(pairs=(str(broken),))
    assert main([str(places.folder)]) == PairsInvalid.exit_code
    said = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert said["error"] == "pairs_invalid"
    assert "broken.jsonl: line 1: not JSON" in said["reason"]
    assert said["hint"]
    assert not is_prepared(places)


def test_the_process_says_what_it_made_in_its_last_line(lesson: Lesson, capfd: pytest.CaptureFixture[str]) -> None:
    places = lesson.run()
    assert main([str(places.folder)]) == 0
    said = json.loads(capfd.readouterr().out.splitlines()[-1])
    manifest = read_snapshot(places.data).manifest
    assert said["data_sha256"] == manifest.data_sha256
    assert manifest.facts["dimension"] == DIMENSION
    assert main([]) == 2


def test_an_encoder_of_another_space_is_refused(lesson: Lesson) -> None:
    places = lesson.run()
    request = read_request(places)
    write_request(places, replace(request, encoder=replace(request.encoder, query_prompt="query: ")))
    with pytest.raises(ModelMismatch, match="not the one whose vectors"):
        prepare(places)


def test_prompts_are_divided_and_need_no_catalog(lesson: Lesson, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text(
        "".join(json.dumps({"prompt": f"say the word {n * 7919} in {n}", "answer": str(n)}) + "\n" for n in range(80))
    )
    needs = Needs(Data.PROMPTS, 20)
    places = lesson.run(Role.GENERATOR, needs=needs, prompts=(str(prompts),), pairs=(), state=str(tmp_path / "none"))
    said = prepare(places)
    data = read_snapshot(places.data)
    assert said["examples"] == len(data.prompts) < 80
    assert said["heldout"] > 0
    with pytest.raises(TooFewExamples, match="needs 500 prompts"):
        prepare(lesson.run(Role.GENERATOR, needs=Needs(Data.PROMPTS, 500), prompts=(str(prompts),), pairs=()))


def test_a_large_corpus_is_sampled_with_every_chunk_that_answers(lesson: Lesson) -> None:
    places = lesson.run()
    examples = examples_of(places)
    chunks_of = examples.layout.chunks_of(Side.TRAINING, Side.VALIDATION)
    every = sorted({chunk for chunks in chunks_of.values() for chunk in chunks})
    asked = (*examples.divided.training, *examples.divided.validation)
    needed = {c for question in asked for document in question.grades for c in chunks_of.get(document, ())}
    chosen = sampled(every, chunks_of, examples, 1, len(needed) + 3)
    assert needed < set(chosen.tolist())
    assert len(chosen) == len(needed) + 3
    assert chosen.tolist() == sampled(every, chunks_of, examples, 1, len(needed) + 3).tolist()
    assert sampled(every, chunks_of, examples, 1).tolist() == every
