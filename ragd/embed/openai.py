"""The encoder behind an OpenAI-compatible `/v1/embeddings` endpoint."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from ragd.domain.errors import ConfigInvalid, EncoderFailed, ModelMismatch, ModelUnavailable
from ragd.domain.index import EmbeddingSpace, EncoderSpec, Vectors
from ragd.embed.batch import CHARS_PER_TOKEN, slices
from ragd.embed.endpoint import Endpoint, Refused, Timing
from ragd.embed.pooling import unit
from ragd.embed.space import fingerprint
from ragd.embed.tokens import well_formed

DEFAULT_MAX_TOKENS = 512
# One request: enough to hide the round trip, little enough for the limits that servers commonly set.
SLICE_TOKENS = 8_192
MOST_TEXTS = 64
# A person waits for a query; the work of a document can wait for the endpoint instead.
QUERY_RETRIES = 1
SHORTEST_CUT = 64


class OpenAIEncoder:
    """Encodes by HTTP; safe to use from several threads.

    Texts are cut at four characters a token of `max_tokens` (512 unless given). The dimension is asked for on
    first use unless the specification states it. The key travels in the header only.
    """

    slice_tokens = SLICE_TOKENS

    def __init__(self, spec: EncoderSpec, *, api_key: str = "", timing: Timing | None = None) -> None:
        self._spec = spec
        self._max_tokens = spec.max_tokens or DEFAULT_MAX_TOKENS
        self._dimension = spec.dimension
        self._asking = threading.Lock()
        self._endpoint = Endpoint(
            embeddings_url(spec.url),
            api_key=api_key,
            timeout_s=spec.timeout_s,
            requests_per_minute=spec.requests_per_minute,
            timing=timing,
        )

    @property
    def space(self) -> EmbeddingSpace:
        """The space its vectors live in; asks the endpoint for the dimension the first time."""
        with self._asking:
            if not self._dimension:
                self._dimension = self._ask_dimension()
        spec = self._spec
        # Nobody shows the weights' hash, so the endpoint's address and the model's name stand for it.
        mark = fingerprint(
            endpoint=self._endpoint.url,
            model=spec.model,
            dimension=self._dimension,
            query_prompt=spec.query_prompt,
            document_prompt=spec.document_prompt,
            max_tokens=self._max_tokens,
        )
        return EmbeddingSpace(mark, self._dimension, spec.model, self._max_tokens)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Document vectors, (len(texts), dimension), float32, unit length, in the order given."""
        vectors = np.empty((len(texts), self.space.dimension), dtype=np.float32)
        rows = [self._cut(self._spec.document_prompt + text) for text in texts]
        for group in slices([len(row) // CHARS_PER_TOKEN + 1 for row in rows], SLICE_TOKENS):
            for start in range(0, len(group), MOST_TEXTS):
                members = group[start : start + MOST_TEXTS]
                vectors[members] = self._vectors([rows[i] for i in members], self._spec.retries)
        return vectors

    def encode_query(self, text: str) -> Vectors:
        """A query's vector, (dimension,), float32, unit length."""
        row = self._cut(self._spec.query_prompt + text)
        return np.asarray(self._vectors([row], min(self._spec.retries, QUERY_RETRIES))[0])

    def close(self) -> None:
        """Ends waiting calls and gives back connections; safe to call twice."""
        self._endpoint.close()

    def _ask_dimension(self) -> int:
        try:
            return int(self._request(["dimension"], retries=self._spec.retries).shape[1])
        except Refused as refusal:
            raise ModelUnavailable(
                f"{self._endpoint.url} refuses model {self._spec.model}: {refusal}",
                hint="check the endpoint's URL and the model's name",
            ) from refusal

    def _cut(self, text: str) -> str:
        text = well_formed(text[: self._max_tokens * CHARS_PER_TOKEN])
        return text if text.strip() else " "  # endpoints refuse empty input

    def _vectors(self, texts: list[str], retries: int) -> Vectors:
        """The vectors of one slice; when what is in it is refused, of its halves, so that one text cannot fail all."""
        try:
            vectors = self._request(texts, retries=retries)
        except Refused as refusal:
            if len(texts) > 1:
                middle = len(texts) // 2
                return np.concatenate([self._vectors(texts[:middle], retries), self._vectors(texts[middle:], retries)])
            if len(texts[0]) <= SHORTEST_CUT:
                raise EncoderFailed(
                    f"{self._endpoint.url} refuses a text: {refusal}",
                    hint=f"check that it serves the embedding model {self._spec.model}",
                ) from refusal
            return self._vectors([texts[0][: len(texts[0]) // 2]], retries)  # too many tokens for its characters
        expected = self.space.dimension
        if vectors.shape[1] != expected:
            raise ModelMismatch(
                f"model {self._spec.model} at {self._endpoint.url} gave vectors of dimension {vectors.shape[1]},"
                f" expected {expected}",
                hint="another model answers under this name: name it, and its dimension, in the configuration",
            )
        return vectors

    def _request(self, texts: list[str], *, retries: int) -> Vectors:
        body = {"model": self._spec.model, "input": texts, "encoding_format": "float"}
        answer = self._endpoint.post(body, retries=retries)
        return unit(_rows(answer, len(texts), self._endpoint.url))


def embeddings_url(url: str) -> str:
    """The address to POST to, from a server's (`http://host:8000`), its API's (`…/v1`) or the whole.

    Raises ConfigInvalid when it is no http(s) URL or carries a password.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigInvalid(f"encoder url {url!r} is no http or https URL", hint="write it as http://host:port/v1")
    if parts.username or parts.password:
        raise ConfigInvalid("the encoder url carries a user or password", hint="use the API key's own setting")
    path = parts.path.rstrip("/")
    if not path.endswith("/embeddings"):
        path = f"{path or '/v1'}/embeddings"
    return parts._replace(path=path, fragment="").geturl()


def _rows(answer: Any, expected: int, url: str) -> Vectors:
    """The vectors of an answer, ordered by `index`, (expected, dimension) float32, finite and not zero."""
    try:
        data = answer["data"]
        order = [int(item["index"]) if "index" in item else i for i, item in enumerate(data)]
        rows = [np.asarray(item["embedding"], dtype=np.float32) for item in data]
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ModelUnavailable(
            f"{url} does not answer with embeddings", hint="check that the URL is an OpenAI-compatible endpoint"
        ) from error
    hint = "check the endpoint: its answers cannot be trusted"
    if sorted(order) != list(range(expected)):
        raise ModelMismatch(
            f"{url} answered {len(rows)} vectors with indexes {order[:8]} to {expected} texts", hint=hint
        )
    if len({row.shape for row in rows}) != 1 or rows[0].ndim != 1 or not rows[0].size:
        raise ModelMismatch(f"{url} answered vectors of differing shapes", hint=hint)
    vectors = np.empty((expected, rows[0].size), dtype=np.float32)
    vectors[order] = np.stack(rows)
    if not np.isfinite(vectors).all() or not np.linalg.norm(vectors, axis=1).all():
        raise ModelMismatch(f"{url} answered vectors that hold NaN, infinity or only zeros", hint=hint)
    return vectors
