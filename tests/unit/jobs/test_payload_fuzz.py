"""Whoever reaches Redis may write anything there: every decoder takes it or refuses it by name, and workers go on."""

from __future__ import annotations

import json
import os
import random
import zlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.fuzz_mutate import damage
from bench.fuzz_payloads import payloads, vectors
from ragd.domain.errors import PayloadInvalid
from ragd.jobs.broker import Broker
from ragd.jobs.hold import named
from ragd.jobs.loop import run_worker
from ragd.jobs.options import WorkerOptions
from ragd.jobs.payload import decode, decode_vectors, encode, encode_vectors
from ragd.jobs.queue import Queues, body_key
from ragd.jobs.tasks import index_handlers, tell_trouble
from tests.unit.jobs.test_tasks import Daemon

VALID = [(type(value), encode(value)) for value in payloads()]
VECTORS = encode_vectors(vectors())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
MANY = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def taken(kind: type[Any], data: bytes) -> Any:
    """What was decoded, None when it was refused; whatever else is raised fails the test."""
    try:
        return decode(kind, data)
    except PayloadInvalid:
        return None


@MANY
@given(st.sampled_from(VALID), st.integers())
def test_a_damaged_payload_is_refused_or_is_of_its_kind(valid: tuple[type[Any], bytes], seed: int) -> None:
    kind, data = valid
    found = taken(kind, damage(data, [VECTORS, *(other for _, other in VALID)], random.Random(seed)))
    if found is not None:
        assert decode(kind, encode(found)) == found


@MANY
@given(st.sampled_from(VALID), JSON, st.data())
def test_a_payload_with_a_field_of_another_kind_is_refused_or_is_of_its_kind(
    valid: tuple[type[Any], bytes], value: object, choose: st.DataObject
) -> None:
    kind, data = valid
    body = json.loads(data)
    body[choose.draw(st.sampled_from(sorted(body)))] = value
    found = taken(kind, json.dumps(body).encode())
    if found is not None:
        assert decode(kind, encode(found)) == found


@MANY
@given(st.sampled_from(VALID), st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_rubbish_is_refused(valid: tuple[type[Any], bytes], data: bytes) -> None:
    kind, _ = valid
    assert taken(kind, data) is None


@MANY
@given(st.integers())
def test_damaged_vectors_are_refused_or_whole(seed: int) -> None:
    try:
        found = decode_vectors(damage(VECTORS, [data for _, data in VALID], random.Random(seed)))
    except PayloadInvalid:
        return
    assert found.vectors.shape[0] == len(found.chunk_ids)


@MANY
@given(st.binary(max_size=60) | JSON.map(lambda value: zlib.compress(json.dumps(value).encode())))
def test_the_data_of_a_job_names_a_task_or_nothing(data: bytes) -> None:
    name, batch_id = named(data)
    assert isinstance(name, str)
    assert isinstance(batch_id, str)


def test_the_data_of_a_job_is_not_unpacked_without_an_end() -> None:
    assert named(zlib.compress(b'["' + b"x" * (1 << 25) + b'"]')) == ("(unreadable)", "")
    assert named(zlib.compress(b"[" * 60_000)) == ("(unreadable)", "")


@pytest.mark.parametrize("number", ["9223372036854775808", "-9223372036854775809", "1e400", "-1e400"])
def test_numbers_that_a_catalog_cannot_hold_are_refused(number: str) -> None:
    kind, data = next(pair for pair in VALID if pair[0].__name__ == "PlanRequest")
    body = data.replace(b'"mtime_ns":2', f'"mtime_ns":{number}'.encode()).replace(
        b'"seen_at":1.0', f'"seen_at":{number}'.encode()
    )
    with pytest.raises(PayloadInvalid):
        decode(kind, body)


def test_a_worker_survives_rubbish_in_its_queue_and_does_what_comes_after(broker: Broker, queues: Queues) -> None:
    rng, client = random.Random(7), broker.connection
    names = ("commit_text", "commit_vectors", "plan", "trouble", "run_ended", "os.system", "ragd.cli.main.main", "")
    for number in range(200):
        job_id = rng.choice((f"bulk-{number}", f"fresh-{number}", "x" * 300, "\n", "rq:job:1"))
        kind = rng.randrange(5)
        if kind == 0:
            client.rpush("rq:queue:index", os.urandom(rng.randrange(1, 40)))
            continue
        if kind == 1:
            client.set(f"rq:job:{job_id}", "not a hash")
            client.rpush("rq:queue:index", job_id)
            continue
        if kind == 2:
            data = rng.choice((os.urandom(30), zlib.compress(os.urandom(30)), b"", b"{}"))
            client.delete(f"rq:job:{job_id}")
            client.hset(f"rq:job:{job_id}", mapping={"data": data, "status": rng.choice(("", "queued", "a\0b"))})
            client.rpush("rq:queue:index", job_id)
        else:
            client.delete(f"rq:job:{job_id}")
            data = zlib.compress(json.dumps([rng.choice(names), None, [], {"batch": "bulk"}]).encode())
            client.hset(f"rq:job:{job_id}", mapping={"data": data, "status": "queued"})
            client.rpush("rq:queue:index", job_id)
        body = damage(rng.choice([VECTORS, *(data for _, data in VALID)]), [VECTORS], rng)
        client.set(body_key("index", job_id), rng.choice((body, os.urandom(50), b"")))
    text, _ = next(value for value in payloads() if type(value).__name__ == "TextAnswer").results  # type: ignore[attr-defined]
    queues.commit_text("after", [text])
    daemon = Daemon()
    options = WorkerOptions(failed=tell_trouble(queues, "index"), burst=True)
    run_worker("index", broker, index_handlers(daemon), options)
    assert ("after", (text,)) in daemon.texts
    assert client.llen("rq:queue:index") == 0
