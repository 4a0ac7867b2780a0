"""A map between spaces finds the neighbours that the new space would find, and the better kind is taken."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from ragd.domain.index import Vectors
from ragd.learn.spacemap import agreement, apply, fit_map, procrustes, scoring

Rows = npt.NDArray[np.float64]


def unit(rows: Rows) -> Vectors:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def points(count: int, dimension: int, seed: int = 0) -> Rows:
    random = np.random.default_rng(seed)
    centres = random.normal(size=(12, dimension))
    return centres[random.integers(0, 12, count)] + 0.7 * random.normal(size=(count, dimension))


def test_a_turned_space_is_turned_back_exactly() -> None:
    new = unit(points(400, 24))
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(24, 24)))[0].astype(np.float32)
    fitted = fit_map(new, new @ turn, seed=0)
    assert fitted.agreement > 0.99
    np.testing.assert_allclose(apply(procrustes(new, new @ turn), new), new @ turn, atol=1e-4)


def test_a_space_that_did_not_change_needs_no_map() -> None:
    new = unit(points(200, 16))
    fitted = fit_map(new, new.astype(np.float16), seed=0)
    assert fitted.form == "affine"
    assert fitted.tried["identity"] > 0.98
    assert fitted.agreement > 0.98


@pytest.mark.slow
@pytest.mark.parametrize(("n", "m"), [(16, 32), (32, 16)])
def test_spaces_of_different_dimensions_are_joined(n: int, m: int) -> None:
    hidden = points(900, 12)
    random = np.random.default_rng(2)
    new, old = unit(hidden @ random.normal(size=(12, n))), unit(hidden @ random.normal(size=(12, m)))
    fitted = fit_map(new, old, seed=0)
    assert "identity" not in fitted.tried
    assert apply(fitted.tensors, new).shape == (900, m)
    chance = 10 / 900
    assert fitted.agreement > 30 * chance


@pytest.mark.slow
def test_what_is_not_linear_is_left_to_the_small_network() -> None:
    hidden = points(3000, 6, seed=3)
    random = np.random.default_rng(4)
    new = unit(hidden @ random.normal(size=(6, 12)))
    old = unit(np.tanh(new @ random.normal(size=(12, 20)) * 3.0) @ random.normal(size=(20, 12)))
    fitted = fit_map(new, old, seed=0)
    assert (fitted.kind, fitted.form) == ("mlp", "mlp")
    assert set(fitted.tensors) == {"hidden", "hidden_bias", "out", "out_bias", "skip"}
    assert fitted.agreement == max(fitted.tried.values())


def test_equal_seeds_give_equal_maps() -> None:
    new, old = unit(points(200, 16)), unit(points(200, 16, seed=9))
    one, other = fit_map(new, old, seed=5), fit_map(new, old, seed=5)
    assert one.tried == other.tried
    assert all(np.array_equal(one.tensors[name], other.tensors[name]) for name in one.tensors)


def test_too_few_chunks_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 20 chunks"):
        fit_map(np.eye(10, dtype=np.float32), np.eye(10, dtype=np.float32), seed=0)


def test_agreement_is_the_share_of_common_neighbours() -> None:
    rows = np.eye(40, dtype=np.float32)
    rows += 0.01 * np.arange(40, dtype=np.float32)
    asked = rows[:5]
    itself = np.arange(5)
    assert agreement(asked, asked, rows, rows, itself) == 1.0
    assert agreement(-asked, asked, rows, rows, itself) < 0.5
    assert agreement(asked[:0], asked[:0], rows, rows) == 0.0


def test_scores_are_kept_where_documents_moved_unevenly() -> None:
    random = np.random.default_rng(5)
    old = random.normal(size=(400, 24)).astype(np.float32)
    old /= np.linalg.norm(old, axis=1, keepdims=True)
    stretched = old @ (np.eye(24) + 0.8 * np.diag(random.uniform(-1, 1, 24))).astype(np.float32)
    new = stretched / np.linalg.norm(stretched, axis=1, keepdims=True)
    queries = random.normal(size=(50, 24)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    kept = agreement(apply(scoring(new, old, 1e-4), queries), queries, old, new)
    turned = agreement(apply(procrustes(new, old), queries), queries, old, new)
    assert kept > turned + 0.1
    assert fit_map(new, old, seed=1).kind.startswith("scores")
