"""Every file and payload that ragd reads back, each with a valid one and the reader that must take or refuse it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.fuzz_payloads import payloads, vectors
from bench.fuzz_seeds import zipped
from ragd.catalog.store import Store
from ragd.config.load import load
from ragd.domain.index import EmbeddingSpace, EncoderSpec, IndexPolicy
from ragd.domain.learning import Resources, Role
from ragd.domain.training import PluginSource, RunOutcome, RunPlaces, RunRequest
from ragd.embed.encoder import stored_spec
from ragd.embed.folder import read_folder
from ragd.embed.package import find_model
from ragd.embed.transform import QueryTransform
from ragd.flow.backup import back_up
from ragd.flow.restoring import check_backup
from ragd.hooks.archive import open_archive
from ragd.hooks.artifacts import save_transform
from ragd.hooks.cache import CACHE_NAME, remembered
from ragd.hooks.trust import PINS_NAME, read_pins
from ragd.index.exact import ExactIndex
from ragd.index.generation import Generation
from ragd.index.manifest import INDEX_NAME, MANIFEST_NAME, read_manifest
from ragd.index.snapshot import load_newest, write_snapshot
from ragd.jobs.hold import named
from ragd.jobs.payload import decode, decode_vectors, encode, encode_vectors
from ragd.learn.artifact import inspect
from ragd.learn.pairs import read_pairs
from ragd.learn.prompts import read_prompts
from ragd.learn.records import read_attempts, read_outcome, read_request, write_outcome, write_request
from ragd.web.tokens import Role as Permission
from ragd.web.tokens import TokenFile

SPACE = EmbeddingSpace("f", 8, "tiny", 64)
POLICY = IndexPolicy(ivf_above=200, exact_below=100)
CONFIG = b"""state = "s"
[[collections]]
name = "docs"
folders = ["kb", "more"]
exclude = ["*.tmp"]
[watch]
settle_s = 0.3
[redis]
url = "redis://:x@h:6379/0"
[embed]
api_key = "k"
[trainers.nudge]
enabled = true
schedule = "22:00-06:00"
[trainers.nudge.options]
rate = 0.1
"""
PAIRS = b'{"question": "how do I undo?", "document": "a.md", "score": 0.9, "answer": "so", "at": 1}\n' * 3
PROMPTS = b'{"prompt": "say it", "answer": "it"}\n' * 3


@dataclass(frozen=True, slots=True)
class Record:
    """One kind of record; `read` gets damaged bytes. One in `share` of all that are made is of this kind."""

    name: str
    seed: bytes
    read: Callable[[bytes], object]
    others: Sequence[bytes]
    share: int


def records(folder: Path) -> Iterator[Record]:
    """Every kind, its files below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    made = [*_payloads(), *_texts(folder), *_learning(folder), *_models(folder), *_state(folder)]
    others = [seed for _, seed, _ in made]
    for name, seed, read in made:
        yield Record(name, seed, read, others, len(made))


Made = tuple[str, bytes, Callable[[bytes], object]]


def _payloads() -> Iterator[Made]:
    for value in payloads():
        kind = type(value)
        yield f"payload {kind.__name__}", encode(value), lambda data, kind=kind: decode(kind, data)  # type: ignore[misc]
    yield "payload vectors", encode_vectors(vectors()), decode_vectors
    import zlib

    yield "job data", zlib.compress(b'["extract", null, [], {"batch": "bulk-1"}]'), named


def _texts(folder: Path) -> Iterator[Made]:
    def config(data: bytes) -> object:
        return load(_put(folder / "ragd.toml", data), {"HOME": str(folder)}, {})

    yield "configuration", CONFIG, config
    yield "pairs", PAIRS, lambda data: read_pairs(_put(folder / "pairs.jsonl", data))
    yield "pairs.gz", zipped({"x": PAIRS}), lambda data: read_pairs(_put(folder / "pairs.jsonl.gz", data))
    yield "prompts", PROMPTS, lambda data: read_prompts(_put(folder / "prompts.jsonl", data))
    beir = folder / "beir"
    _put(beir / "queries.jsonl", b'{"_id": "q", "text": "why?"}\n')
    qrels = b"query-id\tcorpus-id\tscore\nq\td\t1\n"
    _put(beir / "qrels.tsv", qrels)
    yield (
        "beir corpus",
        b'{"_id": "d", "title": "T", "text": "x"}\n',
        lambda d: (_put(beir / "corpus.jsonl", d), read_pairs(beir)),
    )
    yield "beir qrels", qrels, lambda d: (_put(beir / "qrels.tsv", d), read_pairs(beir))
    yield (
        "archive",
        zipped({"a.xml": b"x" * 9999, "b.docx": zipped({"c": b"y"})}),
        lambda data: open_archive(data).namelist(),
    )


