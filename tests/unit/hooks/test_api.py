"""What authors may import is there, told, and stays what it is."""

from __future__ import annotations

import enum
from dataclasses import is_dataclass
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from ragd.embed.transform import QueryTransform
from ragd.hooks import api


def test_every_name_is_there_and_says_what_it_is() -> None:
    assert api.__all__ == sorted(api.__all__)
    told = {name: getattr(api, name).__doc__ for name in api.__all__ if name != "hookimpl"}
    assert [name for name, doc in told.items() if not doc or len(doc) < 20] == []


def test_values_that_authors_get_cannot_be_changed() -> None:
    values = [getattr(api, name) for name in api.__all__ if is_dataclass(getattr(api, name))]
    assert {value.__name__ for value in values} >= {"Artifact", "Chunk", "Needs", "Pair", "Resources", "Window"}
    assert all(value.__dataclass_params__.frozen for value in values)
    assert issubclass(api.Role, enum.StrEnum)


def test_a_saved_transform_is_what_the_serving_path_reads(tmp_path: Path) -> None:
    weight = np.arange(16.0).reshape(4, 4)
    artifact = api.save_transform(tmp_path / "made", "residual", weight=weight)
    assert artifact == api.Artifact(tmp_path / "made", {"form": "residual", "trainable_weights": 16})
    query = np.array([1.0, 0, 0, 0], dtype=np.float32)
    expected = query + weight[:, 0]
    assert np.allclose(QueryTransform.read(artifact.folder, 4)(query), expected / np.linalg.norm(expected))


def test_saved_tensors_are_float32_by_name(tmp_path: Path) -> None:
    api.save_tensors(tmp_path / "new" / "centroids.safetensors", centroids=[[1, 2], [3, 4]])
    centroids = load_file(tmp_path / "new" / "centroids.safetensors")["centroids"]
    assert centroids.dtype == np.float32
    assert centroids.tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("form", "tensors", "complaint"),
    [
        ("residual", {"weights": np.eye(2)}, "residual with the tensors weights is not known"),
        ("cubic", {}, "form cubic"),
        ("residual", {"weight": np.full((2, 2), np.nan)}, "weight holds values that are no numbers"),
    ],
)
def test_what_cannot_serve_is_not_saved(
    tmp_path: Path, form: str, tensors: dict[str, np.ndarray], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        api.save_transform(tmp_path / "made", form, **tensors)
