"""The endpoint's encoder against a real HTTP server: what it sends, what it forgives, what it refuses."""

from __future__ import annotations

import logging
import math
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from ragd.domain.errors import ConfigInvalid, EncoderFailed, ModelMismatch, ModelUnavailable
from ragd.domain.index import EncoderSpec
from ragd.embed import endpoint
from ragd.embed.encoder import space_of
from ragd.embed.endpoint import Pace, Timing
from ragd.embed.openai import OpenAIEncoder, embeddings_url
from ragd.testing.embeddings import EmbeddingServer, Reply

KEY = "sk-very-secret-1234567890"


class Waits:
    """A clock that moves only when someone waits on it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.taken: list[float] = []

    def wait(self, seconds: float) -> bool:
        self.taken.append(seconds)
        self.now += seconds
        return False

    @property
    def timing(self) -> Timing:
        return Timing(clock=lambda: self.now, wait=self.wait, jitter=lambda: 1.0)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    with EmbeddingServer(api_key=KEY, dimension=16) as running:
        yield running


def _open(server: EmbeddingServer, waits: Waits, **settings: Any) -> OpenAIEncoder:
    spec = EncoderSpec(
        kind="openai", model=server.model, url=server.url, **({"dimension": 16, "retries": 3} | settings)
    )
    return OpenAIEncoder(spec, api_key=KEY, timing=waits.timing)


def _expected(server: EmbeddingServer, texts: Sequence[str]) -> Any:
    rows = np.array([server.vector(text) for text in texts])
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_vectors_come_in_the_order_of_the_texts_whatever_the_order_of_the_answer(
    server: EmbeddingServer, waits: Waits
) -> None:
    texts = [f"text number {i} " * (i % 7 + 1) for i in range(150)]
    encoder = _open(server, waits)
    vectors = encoder.encode(texts)
    encoder.close()
    assert np.allclose(vectors, _expected(server, texts), atol=1e-6)
    assert all(len(seen.body["input"]) <= 64 for seen in server.seen)


def test_the_key_travels_in_the_header_and_nowhere_else(
    server: EmbeddingServer, waits: Waits, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    encoder = _open(server, waits)
    encoder.encode(["a"])
    server.api_key = "another"
    with pytest.raises(ModelUnavailable) as raised:
        encoder.encode(["a"])
    encoder.close()
    assert server.seen[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in f"{server.seen[0].body}{server.seen[0].path}{raised.value}{raised.value.hint}{encoder.space}"
    assert KEY not in caplog.text


def test_an_endpoint_that_repeats_the_key_does_not_get_it_into_the_error(server: EmbeddingServer, waits: Waits) -> None:
    server.script.append(Reply(403, body=f'{{"error": {{"message": "key {KEY} is blocked"}}}}'.encode()))
    encoder = _open(server, waits)
    with pytest.raises(ModelUnavailable) as raised:
        encoder.encode(["a"])
    encoder.close()
    assert KEY[:8] not in str(raised.value)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_is_not_tried_again_and_says_what_to_do(server: EmbeddingServer, waits: Waits, status: int) -> None:
    server.script.append(Reply(status))
    encoder = _open(server, waits)
    with pytest.raises(ModelUnavailable, match=str(status)) as raised:
        encoder.encode(["a"])
    encoder.close()
    assert raised.value.hint
    assert len(server.seen) == 1


@pytest.mark.parametrize("reply", [Reply(429), Reply(500), Reply(503), Reply(529), Reply(drop=True)])
def test_what_may_pass_is_tried_again_with_growing_delays(server: EmbeddingServer, waits: Waits, reply: Reply) -> None:
    server.script.extend([reply, reply])
    encoder = _open(server, waits)
    assert encoder.encode(["a"]).shape == (1, 16)
    encoder.close()
    assert waits.taken == [0.5, 1.0]


def test_an_endpoint_that_hangs_is_given_up_after_the_time_out_and_tried_again(
    server: EmbeddingServer, waits: Waits
) -> None:
    server.script.append(Reply(hang_s=30.0))
    encoder = _open(server, waits, timeout_s=0.2)
    assert encoder.encode(["a"]).shape == (1, 16)
    encoder.close()
    assert len(server.seen) == 2


@contextmanager
def endless(pause_s: float, block: bytes) -> Iterator[str]:
    """The address of a server that goes on answering, a block after each pause, until the client leaves."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.end_headers()
            try:
                while not over.wait(pause_s):
                    self.wfile.write(block)
            except OSError:
                pass

        def log_message(self, format: str, *args: object) -> None: ...

    over = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("pause_s", "block", "timeout_s", "words"),
    [(0.02, b" ", 0.2, "failed 1 times.*no whole answer in time"), (0.0, b" " * 65536, 30.0, "answers without end")],
)
def test_an_endpoint_that_never_comes_to_an_end_is_given_up(
    monkeypatch: pytest.MonkeyPatch, pause_s: float, block: bytes, timeout_s: float, words: str
) -> None:
    monkeypatch.setattr(endpoint, "MOST_ANSWER_BYTES", 1 << 20)
    found: list[Exception] = []

    def ask() -> None:
        try:
            encoder.encode(["a"])
        except (EncoderFailed, ModelUnavailable) as error:
            found.append(error)

    with endless(pause_s, block) as url:
        spec = EncoderSpec(kind="openai", model="m", url=url, dimension=16, retries=0, timeout_s=timeout_s)
        encoder = OpenAIEncoder(spec)
        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(10.0)
        assert not asking.is_alive()
        encoder.close()
    assert re.search(words, str(found[0]))


