"""Challengers are measured against what serves, through the serving path, on questions nobody trained on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ragd.catalog.reader import CatalogReader
from ragd.config.schema import Gate
from ragd.domain.deciding import Verdict
from ragd.domain.errors import ArtifactInvalid, ModelMismatch, TooFewExamples, TrainingFailed
from ragd.domain.index import EncoderSpec, IndexPolicy
from ragd.domain.learning import Data, Needs, Role
from ragd.domain.training import RunOutcome, RunPlaces
from ragd.embed.encoder import open_encoder
from ragd.embed.transform import QueryTransform
from ragd.flow.evaluate import evaluate, main
from ragd.flow.evaluate_search import UNSEEN
from ragd.flow.prepare import prepare
from ragd.hooks.artifacts import save_tensors, save_transform
from ragd.index.building import built
from ragd.index.generation import Generation
from ragd.index.snapshot import write_snapshot
from ragd.learn.gate import judge
from ragd.learn.likeness import text_id
from ragd.learn.metrics import ndcg_at
from ragd.learn.records import read_request, write_outcome, write_request
from ragd.learn.scores import SMALLER, mean, read_scores
from ragd.learn.snapshot import read_snapshot
from ragd.testing.embeddings import EmbeddingServer
from ragd.testing.indexed import IndexedState
from ragd.testing.tiny import tiny_generator, tiny_model
from tests.unit.flow.lesson import DIMENSION, Lesson, fit_adapter, trained

pytestmark = pytest.mark.slow  # an endpoint, whole catalogs and many questions


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lesson]:
    with EmbeddingServer(dimension=DIMENSION) as server:
        yield Lesson.laid_out(tmp_path_factory.mktemp("lesson"), server)


def ruined(folder: Path, seed: int = 3) -> Path:
    """An adapter that turns every query into another direction."""
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(DIMENSION, DIMENSION)))[0]
    save_transform(folder, "affine", weight=turn, bias=np.zeros(DIMENSION))
    return folder


def still(folder: Path) -> Path:
    """An adapter that changes nothing."""
    save_transform(folder, "residual", weight=np.zeros((DIMENSION, DIMENSION)))
    return folder


def prepared(lesson: Lesson, **changes: object) -> RunPlaces:
    places = lesson.run(**changes)  # type: ignore[arg-type]
    prepare(places)
    return places


def test_an_adapter_that_learned_wins_on_questions_it_never_saw(lesson: Lesson) -> None:
    places = prepared(lesson)
    trained(places, fit_adapter(places, lesson), trainable_weights=DIMENSION**2)
    said = evaluate(places)
    scores = read_scores(places.scores)
    assert said["queries"] == len(scores.queries) > 30
    assert said["means"]["ndcg@10"]["gain"] > 0.03
    data = read_snapshot(places.data)
    seen = {text_id(pair.query) for pair in (*data.pairs, *data.validation_pairs)}
    assert not seen & set(scores.queries)
    assert {"collection places", "collection buildings", "head", "tail", UNSEEN} <= set(scores.slices)
    report = judge(scores, Gate(min_queries=20, latency_ratio=100))
    assert report.verdict is Verdict.PASSED, report.sentence


def test_every_number_is_that_of_a_plain_search(lesson: Lesson) -> None:
    places = prepared(lesson)
    folder = fit_adapter(places, lesson)
    trained(places, folder)
    evaluate(places)
    scores = read_scores(places.scores)
    paths = list(lesson.documents)
    encoder = open_encoder(lesson.spec, lesson.models)
    answering = {row["query"]: row["document"] for row in map(json.loads, lesson.pairs.read_text().splitlines())}
    reader = CatalogReader(lesson.state)
    generation = reader.overview.serving()
    assert generation is not None
    rows = reader.connection.execute(
        "SELECT cc.chunk_id, d.folder || '/' || d.name FROM documents d"
        " JOIN content_chunks cc ON cc.content_id = d.content_id"
    ).fetchall()
    path_of = {chunk: name.decode() if isinstance(name, bytes) else name for chunk, name in rows}
    ids, vectors = reader.replay.live_vectors(generation[0], reader.replay.live_ids(generation[0]))
    reader.close()
    adapter = QueryTransform.read(folder, DIMENSION)
    for query, document in answering.items():
        if text_id(query) not in scores.queries:
            continue
        at = scores.queries.index(text_id(query))
        plain = encoder.encode_query(query)
        for vector, measured in ((plain, scores.champion), (adapter(plain), scores.challenger)):
            order = np.argsort(-(vectors.astype(np.float32) @ vector))
            ranked = [path_of[int(ids[row])] for row in order]
            assert measured["ndcg@10"][at] == pytest.approx(ndcg_at(ranked, {document: 1.0}, 10), abs=1e-6)
    encoder.close()
    assert len(paths) == scores.facts["documents"]


def test_the_adapter_that_serves_is_the_one_to_beat(lesson: Lesson, tmp_path: Path) -> None:
    places = prepared(lesson, adapter=str(ruined(tmp_path / "serving")))
    trained(places, still(places.work / "artifact"))
    evaluate(places)
    scores = read_scores(places.scores)
    assert mean(scores.challenger["ndcg@10"]) > mean(scores.champion["ndcg@10"]) + 0.1
    assert scores.champion_serves.size_bytes > 0


def test_what_changes_nothing_or_ruins_everything_is_refused(lesson: Lesson) -> None:
    gate = Gate(min_queries=20, latency_ratio=100)
    for make, gain in ((still, 0.0), (ruined, -0.1)):
        places = prepared(lesson)
        trained(places, make(places.work / "artifact"))
        evaluate(places)
        report = judge(read_scores(places.scores), gate)
        assert report.verdict is Verdict.REFUSED
        assert report.gain <= gain


def test_questions_that_were_trained_on_are_never_asked_even_when_the_split_changed(lesson: Lesson) -> None:
    """The share is changed behind the run's back: all that it calls held out now was trained on, and is left out."""
    places = prepared(lesson, heldout_share=0.02)
    data = places.data / "manifest.json"
    raw = json.loads(data.read_text())
    raw["facts"]["split"]["heldout_share"] = 0.9
    data.write_text(json.dumps(raw))
    trained(places, still(places.work / "artifact"))
    seen = {text_id(pair.query) for pair in read_snapshot(places.data).pairs}
    evaluate(places)
    assert not seen & set(read_scores(places.scores).queries)


