"""The fingerprint changes exactly when vectors would."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ragd.domain.errors import ConfigInvalid, ModelMismatch, ModelUnavailable
from ragd.domain.index import EncoderSpec
from ragd.embed.encoder import open_encoder, space_of, tokenizer_path
from ragd.embed.folder import read_folder
from ragd.embed.onnx import check_modules
from ragd.testing.tiny import tiny_model


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "tiny", max_tokens=48)


@pytest.fixture
def spec(tiny: Path) -> EncoderSpec:
    return EncoderSpec(model=str(tiny))


def test_the_space_of_the_packaged_model_is_known_without_loading_it(tmp_path: Path) -> None:
    space = space_of(EncoderSpec(), tmp_path)
    assert (space.dimension, space.model, space.max_tokens) == (384, "minilm", 256)
    assert not list(tmp_path.rglob("*.onnx"))


@pytest.mark.parametrize(
    "change",
    [
        {"precision": "int8"},
        {"query_prompt": "query: "},
        {"document_prompt": "passage: "},
        {"max_tokens": 32},
    ],
)
def test_what_changes_vectors_changes_the_fingerprint(
    tmp_path: Path, spec: EncoderSpec, change: dict[str, Any]
) -> None:
    assert space_of(replace(spec, **change), tmp_path).fingerprint != space_of(spec, tmp_path).fingerprint


@pytest.mark.parametrize("change", [{"threads": 3}, {"kind": "sbert"}, {"max_tokens": 48}, {"timeout_s": 1.0}])
def test_what_leaves_vectors_alone_leaves_the_fingerprint_alone(
    tmp_path: Path, spec: EncoderSpec, change: dict[str, Any]
) -> None:
    assert space_of(replace(spec, **change), tmp_path) == space_of(spec, tmp_path)


def test_other_weights_and_another_pooling_are_other_spaces(tmp_path: Path, spec: EncoderSpec) -> None:
    seeded = EncoderSpec(model=str(tiny_model(tmp_path / "seeded", max_tokens=48, seed=1)))
    pooled = EncoderSpec(model=str(tiny_model(tmp_path / "pooled", max_tokens=48, pooling="cls")))
    assert len({space_of(s, tmp_path).fingerprint for s in (spec, seeded, pooled)}) == 3


def test_the_prompts_that_a_folder_was_trained_with_count_unless_others_are_set(tmp_path: Path) -> None:
    model = EncoderSpec(model=str(tiny_model(tmp_path / "prompted", query_prompt="q: ", document_prompt="d: ")))
    bare = EncoderSpec(model=str(tiny_model(tmp_path / "bare")))
    same = replace(bare, query_prompt="q: ", document_prompt="d: ")
    assert space_of(model, tmp_path).fingerprint == space_of(same, tmp_path).fingerprint
    assert space_of(model, tmp_path).fingerprint != space_of(bare, tmp_path).fingerprint


def test_a_promised_dimension_is_kept(tmp_path: Path, spec: EncoderSpec) -> None:
    assert space_of(replace(spec, dimension=32), tmp_path).dimension == 32
    with pytest.raises(ModelMismatch, match="dimension 32"):
        space_of(replace(spec, dimension=384), tmp_path)


def test_more_tokens_than_the_model_has_positions_for_are_refused(tmp_path: Path, spec: EncoderSpec) -> None:
    with pytest.raises(ConfigInvalid, match="65"):
        space_of(replace(spec, max_tokens=65), tmp_path)


def test_an_unknown_kind_names_the_known_ones(tmp_path: Path) -> None:
    for call in (open_encoder, space_of):
        with pytest.raises(ConfigInvalid) as raised:
            call(EncoderSpec(kind="tensorflow"), tmp_path)
        assert "onnx, sbert or openai" in raised.value.hint


def test_the_splitter_gets_the_tokenizer_of_a_local_model_and_none_of_an_endpoint(
    tmp_path: Path, spec: EncoderSpec, tiny: Path
) -> None:
    assert tokenizer_path(spec, tmp_path) == tiny / "tokenizer.json"
    assert tokenizer_path(EncoderSpec(kind="openai", model="m", url="http://localhost"), tmp_path) is None


@pytest.mark.parametrize(
    ("legacy", "mode"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}, "max+mean"),
        ({"pooling_mode": ["cls", "mean"]}, "cls+mean"),
        ({}, "mean"),
    ],
)
def test_pooling_is_read_in_its_old_and_its_new_form(tiny: Path, legacy: dict[str, object], mode: str) -> None:
    (tiny / "1_Pooling" / "config.json").write_text(json.dumps(legacy))
    assert read_folder(tiny).pooling == mode


def test_a_bare_transformer_folder_is_pooled_by_mean(tiny: Path) -> None:
    (tiny / "modules.json").unlink()
    folder = read_folder(tiny)
    assert (folder.modules, folder.pooling, folder.dimension) == (("Transformer",), "mean", 32)


@pytest.mark.parametrize("name", ["config.json", "1_Pooling/config.json", "modules.json"])
def test_a_broken_settings_file_is_named(tiny: Path, name: str) -> None:
    (tiny / name).write_text("{")
    with pytest.raises(ModelUnavailable, match=name):
        read_folder(tiny)


def test_a_missing_settings_file_is_named(tiny: Path) -> None:
    (tiny / "config.json").unlink()
    with pytest.raises(ModelUnavailable, match=r"config\.json is missing"):
        read_folder(tiny)


@pytest.mark.parametrize(
    ("kind", "named"),
    [("sentence_transformers.models.Dense", "Dense"), ("elsewhere.Pooling", r"elsewhere\.Pooling")],
)
def test_a_module_that_needs_torch_or_foreign_code_is_refused_by_the_onnx_encoder(
    tiny: Path, kind: str, named: str
) -> None:
    modules = json.loads((tiny / "modules.json").read_text())
    modules.append({"idx": 3, "name": "3", "path": "3_Dense", "type": kind})
    (tiny / "modules.json").write_text(json.dumps(modules))
    (tiny / "3_Dense").mkdir()
    (tiny / "3_Dense" / "config.json").write_text(json.dumps({"out_features": 8}))
    with pytest.raises(ModelUnavailable, match=named) as raised:
        check_modules(read_folder(tiny))
    assert "sbert" in raised.value.hint


def test_positions_that_start_after_the_padding_are_not_promised(tiny: Path) -> None:
    config = json.loads((tiny / "config.json").read_text())
    (tiny / "config.json").write_text(json.dumps(config | {"model_type": "roberta", "pad_token_id": 1}))
    assert read_folder(tiny).position_limit == 62
