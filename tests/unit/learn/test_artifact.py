"""What a run made is looked at before anybody loads it: complete, inside, hashed, and of harmless kinds only."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from ragd.domain.errors import ArtifactInvalid
from ragd.domain.learning import Role
from ragd.learn.artifact import check_hashes, inspect


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole query adapter."""
    folder = tmp_path / "work" / "out"
    folder.mkdir(parents=True)
    save_file({"weight": np.eye(4, dtype=np.float32)}, folder / "transform.safetensors")
    (folder / "transform.json").write_text('{"form": "residual"}')
    return folder


def test_every_file_is_hashed_also_in_folders_below(folder: Path) -> None:
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text("{}")
    files = inspect(folder, folder.parent, Role.QUERY_ADAPTER)
    assert files.keys() == {"1_Pooling/config.json", "transform.json", "transform.safetensors"}
    assert files["1_Pooling/config.json"] == hashlib.sha256(b"{}").hexdigest()
    check_hashes(folder, files)


@pytest.mark.parametrize("role", [Role.INDEX, Role.ENCODER, Role.GENERATOR])
def test_each_role_needs_files_of_its_own(role: Role, folder: Path) -> None:
    with pytest.raises(ArtifactInvalid, match=f"which a {role} needs"):
        inspect(folder, folder.parent, role)


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("model.bin", b"\x80\x04K\x01.", "a pickle"),
        ("model.safetensors", b"PK\x03\x04rest", "a pickle"),
        ("notes.txt", b"\x80\x02K\x01.", "a pickle"),
        ("code.py", b"x = 1", r"a \.py file"),
        ("weights", b"1234", "a nameless kind of file"),
        ("more.safetensors", b"\x10\x00\x00\x00\x00\x00\x00\x00{}", "not a safetensors file"),
        ("more.safetensors", b"", "not a safetensors file"),
        ("more.json", b"{", "not JSON"),
    ],
)
def test_other_kinds_of_files_are_refused(name: str, data: bytes, reason: str, folder: Path) -> None:
    (folder / name).write_bytes(data)
    with pytest.raises(ArtifactInvalid, match=reason) as raised:
        inspect(folder, folder.parent, Role.QUERY_ADAPTER)
    assert name in str(raised.value)


def test_a_file_of_tensors_that_was_cut_off_is_refused(folder: Path) -> None:
    path = folder / "transform.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtifactInvalid, match="cut off"):
        inspect(folder, folder.parent, Role.QUERY_ADAPTER)


def test_a_link_is_refused_wherever_it_leads(folder: Path) -> None:
    (folder / "more.json").symlink_to(folder / "transform.json")
    with pytest.raises(ArtifactInvalid, match="not a plain file"):
        inspect(folder, folder.parent, Role.QUERY_ADAPTER)


def test_a_folder_outside_or_missing_or_empty_is_refused(folder: Path, tmp_path: Path) -> None:
    for bad in (tmp_path, folder.parent):
        with pytest.raises(ArtifactInvalid, match="not a folder of its own inside"):
            inspect(bad, folder.parent, Role.QUERY_ADAPTER)
    (folder.parent / "link").symlink_to(tmp_path)
    with pytest.raises(ArtifactInvalid, match="not a folder of its own inside"):
        inspect(folder.parent / "link", folder.parent, Role.QUERY_ADAPTER)
    with pytest.raises(ArtifactInvalid, match="does not exist"):
        inspect(folder.parent / "gone", folder.parent, Role.QUERY_ADAPTER)
    (folder.parent / "empty").mkdir()
    with pytest.raises(ArtifactInvalid, match="holds no files"):
        inspect(folder.parent / "empty", folder.parent, Role.QUERY_ADAPTER)


def test_a_stored_file_that_changed_is_named(folder: Path) -> None:
    files = inspect(folder, folder.parent, Role.QUERY_ADAPTER)
    (folder / "transform.json").write_text('{"form": "affine"}')
    with pytest.raises(ArtifactInvalid, match=r"transform\.json is not the file that was made"):
        check_hashes(folder, files)
    (folder / "transform.json").unlink()
    with pytest.raises(ArtifactInvalid, match=r"transform\.json is missing"):
        check_hashes(folder, files)