def test_without_held_out_questions_nothing_is_measured(lesson: Lesson) -> None:
    places = prepared(lesson)
    trained(places, still(places.work / "artifact"))
    few = json.loads(places.preparation.read_text())
    places.preparation.write_text(json.dumps({**few, "pairs": []}))
    with pytest.raises(TooFewExamples, match="no held-out question"):
        evaluate(places)


def test_an_artefact_that_was_changed_after_training_is_refused(lesson: Lesson) -> None:
    places = prepared(lesson)
    folder = still(places.work / "artifact")
    trained(places, folder)
    ruined(folder)
    with pytest.raises(ArtifactInvalid, match="its hash differs"):
        evaluate(places)
    assert not places.scores.exists()


def test_a_run_without_a_result_is_named(lesson: Lesson, capfd: pytest.CaptureFixture[str]) -> None:
    places = prepared(lesson)
    with pytest.raises(TrainingFailed, match="no result"):
        evaluate(places)
    write_outcome(places, RunOutcome("failed", reason="it broke"))
    assert main([str(places.folder)]) == TrainingFailed.exit_code
    assert json.loads(capfd.readouterr().out.splitlines()[-1])["error"] == "training_failed"


def test_an_adapter_of_another_dimension_is_refused(lesson: Lesson) -> None:
    places = prepared(lesson)
    save_transform(places.work / "artifact", "residual", weight=np.zeros((8, 8)))
    trained(places, places.work / "artifact")
    with pytest.raises(ArtifactInvalid):
        evaluate(places)


def test_a_space_that_serves_no_more_is_named(lesson: Lesson) -> None:
    places = prepared(lesson)
    trained(places, still(places.work / "artifact"))
    raw = json.loads((places.data / "manifest.json").read_text())
    raw["facts"]["fingerprint"] = "0" * 32
    (places.data / "manifest.json").write_text(json.dumps(raw))
    with pytest.raises(ModelMismatch, match="another embedding space"):
        evaluate(places)