def _learning(folder: Path) -> Iterator[Made]:
    places = RunPlaces(folder / "run")
    request = RunRequest(
        "1", "nudge", Role.QUERY_ADAPTER, PluginSource("n", "bundled"), 1, Resources(), EncoderSpec(), "/m"
    )
    write_request(places, request)
    write_outcome(places, RunOutcome("trained", "a", {"x.json": "00"}))
    yield "run request", places.request.read_bytes(), lambda d: (_put(places.request, d), read_request(places))
    yield "run outcome", places.outcome.read_bytes(), lambda d: (_put(places.outcome, d), read_outcome(places))
    yield (
        "run attempts",
        b'{"count": 1, "barren": 0}',
        lambda d: (_put(places.folder / "attempts.json", d), read_attempts(places)),
    )
    adapter = folder / "adapters/one"
    adapter.mkdir(parents=True)
    save_transform(adapter, "residual", weight=np.zeros((8, 8), np.float32))
    for name in ("transform.json", "transform.safetensors"):
        yield f"transform {name}", (adapter / name).read_bytes(), _adapter(folder / "adapters" / name, adapter, name)


def _adapter(copy: Path, good: Path, name: str) -> Callable[[bytes], object]:
    shutil.copytree(good, copy)

    def read(data: bytes) -> object:
        _put(copy / name, data)
        return inspect(copy, copy.parent, Role.QUERY_ADAPTER), QueryTransform.read(copy, 8)

    return read


def _models(folder: Path) -> Iterator[Made]:
    model = folder / "model"
    config = {"hidden_size": 8, "max_position_embeddings": 64, "pad_token_id": 0, "model_type": "bert"}
    modules = [{"idx": 0, "type": "sentence_transformers.models.Transformer", "path": ""},
               {"idx": 1, "type": "sentence_transformers.models.Pooling", "path": "1_Pooling"}]  # fmt: skip
    files = {
        "config.json": config,
        "modules.json": modules,
        "1_Pooling/config.json": {"pooling_mode_mean_tokens": True, "word_embedding_dimension": 8},
        "config_sentence_transformers.json": {"prompts": {"query": "q: "}},
        "sentence_bert_config.json": {"max_seq_length": 64, "do_lower_case": False},
        "tokenizer_config.json": {"model_max_length": 64},
    }
    for name, value in files.items():
        _put(model / name, json.dumps(value).encode())
    for name, value in files.items():
        copy = folder / "models" / name.replace("/", "-")
        shutil.copytree(model, copy)
        yield f"model {name}", json.dumps(value).encode(), lambda d, p=copy, n=name: (_put(p / n, d), read_folder(p))  # type: ignore[misc]
    serving = b'{"kind": "onnx", "precision": "fp32"}'
    yield "model serve.json", serving, lambda d: (_put(model / "serve.json", d), stored_spec(model, EncoderSpec()))
    weights = (folder / "adapters/one/transform.safetensors").read_bytes()
    yield (
        "model weights",
        weights,
        lambda d: (_put(model / "model.safetensors", d), find_model(str(model), folder / "m")),
    )


def _state(folder: Path) -> Iterator[Made]:
    state = folder / "state"
    state.mkdir(mode=0o700)
    Store(state).close()
    yield (
        "pins",
        b'{"mine": {"name": "mine", "sha256": "00", "at": 1.0}}',
        lambda d: (_put(state / PINS_NAME, d), read_pins(state)),
    )
    yield "plugins seen", b'{"1": {"k": {}}}', lambda d: (_put(state / CACHE_NAME, d), remembered(state))
    tokens = TokenFile(state)
    tokens.add("laptop", Permission.READ, now=1.0)
    yield "tokens", tokens.path.read_bytes(), lambda d: (_put(tokens.path, d), tokens.read())
    backup = folder / "backup"
    tokens.revoke("laptop")
    back_up(state, backup, version="0", now=1.0)
    yield "backup", backup.read_bytes(), lambda d: check_backup(_put(backup, d))
    for rows, name in ((20, "exact"), (300, "ivf")):
        yield from _snapshots(folder / name, rows)


def _snapshots(folder: Path, rows: int) -> Iterator[Made]:
    generation = Generation(ExactIndex(8), POLICY)
    found = np.random.default_rng(0).standard_normal((rows, 8), np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    generation.apply(np.arange(rows), found, np.empty(0, np.int64), sequence=3)
    generation.maintain()
    generation.wait_settled(60)
    manifest = write_snapshot(folder, SPACE, generation)
    place = next(path for path in folder.iterdir() if path.name.isdigit())
    yield (
        f"manifest {folder.name}",
        (place / MANIFEST_NAME).read_bytes(),
        lambda d: read_manifest(_put(place / MANIFEST_NAME, _sealed(d)).parent),
    )

    good = place / MANIFEST_NAME

    def index(data: bytes) -> object:
        _put(good, manifest.encoded())
        _put(place / INDEX_NAME, data)
        return load_newest(folder, SPACE, POLICY)

    yield f"index {folder.name}", (place / INDEX_NAME).read_bytes(), index


def _sealed(data: bytes) -> bytes:
    """A manifest with the seal that fits what it says, so that more than its seal is tried."""
    try:
        values = json.loads(data)
        values.pop("seal", None)
        seal = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
        return json.dumps({**values, "seal": seal}).encode()
    except (ValueError, AttributeError, TypeError, RecursionError):
        return data


def _put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