def test_when_the_tries_are_used_up_the_work_is_left_for_later(server: EmbeddingServer, waits: Waits) -> None:
    server.script.extend([Reply(503)] * 4)
    encoder = _open(server, waits)
    with pytest.raises(EncoderFailed, match=r"failed 4 times.*503"):
        encoder.encode(["a"])
    encoder.close()
    assert waits.taken == [0.5, 1.0, 2.0]


def test_nobody_listening_is_a_failure_that_may_pass(waits: Waits) -> None:
    with EmbeddingServer() as gone:
        spec = EncoderSpec(kind="openai", model="m", url=gone.url, dimension=4, retries=1)
    encoder = OpenAIEncoder(spec, timing=waits.timing)
    with pytest.raises(EncoderFailed, match="no connection"):
        encoder.encode(["a"])
    encoder.close()
    assert waits.taken == [0.5]


def test_retry_after_is_waited_for(server: EmbeddingServer, waits: Waits) -> None:
    server.script.append(Reply(429, headers=(("Retry-After", "7"),)))
    encoder = _open(server, waits)
    encoder.encode(["a"])
    encoder.close()
    assert waits.taken == [7.0]


def test_a_retry_after_of_hours_is_not_waited_for(server: EmbeddingServer, waits: Waits) -> None:
    server.script.append(Reply(429, headers=(("Retry-After", "7200"),)))
    encoder = _open(server, waits)
    with pytest.raises(EncoderFailed, match="asked to wait 7200 s"):
        encoder.encode(["a"])
    encoder.close()
    assert waits.taken == []


def test_retry_after_as_a_date_in_the_past_waits_no_longer_than_usual(server: EmbeddingServer, waits: Waits) -> None:
    server.script.append(Reply(503, headers=(("Retry-After", "Wed, 21 Oct 2015 07:28:00 GMT"),)))
    encoder = _open(server, waits)
    encoder.encode(["a"])
    encoder.close()
    assert waits.taken == [0.5]


def test_a_query_is_tried_again_once_only(server: EmbeddingServer, waits: Waits) -> None:
    server.script.extend([Reply(503)] * 3)
    encoder = _open(server, waits)
    with pytest.raises(EncoderFailed, match="failed 2 times"):
        encoder.encode_query("a")
    encoder.close()


def test_requests_keep_to_the_rate(server: EmbeddingServer, waits: Waits) -> None:
    encoder = _open(server, waits, requests_per_minute=30)
    for _ in range(4):
        encoder.encode(["a"])
    encoder.close()
    assert waits.taken == [2.0, 2.0, 2.0]


def test_a_pause_does_not_save_up_for_a_burst() -> None:
    pace = Pace(60)
    assert [pace.take(0.0), pace.take(100.0), pace.take(100.0), pace.take(100.5)] == [0.0, 0.0, 1.0, 1.5]
    assert [Pace(0).take(5.0) for _ in range(3)] == [0.0, 0.0, 0.0]


def test_the_dimension_is_asked_once_and_only_if_it_is_not_stated(server: EmbeddingServer, waits: Waits) -> None:
    encoder = _open(server, waits, dimension=0)
    assert server.seen == []
    assert encoder.space == encoder.space == _open(server, waits).space
    encoder.close()
    assert len(server.seen) == 1


def test_the_space_of_an_endpoint_is_known_without_an_encoder(server: EmbeddingServer) -> None:
    space = space_of(EncoderSpec(kind="openai", model=server.model, url=server.url), server_models(), api_key=KEY)
    assert (space.dimension, space.model, space.max_tokens) == (16, server.model, 512)


def server_models() -> Any:
    """An endpoint keeps nothing on disk: no models folder is touched."""
    return None


def test_an_endpoint_that_does_not_know_the_model_is_unavailable(server: EmbeddingServer, waits: Waits) -> None:
    server.script.append(Reply(400, body=b'{"error": {"message": "no such model"}}'))
    encoder = _open(server, waits, dimension=0)
    with pytest.raises(ModelUnavailable, match="no such model"):
        _ = encoder.space
    encoder.close()


