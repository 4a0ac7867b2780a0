"""Artefacts on their way into the folder of models, and the proof of what lies there."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from ragd.domain.errors import ArtifactInvalid, DiskFull
from ragd.domain.learning import Role
from ragd.hooks.artifacts import save_tensors, save_transform
from ragd.learn import artifacts
from ragd.learn.artifacts import Offer, accept, remove, verified
from ragd.testing.tiny import tiny_model

DIMENSION = 8


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def offer(folder: Path, role: Role = Role.QUERY_ADAPTER) -> Offer:
    return Offer(folder, folder.parent, role, "trainer", digests(folder), DIMENSION)


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "run" / "artifact"
    save_transform(folder, "residual", weight=np.zeros((DIMENSION, DIMENSION)))
    return folder


def test_an_artefact_lands_whole_with_its_card_and_is_proven_again(adapter: Path, tmp_path: Path) -> None:
    stored = accept(replace(offer(adapter), card={"run": "r1"}), tmp_path / "models", 3)
    folder = tmp_path / "models" / "trainer" / "3"
    assert (stored.folder, stored.files) == ("trainer/3", digests(adapter))
    assert stored.size_bytes == sum(path.stat().st_size for path in adapter.iterdir())
    card = json.loads((folder / "card.json").read_bytes())
    assert (card["version"], card["role"], card["sha256"], card["run"]) == (3, "query-adapter", stored.sha256, "r1")
    assert verified(folder, stored.files) == folder
    assert [path.name for path in folder.parent.iterdir()] == ["3"]


def test_a_map_travels_with_its_encoder(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "run" / "work" / "model")
    save_transform(tmp_path / "run" / "map", "affine", weight=np.ones((DIMENSION, 32)), bias=np.zeros(DIMENSION))
    given = Offer(model, tmp_path / "run", Role.ENCODER, "lora", digests(model), DIMENSION)
    stored = accept(replace(given, beside={"map": tmp_path / "run" / "map"}), tmp_path / "models", 1)
    assert {"map/transform.json", "map/transform.safetensors", "1_Pooling/config.json"} <= stored.files.keys()
    verified(tmp_path / "models" / "lora" / "1", stored.files)


def test_what_a_kill_left_behind_is_replaced(adapter: Path, tmp_path: Path) -> None:
    for leftover in (".new-abc", "1"):
        (tmp_path / "models" / "trainer" / leftover).mkdir(parents=True)
        (tmp_path / "models" / "trainer" / leftover / "half").touch()
    stored = accept(offer(adapter), tmp_path / "models", 1)
    verified(tmp_path / "models" / "trainer" / "1", stored.files)
    assert [path.name for path in (tmp_path / "models" / "trainer").iterdir()] == ["1"]


def pickled(folder: Path) -> None:
    (folder / "weights.json").write_bytes(pickle.dumps({"a": 1}))


def zipped(folder: Path) -> None:
    with zipfile.ZipFile(folder / "weights.data", "w") as file:
        file.writestr("data.pkl", b"")


def pickle_as_tensors(folder: Path) -> None:
    (folder / "transform.safetensors").write_bytes(pickle.dumps(list(range(1000))))


def torch_file(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"anything")


def link_outside(folder: Path) -> None:
    (folder / "more.json").symlink_to("/etc/hostname")


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "more.json")


def no_tensors(folder: Path) -> None:
    (folder / "transform.safetensors").unlink()


def another_form(folder: Path) -> None:
    (folder / "transform.json").write_text('{"form": "cubic"}')


def other_tensors(folder: Path) -> None:
    save_tensors(folder / "transform.safetensors", weight=np.zeros((8, 8)), bias=np.zeros(8))


def wrong_dimension(folder: Path) -> None:
    save_tensors(folder / "transform.safetensors", weight=np.zeros((4, 4)))


def doubles(folder: Path) -> None:
    save_file({"weight": np.zeros((8, 8))}, folder / "transform.safetensors")


def own_card(folder: Path) -> None:
    (folder / "card.json").write_text("{}")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (pickled, "weights.json in the artefact is a pickle"),
        (zipped, "weights.data in the artefact is a pickle"),
        (pickle_as_tensors, "transform.safetensors in the artefact is a pickle"),
        (torch_file, "pytorch_model.bin in the artefact is a .bin file"),
        (link_outside, "more.json in the artefact is not a plain file"),
        (pipe, "more.json in the artefact is not a plain file"),
        (no_tensors, "the artefact has no transform.safetensors"),
        (another_form, "names the form 'cubic'"),
        (other_tensors, "holds bias, weight instead of weight"),
        (wrong_dimension, r"weight has the shape \(4, 4\), not \(nn\) with n = 8"),
        (doubles, "weight is F64, not float32"),
        (own_card, "card.json in the artefact has the name of ragd's own file"),
    ],
)
def test_what_must_not_be_served_is_named_and_leaves_nothing(
    adapter: Path, tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    spoil(adapter)
    given = replace(offer(adapter), files={k: v for k, v in digests(adapter).items() if k != "more.json"})
    with pytest.raises(ArtifactInvalid, match=said) as caught:
        accept(given, tmp_path / "models", 1)
    assert caught.value.hint
    assert not (tmp_path / "models").exists()


def test_files_must_be_those_that_the_run_wrote(adapter: Path, tmp_path: Path) -> None:
    promised = digests(adapter)
    cases = {
        "lacks gone.json": {**promised, "gone.json": "00"},
        "holds transform.json, which the run did not name": {
            k: v for k, v in promised.items() if k != "transform.json"
        },
        "transform.json in the artefact is not what the run wrote": {**promised, "transform.json": "00"},
    }
    for said, files in cases.items():
        with pytest.raises(ArtifactInvalid, match=said):
            accept(replace(offer(adapter), files=files), tmp_path / "models", 1)


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "x" * 65])
def test_a_trainer_cannot_name_itself_out_of_the_folder(adapter: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtifactInvalid, match="is no name"):
        accept(replace(offer(adapter), name=name), tmp_path / "models", 1)


def test_centroids_and_model_folders_are_looked_at_too(tmp_path: Path) -> None:
    index = tmp_path / "run" / "index"
    save_tensors(index / "centroids.safetensors", centroids=np.ones((3, DIMENSION)))
    accept(offer(index, Role.INDEX), tmp_path / "models", 1)
    save_tensors(index / "centroids.safetensors", centroids=np.ones((3, 5)))
    with pytest.raises(ArtifactInvalid, match=r"centroids has the shape \(3, 5\)"):
        accept(offer(index, Role.INDEX), tmp_path / "models", 2)
    for role in (Role.ENCODER, Role.GENERATOR):
        bare = tmp_path / "run" / str(role)
        bare.mkdir()
        (bare / "config.json").write_text("{}")
        with pytest.raises(ArtifactInvalid, match="the artefact has no"):
            accept(offer(bare, role), tmp_path / "models", 2)


def test_a_full_disk_leaves_nothing_behind(adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_source: Path, _target: Path, _expected: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(artifacts, "_copy", full)
    with pytest.raises(DiskFull):
        accept(offer(adapter), tmp_path / "models", 1)
    assert list((tmp_path / "models" / "trainer").iterdir()) == []


def test_a_stored_model_that_changed_is_not_loaded(adapter: Path, tmp_path: Path) -> None:
    stored = accept(offer(adapter), tmp_path / "models", 1)
    folder = tmp_path / "models" / "trainer" / "1"
    whole = (folder / "transform.safetensors").read_bytes()
    (folder / "transform.safetensors").write_bytes(whole[:-1] + b"\x01")
    with pytest.raises(ArtifactInvalid, match="its hash differs"):
        verified(folder, stored.files)
    (folder / "transform.safetensors").unlink()
    with pytest.raises(ArtifactInvalid, match=r"transform\.safetensors is missing"):
        verified(folder, stored.files)
    (folder / "transform.safetensors").write_bytes(whole)
    (folder / "extra.json").touch()
    with pytest.raises(ArtifactInvalid, match="does not belong"):
        verified(folder, stored.files)
    export, other = (tmp_path / "models" / "trainer-1" / name for name in ("0123456789abcdef", "2"))
    for made in (export, other):
        made.mkdir(parents=True)
    remove(tmp_path / "models", stored.folder)
    assert (folder.exists(), export.exists(), other.exists()) == (False, False, True)
    remove(tmp_path / "models", "../run")
    assert adapter.exists()


def test_a_header_whose_length_begins_like_a_pickle_is_none(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "index"
    folder.mkdir(parents=True)
    for spare in range(2000):
        save_file(
            {"centroids": np.ones((2, 8), np.float32)}, folder / "centroids.safetensors", metadata={"n": "x" * spare}
        )
        if (folder / "centroids.safetensors").read_bytes()[:2] == b"\x80\x02":
            break
    else:
        raise AssertionError("no such length")
    stored = accept(offer(folder, Role.INDEX), tmp_path / "models", 1)
    assert "centroids.safetensors" in stored.files
