"""The export in real child processes: made once, proven, made anew when broken, and never with torch in the parent."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ragd.domain.errors import ConfigInvalid, ModelUnavailable
from ragd.domain.index import EncoderSpec
from ragd.embed.artefact import open_export
from ragd.embed.encoder import open_encoder
from ragd.embed.package import find_model
from ragd.testing.tiny import tiny_model

OPEN = """
import sys
from pathlib import Path
from ragd.domain.index import EncoderSpec
from ragd.embed.encoder import open_encoder
encoder = open_encoder(EncoderSpec(model=sys.argv[1], threads=1), Path(sys.argv[2]))
vector = encoder.encode_query("where is the file?")
"""
REPORT = """
import json, time
heavy = sorted({"torch", "transformers", "onnx", "sentence_transformers"} & set(sys.modules))
start = time.process_time()
time.sleep(0.5)
idle_s = time.process_time() - start
rss_kb = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS"))
print(json.dumps({"heavy": heavy, "idle_s": idle_s, "rss_mb": rss_kb / 1024, "vector": vector.tolist()}))
"""


def _start(model: str, models: Path) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", OPEN + REPORT, model, str(models)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("source") / "tiny", pooling="mean")


@pytest.fixture(scope="module")
def exported(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder into which two processes exported the tiny model at the same time."""
    models = tmp_path_factory.mktemp("models")
    children = [_start(str(tiny), models) for _ in range(2)]
    answers = [child.communicate(timeout=150) for child in children]
    assert [child.returncode for child in children] == [0, 0], answers
    vectors = [json.loads(out)["vector"] for out, _ in answers]
    assert vectors[0] == vectors[1]
    return models


@pytest.fixture
def copied(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "models"))


def _files(models: Path, pattern: str) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in sorted(models.rglob(pattern))}


def test_two_processes_at_once_end_with_one_whole_export(exported: Path, tiny: Path) -> None:
    folder = exported / "tiny" / find_model(str(tiny), exported).weights_hash[:16]
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "fp32.data", "fp32.json", "fp32.onnx"]


def test_the_card_says_what_was_exported_and_how(exported: Path, tiny: Path) -> None:
    source = find_model(str(tiny), exported)
    card = json.loads(next(exported.rglob("fp32.json")).read_text())
    assert card["source_sha256"] == source.weights_hash
    assert (card["opset"], card["precision"], card["pooling"], card["max_tokens"]) == (17, "fp32", "mean", 64)
    assert {name: len(digest) for name, digest in card["files"].items()} == {"fp32.onnx": 64, "fp32.data": 64}


def test_a_second_opening_exports_nothing(exported: Path, tiny: Path) -> None:
    before = _files(exported, "fp32*")
    open_export(find_model(str(tiny), exported), "fp32", exported)
    assert _files(exported, "fp32*") == before


def test_a_broken_export_is_made_anew(copied: Path, tiny: Path) -> None:
    spec = EncoderSpec(model=str(tiny), threads=1)
    encoder = open_encoder(spec, copied)
    expected = encoder.encode_query("a")
    encoder.close()
    data = next(copied.rglob("fp32.data"))
    data.write_bytes(data.read_bytes()[:-100] + bytes(100))
    leftover = data.parent / ".export-killed"
    leftover.mkdir()
    again = open_encoder(spec, copied)
    assert np.allclose(again.encode_query("a"), expected, atol=1e-6)
    again.close()
    assert not leftover.exists()


def test_a_model_that_cannot_be_exported_is_named_with_the_reason(tiny: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny, tmp_path / "strange"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "no-such-architecture"}))
    with pytest.raises(ModelUnavailable, match="no-such-architecture") as raised:
        open_encoder(EncoderSpec(model=str(folder)), tmp_path / "models")
    assert str(folder) in str(raised.value)
    assert not list((tmp_path / "models").rglob(".export-*"))


def test_a_models_folder_that_cannot_be_made_is_named(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file in the way")
    with pytest.raises(ModelUnavailable, match="models"):
        open_encoder(EncoderSpec(model=str(tiny)), tmp_path / "models")


def test_a_finished_onnx_graph_is_used_as_it_is(copied: Path, tiny: Path, tmp_path: Path) -> None:
    made = open_encoder(EncoderSpec(model=str(tiny), threads=1), copied)
    folder = tmp_path / "finished"
    shutil.copytree(tiny, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    graph = next(copied.rglob("fp32.onnx"))
    shutil.copy(graph, folder / "model.onnx")
    shutil.copy(graph.with_suffix(".data"), folder / "fp32.data")
    spec = EncoderSpec(model=str(folder), threads=1)
    finished = open_encoder(spec, tmp_path / "none")
    assert np.allclose(finished.encode(["a b c"]), made.encode(["a b c"]), atol=1e-6)
    assert finished.space.fingerprint != made.space.fingerprint
    assert not (tmp_path / "none" / "finished").exists()
    with pytest.raises(ConfigInvalid, match="int8"):
        open_encoder(replace(spec, precision="int8"), tmp_path / "none")
    finished.close()
    made.close()


def test_the_default_encoder_is_small_idle_at_rest_and_free_of_torch(models: Path) -> None:
    child = _start("minilm", models)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    found = json.loads(out)
    assert found["heavy"] == []
    assert found["idle_s"] < 0.005
    assert found["rss_mb"] < 190
    assert len(found["vector"]) == 384


def test_int8_is_close_to_fp32_and_another_space(models: Path) -> None:
    texts = ["Ownership moves when a value is assigned.", "A daemon watches folders.", "x", "the cat sat " * 40]
    exact = open_encoder(EncoderSpec(threads=1), models)
    small = open_encoder(EncoderSpec(threads=1, precision="int8"), models)
    cosines = (exact.encode(texts) * small.encode(texts)).sum(axis=1)
    assert cosines.min() > 0.95
    assert exact.space.fingerprint != small.space.fingerprint
    exact.close()
    small.close()
