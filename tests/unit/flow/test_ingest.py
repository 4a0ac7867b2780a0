"""The way of a document, with every worker's part done by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragd.domain.errors import PayloadInvalid
from ragd.domain.landing import Landing
from ragd.domain.search import Filters
from ragd.domain.work import EmbedResult, ExtractResult

READER = "paragraphs 1"
DIMENSION = 8

ALL = Filters()


def test_a_new_file_is_found_by_words_before_it_has_vectors(world: Any) -> None:
    world.write(b"a.txt", "the quick fox\n\njumps high")
    world.extract()
    assert [i for i, _ in world.reader.word_hits('"fox"', 10, ALL)]
    assert not world.index.rows
    world.embed()
    assert world.live_texts() == {"the quick fox", "jumps high"}
    assert world.receipts() == [("add", "searchable")]


def test_an_edit_touches_only_the_chunks_that_changed(world: Any) -> None:
    world.write(b"a.txt", "one\n\ntwo\n\nthree")
    world.work()
    world.embedded_texts.clear()
    world.write(b"a.txt", "one\n\nTWO\n\nthree")
    world.work()
    assert world.embedded_texts == ["TWO"]
    assert world.live_texts() == {"one", "TWO", "three"}


def test_a_move_costs_no_extraction_and_no_embedding(world: Any) -> None:
    world.write(b"a.txt", "one\n\ntwo")
    world.work()
    world.embedded_texts.clear()
    world.files[b"sub/b.txt"] = world.files.pop(b"a.txt")
    world.see(b"a.txt", b"sub/b.txt")
    assert not world.outbox.extracts
    assert not world.outbox.embeds
    assert world.live_texts() == {"one", "two"}
    rows = world.reader.hit_rows([next(iter(world.index.rows))], ALL)
    assert [row.path for row in rows] == ["sub/b.txt"]


def test_content_that_comes_back_is_free(world: Any) -> None:
    world.write(b"a.txt", "first\n\nversion")
    world.work()
    world.write(b"a.txt", "second")
    world.work()
    world.embedded_texts.clear()
    world.write(b"a.txt", "first\n\nversion")
    assert not world.outbox.extracts
    assert world.live_texts() == {"first", "version"}
    assert world.embedded_texts == []


def test_a_copy_shares_chunks_and_keeps_them_when_the_original_goes(world: Any) -> None:
    world.write(b"a.txt", "shared\n\ntext")
    world.work()
    world.files[b"b.txt"] = world.files[b"a.txt"]
    world.see(b"b.txt")
    del world.files[b"a.txt"]
    world.see(b"a.txt")
    assert world.live_texts() == {"shared", "text"}
    del world.files[b"b.txt"]
    world.see(b"b.txt")
    assert world.live_texts() == set()
    assert world.reader.word_hits('"shared"', 10, ALL) == []


def test_the_same_text_in_two_files_is_embedded_once(world: Any) -> None:
    world.write(b"a.txt", "common\n\nalpha")
    world.write(b"b.txt", "common\n\nbeta")
    world.work()
    assert sorted(world.embedded_texts) == ["alpha", "beta", "common"]


def test_an_answer_for_an_older_version_changes_nothing(world: Any) -> None:
    world.write(b"a.txt", "old")
    stale = world.outbox.extracts.pop(0)
    world.write(b"a.txt", "new")
    world.outbox.extracts.append(stale)
    world.work()
    assert world.live_texts() == {"new"}
    assert world.receipts() == [("add", "superseded"), ("modify", "searchable")]


def test_a_broken_file_keeps_its_reason_and_serves_nothing(world: Any) -> None:
    world.write(b"a.txt", "fine")
    world.work()
    world.write(b"a.txt", "broken now")
    world.work()
    assert world.state_of(b"a.txt") == ("failed", "cannot be read")
    assert world.live_texts() == set()
    assert world.receipts()[-1] == ("modify", "failed")
    world.write(b"a.txt", "fine")
    world.work()
    assert world.live_texts() == {"fine"}


def test_a_retry_reads_a_failed_file_again(world: Any) -> None:
    world.write(b"a.txt", "broken")
    world.work()
    world.files[b"a.txt"] = b"mended"
    assert world.ingest.retry(None) == 1
    world.work()
    assert world.live_texts() == {"mended"}


def test_a_retry_has_the_receipt_of_the_file_that_failed_and_leaves_others_theirs(world: Any) -> None:
    world.write(b"a.txt", "fine")
    world.write(b"b.txt", "broken")
    world.work()
    world.write(b"a.txt", "edited, and not read yet")
    world.files[b"b.txt"] = b"mended"
    assert world.ingest.retry(None) == 1
    world.work()
    told = world.store.connection.execute("SELECT path, action, outcome FROM receipts ORDER BY id").fetchall()
    assert told[2:] == [(b"a.txt", "modify", "searchable"), (b"b.txt", "retry", "searchable")]


def test_a_file_that_vanished_before_it_was_read_is_looked_at_again_not_deleted(world: Any) -> None:
    world.write(b"a.txt", "short lived")
    del world.files[b"a.txt"]
    world.work()
    assert world.rechecked == [b"a.txt"]
    assert world.state_of(b"a.txt") is not None


def test_work_waits_in_the_catalog_while_the_broker_is_away(world: Any) -> None:
    world.outbox.is_away = True
    world.write(b"a.txt", "patience")
    assert not world.outbox.extracts
    world.outbox.is_away = False
    world.work()
    assert world.live_texts() == {"patience"}


def test_a_large_folder_never_has_more_in_flight_than_the_bounds(world: Any) -> None:
    paths = [f"{i}.txt".encode() for i in range(60)]
    for path in paths:
        world.files[path] = b"text of " + path
    world.see(*paths, fresh=False)
    assert len(world.outbox.extracts) == 3
    assert sum(len(batch.items) for batch in world.outbox.extracts) == 12
    world.work()
    assert world.live_texts() == world.expected_texts()


def test_a_fresh_edit_overtakes_a_backfill(world: Any) -> None:
    paths = [f"{i}.txt".encode() for i in range(40)]
    for path in paths:
        world.files[path] = b"text of " + path
    world.see(*paths, fresh=False)
    world.write(b"urgent.txt", "urgent words")
    assert world.outbox.extracts[0].fresh
    world.extract(1)
    assert world.outbox.embeds[0].texts == ("urgent words",)


def test_a_file_that_ends_workers_travels_alone_and_is_given_up(world: Any) -> None:
    for name in (b"good.txt", b"bad.txt"):
        world.files[name] = b"text of " + name
    world.see(b"good.txt", b"bad.txt")
    for _ in range(4):
        for batch in list(world.outbox.extracts):
            world.outbox.extracts.remove(batch)
            if any(item.path == b"bad.txt" for item in batch.items):
                world.dispatch.lost(batch.id, "the batch ended 2 workers")
            else:
                world.outbox.extracts.append(batch)
                world.extract(1)
        world.ingest.step()
    world.work()
    assert world.state_of(b"bad.txt") == ("failed", "reading it ended several workers")
    assert world.live_texts() == {"text of good.txt"}


def test_an_encoder_that_fails_makes_its_chunks_wait_ever_longer(world: Any) -> None:
    world.write(b"a.txt", "hard to encode")
    world.extract()
    first = world.dispatch.embed_failed(world.outbox.embeds.pop().id, "no answer")
    world.ingest.step()
    assert not world.outbox.embeds
    world.now += first
    world.ingest.step()
    assert world.dispatch.embed_failed(world.outbox.embeds.pop().id, "no answer") == 2 * first
    world.now += 2 * first
    world.work()
    assert world.live_texts() == {"hard to encode"}


def test_batches_that_redis_forgot_are_sent_again(world: Any) -> None:
    world.write(b"a.txt", "lost once")
    world.outbox.extracts.clear()
    world.now += 6
    assert world.dispatch.find_lost(lambda _batch: True) == 0
    assert world.dispatch.find_lost(lambda _batch: False) == 1
    world.work()
    assert world.live_texts() == {"lost once"}


def test_a_folder_that_is_no_longer_configured_is_emptied_slice_by_slice(world: Any) -> None:
    for i in range(5):
        world.write(f"{i}.txt".encode(), f"text {i}")
    world.work()
    rounds = 1
    while world.ingest.drop_root(world.root, limit=2):
        rounds += 1
    assert rounds == 3
    assert not world.index.rows
    assert world.tables.documents.roots() == ()


def test_a_kill_between_any_two_steps_loses_nothing(world: Any) -> None:
    world.write(b"a.txt", "one\n\ntwo")
    world.restart()
    world.ingest.step()
    world.extract()
    world.restart()
    world.ingest.step()
    world.embed(1)
    world.restart()
    world.work()
    assert world.live_texts() == {"one", "two"}


def test_new_readers_or_limits_read_again_what_others_made_or_failed(world: Any) -> None:
    world.write(b"a.txt", "fine")
    world.write(b"b.txt", "broken")
    world.work()
    documents = world.tables.documents
    assert documents.reread(READER, "limits 1") == 1
    assert documents.reread(READER, "limits 1") == 0
    world.work()
    assert documents.reread("paragraphs 2", "limits 1") == 2
    assert {item.path for item in documents.pending(10)} == {b"a.txt", b"b.txt"}


def test_a_receipt_has_the_time_of_every_step_in_their_order(world: Any) -> None:
    world.write(b"a.txt", "one\n\ntwo")
    world.extract()
    world.embed()
    (found,) = world.reader.overview.receipts()["receipts"]
    steps = ("seen_at", "stable_at", "planned_at", "extracted_at", "text_searchable_at", "searchable_at")
    times = [found[step] for step in steps]
    assert times == sorted(times)
    assert found["text_searchable_at"] < found["searchable_at"]


def test_an_answer_for_an_older_version_leaves_the_newer_one_in_flight(world: Any) -> None:
    world.write(b"a.txt", "old")
    stale = world.outbox.extracts.pop(0)
    world.write(b"a.txt", "new")
    newer = world.outbox.extracts.pop(0)
    world.outbox.extracts.append(stale)
    world.extract(1)
    assert world.dispatch.in_flight == (1, 0)
    assert not world.outbox.extracts
    world.outbox.extracts.append(newer)
    world.work()
    assert world.live_texts() == {"new"}


def test_of_an_answer_only_what_was_asked_for_counts(world: Any) -> None:
    world.write(b"a.txt", "one\n\ntwo")
    (batch,) = world.outbox.extracts
    (item,) = batch.items
    mine = ExtractResult(item.document_id, item.version, None, reason="empty")
    strange = (replace(mine, document_id=99), replace(mine, version=99))
    assert world.dispatch.asked_text(batch.id, (mine, *strange)) == (mine,)
    assert world.dispatch.asked_text("bulk-of-another", (mine,)) == ()
    world.extract()
    assert world.dispatch.asked_text(batch.id, (mine,)) == ()
    (batch,) = world.outbox.embeds
    vectors = np.zeros((3, DIMENSION), np.float16)
    answer = EmbedResult(batch.id, batch.generation, (*batch.chunk_ids, 99), vectors, 0.1, 6)
    asked = world.dispatch.asked_vectors(answer)
    assert (asked.chunk_ids, asked.vectors.shape) == (batch.chunk_ids, (2, DIMENSION))
    assert world.dispatch.asked_vectors(replace(answer, chunk_ids=(97, 98, 99))) is None
    assert world.dispatch.asked_vectors(replace(answer, batch_id="bulk-of-another")) is None
    for wrong in ({"vectors": vectors[:, 1:]}, {"generation": 99}):
        with pytest.raises(PayloadInvalid, match="an embed worker answered"):
            world.dispatch.asked_vectors(replace(answer, **wrong))


PATHS = st.sampled_from([b"a.txt", b"b.txt", b"sub/c.txt", b"sub/d.txt"])
PARAGRAPHS = st.lists(st.sampled_from(["alpha", "beta", "gamma", "delta", "broken"]), max_size=5)
STEPS = st.one_of(
    st.tuples(st.just("write"), PATHS, PARAGRAPHS),
    st.tuples(st.just("move"), PATHS, PATHS),
    st.tuples(st.just("delete"), PATHS),
    st.tuples(st.just("unseen"), PATHS, PARAGRAPHS),
    st.tuples(st.sampled_from(["extract", "embed", "restart", "work", "duplicate"])),
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, max_size=25))
def test_whatever_happens_the_index_equals_the_folder_in_the_end(worlds: Any, steps: list[tuple[Any, ...]]) -> None:
    world = worlds()
    for step in steps:
        _do(world, *step)
    _scan(world)
    world.work()
    readable = {path: data for path, data in world.files.items() if not data.startswith(b"broken")}
    failed = world.files.keys() - readable.keys()
    world.files = readable
    assert world.live_texts() == world.expected_texts()
    live = world.reader.replay.live_ids(world.generation).tolist()
    assert sorted(world.index.rows) == live
    words = {chunk for chunk, _ in world.reader.word_hits(" OR ".join(f'"{w}"' for w in WORDS), 1000, ALL)}
    assert words == set(live)
    for path in failed:
        assert world.state_of(path) == ("failed", "cannot be read")
    counted = world.store.connection.execute("SELECT count(*) FROM to_embed").fetchone()[0]
    assert counted == 0


WORDS = ("alpha", "beta", "gamma", "delta", "broken")


def _do(world: Any, kind: str, *rest: Any) -> None:
    match kind, rest:
        case "write", (path, paragraphs):
            world.write(path, "\n\n".join(paragraphs))
        case "unseen", (path, paragraphs):
            world.ticks += 1
            world.files[path] = "\n\n".join(paragraphs).encode()
        case "move", (old, new) if old in world.files:
            world.files[new] = world.files.pop(old)
            world.ticks += 1
            world.see(old, new)
        case "delete", (path,):
            world.files.pop(path, None)
            world.see(path)
        case "duplicate", ():
            world.outbox.extracts += world.outbox.extracts[:1]
            world.outbox.embeds += world.outbox.embeds[:1]
        case "extract" | "embed" | "work" | "restart", ():
            getattr(world, kind)()


def _scan(world: Any) -> None:
    known = [b"a.txt", b"b.txt", b"sub/c.txt", b"sub/d.txt"]
    world.ticks += 1
    world.see(*known, fresh=False)


@pytest.mark.parametrize("kind", ["extract", "embed"])
def test_a_job_done_twice_changes_nothing(world: Any, kind: str) -> None:
    world.write(b"a.txt", "once\n\ntwice")
    if kind == "embed":
        world.extract()
    queue = getattr(world.outbox, f"{kind}s")
    queue += queue[:]
    world.work()
    assert world.live_texts() == {"once", "twice"}


def test_what_a_commit_made_searchable_is_told_once_with_its_wait_its_lane_and_its_cost(world: Any) -> None:
    told: list[Landing] = []
    world.ingest.on_landed = told.append
    world.write(b"a.txt", "one\n\ntwo")
    assert world.reader.overview.waiting_since() is not None
    world.extract()
    by_words = [waited for landing in told for waited in landing.by_words]
    assert [waited.is_fresh for waited in by_words] == [True]
    assert 0 < by_words[0].seconds < 1
    assert sum(landing.edited_chars for landing in told) == len("one\n\ntwo")
    assert not any(landing.by_meaning for landing in told)
    told.clear()
    world.embed()
    assert [(len(landing.by_meaning), landing.chunks, landing.encoded_chars) for landing in told] == [(1, 2, 6)]
    assert told[0].encode_s == 0.1
    assert not told[0].is_fill
    assert world.reader.overview.waiting_since() is None
    told.clear()
    world.files[b"b.txt"] = b"three"
    world.see(b"b.txt", fresh=False)
    world.work()
    lanes = [waited.is_fresh for landing in told for waited in (*landing.by_words, *landing.by_meaning)]
    assert lanes == [False, False]
    told.clear()
    del world.files[b"a.txt"]
    world.see(b"a.txt")
    assert [len(landing.by_meaning) for landing in told] == [1]
    assert [landing.chunks for landing in told] == [0]


def test_counts_by_state_need_no_look_at_what_is_searchable(world: Any) -> None:
    world.write(b"a.txt", "one\n\ntwo")
    world.write(b"b.txt", "three")
    assert world.reader.overview.documents_by_state() == {"pending": 2, "text": 0, "searchable": 0, "failed": 0}
    world.extract()
    assert world.reader.overview.documents_by_state() == {"pending": 0, "text": 2, "searchable": 0, "failed": 0}
    world.embed()
    world.write(b"a.txt", "one\n\ntwo\n\nfour")
    world.extract()
    assert world.reader.overview.documents_by_state() == {"pending": 0, "text": 1, "searchable": 1, "failed": 0}