def _set(answer: dict[str, Any], row: list[float]) -> dict[str, Any]:
    answer["data"][0]["embedding"] = row
    return answer


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(change=lambda answer: _set(answer, [math.nan] * 16)), "NaN"),
        (Reply(change=lambda answer: _set(answer, [math.inf] * 16)), "NaN"),
        (Reply(change=lambda answer: _set(answer, [0.0] * 16)), "zeros"),
        (Reply(change=lambda answer: _set(answer, [1.0] * 3)), "shapes"),
        (Reply(change=lambda answer: {"data": answer["data"][:1]}), "indexes"),
        (Reply(change=lambda answer: {"data": [{**item, "index": 0} for item in answer["data"]]}), "indexes"),
        (Reply(change=lambda answer: {"data": [{**i, "embedding": [1.0] * 8} for i in answer["data"]]}), "dimension 8"),
    ],
)
def test_vectors_that_cannot_be_right_are_refused(
    server: EmbeddingServer, waits: Waits, reply: Reply, words: str
) -> None:
    server.script.append(reply)
    encoder = _open(server, waits)
    with pytest.raises(ModelMismatch, match=words):
        encoder.encode(["one", "two"])
    encoder.close()


@pytest.mark.parametrize(
    "body",
    [
        *(b"<html>", b"[]", b'{"data": 3}', b'{"data": [{}]}', b"\xff"),
        b'{"data": [{"index": 1e999, "embedding": [1.0]}]}',
        b'{"data": [{"index": 0, "embedding": [1' + b"0" * 400 + b"]}]}",
    ],
)
def test_an_answer_that_is_no_embedding_names_the_url(server: EmbeddingServer, waits: Waits, body: bytes) -> None:
    server.script.append(Reply(200, body=body))
    encoder = _open(server, waits)
    with pytest.raises(ModelUnavailable, match="/v1/embeddings"):
        encoder.encode(["a"])
    encoder.close()


@pytest.mark.parametrize(
    "reply",
    [
        Reply(503, body=b"[" * 200_000),
        Reply(503, headers=(("Retry-After", "\xb2"),)),
        Reply(200, headers=(("Content-Encoding", "gzip"),), body=b"not compressed"),
    ],
)
def test_nonsense_beside_a_failure_does_not_hide_that_it_may_pass(
    server: EmbeddingServer, waits: Waits, reply: Reply
) -> None:
    server.script.append(reply)
    encoder = _open(server, waits)
    assert encoder.encode(["a"]).shape == (1, 16)
    encoder.close()
    assert waits.taken == [0.5]


def test_one_text_that_is_too_long_for_the_endpoint_is_cut_and_does_not_fail_the_others(
    server: EmbeddingServer, waits: Waits
) -> None:
    server.most_chars = 300
    texts = ["first", "长" * 1000, "last"]
    encoder = _open(server, waits)
    vectors = encoder.encode(texts)
    encoder.close()
    assert np.allclose(vectors, _expected(server, ["first", "长" * 250, "last"]), atol=1e-6)


def test_a_text_that_is_refused_however_short_fails_with_the_reason(server: EmbeddingServer, waits: Waits) -> None:
    server.most_chars = 3
    encoder = _open(server, waits)
    with pytest.raises(EncoderFailed, match="maximum context length"):
        encoder.encode(["some words"])
    encoder.close()


def test_prompts_go_in_front(server: EmbeddingServer, waits: Waits) -> None:
    encoder = _open(server, waits, query_prompt="query: ", document_prompt="passage: ")
    encoder.encode(["a"])
    encoder.encode_query("b")
    encoder.close()
    assert [seen.body["input"] for seen in server.seen] == [["passage: a"], ["query: b"]]


def test_a_closed_encoder_says_so(server: EmbeddingServer, waits: Waits) -> None:
    encoder = _open(server, waits)
    encoder.close()
    with pytest.raises(EncoderFailed, match="closed"):
        encoder.encode(["a"])


def test_closing_ends_a_call_that_waits(server: EmbeddingServer) -> None:
    server.script.append(Reply(429, headers=(("Retry-After", "50"),)))
    spec = EncoderSpec(kind="openai", model=server.model, url=server.url, dimension=16)
    encoder = OpenAIEncoder(spec, api_key=KEY)
    failures: list[EncoderFailed] = []

    def call() -> None:
        try:
            encoder.encode(["a"])
        except EncoderFailed as error:
            failures.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    while not server.seen:
        thread.join(0.005)
    encoder.close()
    thread.join(10.0)
    assert not thread.is_alive()
    assert "closed" in str(failures[0])


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://host:8000", "http://host:8000/v1/embeddings"),
        ("http://host:8000/v1/", "http://host:8000/v1/embeddings"),
        ("https://host/api/v3", "https://host/api/v3/embeddings"),
        ("https://host/v1/embeddings", "https://host/v1/embeddings"),
        ("https://host/x/embeddings?api-version=1", "https://host/x/embeddings?api-version=1"),
    ],
)
def test_the_address_may_be_given_in_part(url: str, address: str) -> None:
    assert embeddings_url(url) == address


@pytest.mark.parametrize("url", ["", "host:8000", "ftp://host/v1", "http://", "http://user:pass@host/v1"])
def test_an_address_that_is_none_is_refused_without_repeating_a_password(url: str) -> None:
    with pytest.raises(ConfigInvalid) as raised:
        embeddings_url(url)
    assert "pass@" not in str(raised.value)