def test_an_index_fit_is_asked_with_stored_rows(lesson: Lesson) -> None:
    """Lists of the rows themselves against lists of nowhere, which the snapshot of the index holds."""
    places = lesson.run(Role.INDEX, needs=Needs(Data.VECTORS, 50), nprobe=2)
    prepare(places)
    data = read_snapshot(places.data)
    random = np.random.default_rng(0)
    rows = np.asarray(data.vectors, np.float32)
    good = rows[random.choice(len(rows), 24, replace=False)]
    for _ in range(8):
        nearest = np.argmax(rows @ good.T, axis=1)
        good = np.stack([rows[nearest == n].mean(axis=0) if (nearest == n).any() else good[n] for n in range(24)])
        good /= np.linalg.norm(good, axis=1, keepdims=True)
    save_tensors(_folder(places.work / "artifact") / "centroids.safetensors", centroids=good)
    trained(places, places.work / "artifact")
    evaluate(places)
    exact = read_scores(places.scores)
    assert mean(exact.champion["ann_recall"]) == 1.0
    assert judge(exact, Gate()).verdict is Verdict.REFUSED

    away = random.normal(size=(24, DIMENSION)).astype(np.float32)
    away[1:] = away[0] + 0.01 * away[1:]
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    _serve_lists(lesson, away)
    evaluate(places)
    scores = read_scores(places.scores)
    assert scores.facts["serving_lists"] == 24
    assert mean(scores.challenger["ann_recall"]) > mean(scores.champion["ann_recall"])


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _serve_lists(lesson: Lesson, centroids: np.ndarray) -> None:
    reader = CatalogReader(lesson.state)
    serving = reader.overview.serving()
    assert serving is not None
    generation_id, space = serving
    ids = reader.replay.live_ids(generation_id)
    policy = IndexPolicy(nprobe=2)
    index = built(
        "ivf",
        ids,
        lambda part: reader.replay.live_vectors(generation_id, part),
        space.dimension,
        policy,
        lambda _done: None,
        centroids=centroids,
    )
    write_snapshot(lesson.state / "generations" / str(generation_id), space, Generation(index, policy))
    reader.close()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lesson, Path]:
    """A state folder filled by a tiny model on ONNX Runtime, and the folder of that model."""
    folder = tmp_path_factory.mktemp("tiny")
    model = tiny_model(folder / "model", dimension=32, layers=1)
    with EmbeddingServer(dimension=DIMENSION) as server:
        lesson = Lesson.laid_out(folder / "lesson", server, subjects=8)
    encoder = open_encoder(EncoderSpec(model=str(model), threads=1), lesson.models)
    state = IndexedState(folder / "tiny-state", encoder)
    state.add(lesson.documents)
    state.close()
    encoder.close()
    return lesson, model


@pytest.mark.slow
def test_an_encoder_is_measured_with_a_map_into_the_old_space(tiny: tuple[Lesson, Path]) -> None:
    lesson, model = tiny
    places = lesson.run(
        Role.ENCODER, state=str(lesson.folder.parent / "tiny-state"), needs=Needs(Data.PAIRS, 20), most_encoded=60
    )
    request = read_request(places)
    write_request(places, replace(request, encoder=EncoderSpec(model=str(model)), models=str(lesson.models)))
    prepare(places)
    trained(places, tiny_model(places.work / "artifact", dimension=48, layers=1, seed=5), aim=SMALLER)
    said = evaluate(places)
    scores = read_scores(places.scores)
    assert scores.aim == SMALLER
    assert said["facts"]["encoded_chunks"] == 60 < len(lesson.documents)
    assert "likely ones" in said["facts"]["pool"]
    assert scores.champion_serves.memory_mb > 0
    assert scores.challenger_serves.memory_mb > 0
    assert 0 < scores.champion_serves.size_bytes < scores.challenger_serves.size_bytes
    mapped = QueryTransform.read(places.folder / "map", 48, 32)
    assert mapped.form in ("affine", "mlp")
    assert 0 < said["facts"]["map"]["agreement"] <= 1
    assert said["facts"]["map"]["chunks"] == 60
    # What the gate may refuse leaves no graph behind, neither among the models nor in the run.
    assert not (lesson.models / "artifact").exists()
    assert not places.exports.exists()


@pytest.mark.slow
def test_the_same_encoder_again_gains_nothing_and_its_map_is_whole(tiny: tuple[Lesson, Path]) -> None:
    lesson, model = tiny
    places = lesson.run(Role.ENCODER, state=str(lesson.folder.parent / "tiny-state"), needs=Needs(Data.PAIRS, 20))
    write_request(
        places, replace(read_request(places), encoder=EncoderSpec(model=str(model)), models=str(lesson.models))
    )
    prepare(places)
    trained(places, tiny_model(places.work / "artifact", dimension=32, layers=1))
    said = evaluate(places)
    assert said["means"]["ndcg@10"]["gain"] == pytest.approx(0.0, abs=1e-3)
    assert said["facts"]["pool"] == "every chunk"
    assert said["facts"]["map"]["agreement"] > 0.99
    assert judge(read_scores(places.scores), Gate(min_queries=2)).verdict is Verdict.REFUSED


@pytest.mark.slow
def test_a_generator_is_measured_by_likelihood_and_overlap(lesson: Lesson, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    rows = [{"prompt": f"say the word {n * 7919} in {n}", "answer": f"word {n}"} for n in range(80)]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    places = lesson.run(Role.GENERATOR, needs=Needs(Data.PROMPTS, 20), prompts=(str(prompts),), pairs=())
    old = tiny_generator(tmp_path / "old", layers=1)
    write_request(places, replace(read_request(places), model_folder=str(old)))
    prepare(places)
    trained(places, tiny_generator(places.work / "artifact", layers=1, seed=4))
    said = evaluate(places)
    scores = read_scores(places.scores)
    assert set(said["means"]) == {"token_probability", "answer_f1"}
    assert all(0 < value <= 1 for value in scores.champion["token_probability"])
    assert scores.champion["token_probability"] != scores.challenger["token_probability"]
    assert len(scores.queries) == len(set(scores.queries)) > 5
    assert said["facts"]["champion_loss"] > 0
    assert scores.guards == ("answer_f1",)
