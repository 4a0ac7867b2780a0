"""Transforms of query vectors: what each form computes, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from ragd.domain.errors import ArtifactInvalid, ModelUnavailable
from ragd.domain.index import Vectors
from ragd.embed.transform import QueryTransform
from ragd.hooks.artifacts import save_transform

RNG = np.random.default_rng(0)
N, M, H = 6, 4, 3


def matrix(*shape: int) -> Vectors:
    return RNG.standard_normal(shape).astype(np.float32)


def unit(vectors: Vectors) -> Vectors:
    found: Vectors = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return found


def test_each_form_computes_what_it_says(tmp_path: Path) -> None:
    q = unit(matrix(5, N))
    w, down, up, wide, bias = matrix(N, N), matrix(2, N), matrix(N, 2), matrix(M, N), matrix(M)
    hidden, hidden_bias, out, skip = matrix(H, N), matrix(H), matrix(M, H), matrix(M, N)
    mlp = {"hidden": hidden, "hidden_bias": hidden_bias, "out": out, "out_bias": bias, "skip": skip}
    expected = {
        "residual": ({"weight": w}, q + q @ w.T, N),
        "low_rank": ({"down": down, "up": up}, q + (q @ down.T) @ up.T, N),
        "affine": ({"weight": wide, "bias": bias}, q @ wide.T + bias, M),
        "mlp": (mlp, q @ skip.T + np.maximum(q @ hidden.T + hidden_bias, 0) @ out.T + bias, M),
    }
    for form, (tensors, wanted, output) in expected.items():
        save_transform(tmp_path / form, form, **tensors)
        transform = QueryTransform.read(tmp_path / form, N, output)
        found = transform(q)
        assert (found.shape, str(found.dtype)) == ((5, output), "float32")
        np.testing.assert_allclose(found, unit(wanted), atol=1e-5)
        np.testing.assert_allclose(transform(q[0]), found[0], atol=1e-6)


def test_a_transform_of_zeros_changes_nothing(tmp_path: Path) -> None:
    save_transform(tmp_path, "residual", weight=np.zeros((N, N)))
    q = unit(matrix(N))
    np.testing.assert_allclose(QueryTransform.read(tmp_path, N)(q), q, atol=1e-6)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"weight": matrix(N, N), "extra": matrix(1)}, "holds extra, weight; the form residual has weight"),
        ({}, "holds nothing"),
        ({"weight": matrix(N, M)}, r"weight has the shape \(6, 4\), not \(nn\) with n = 6"),
        ({"weight": matrix(M, M)}, "weight has the shape"),
        ({"weight": matrix(N)}, "weight has the shape"),
        ({"weight": np.full((N, N), np.nan, np.float32)}, "no numbers"),
        ({"weight": matrix(N, N).astype(np.float64)}, "weight is not float32"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tmp_path: Path, tensors: dict[str, Vectors], said: str) -> None:
    (tmp_path / "transform.json").write_text(json.dumps({"form": "residual"}))
    save_file(tensors, tmp_path / "transform.safetensors")
    with pytest.raises(ArtifactInvalid, match=said) as caught:
        QueryTransform.read(tmp_path, N)
    assert caught.value.hint


def test_a_map_that_leads_into_another_dimension_is_refused(tmp_path: Path) -> None:
    save_transform(tmp_path, "affine", weight=matrix(M, N), bias=matrix(M))
    assert QueryTransform.read(tmp_path, N, M).output == M
    with pytest.raises(ArtifactInvalid, match="dimension 4, not 6"):
        QueryTransform.read(tmp_path, N)


def test_files_that_are_missing_or_no_such_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"transform\.json cannot be read"):
        QueryTransform.read(tmp_path, N)
    (tmp_path / "transform.json").write_text("[")
    with pytest.raises(ArtifactInvalid, match="not JSON"):
        QueryTransform.read(tmp_path, N)
    (tmp_path / "transform.json").write_text('["residual"]')
    with pytest.raises(ArtifactInvalid, match="names the form None"):
        QueryTransform.read(tmp_path, N)
    (tmp_path / "transform.json").write_text('{"form": "residual"}')
    with pytest.raises(ModelUnavailable, match=r"transform\.safetensors cannot be read"):
        QueryTransform.read(tmp_path, N)
    (tmp_path / "transform.safetensors").write_bytes(b"\x80\x04 a pickle, perhaps")
    with pytest.raises(ArtifactInvalid, match="not a safetensors file"):
        QueryTransform.read(tmp_path, N)
