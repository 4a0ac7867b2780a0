"""Whether two samples of vectors come from one distribution: maximum mean discrepancy with permutations.

Gretton, Borgwardt, Rasch, Schölkopf and Smola: A Kernel Two-Sample Test (JMLR 2012). What arrives together belongs
together (the chunks of one document), so that single rows are not exchangeable: whole blocks of neighbours are
permuted, and pairs within a block do not count.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ragd.domain.index import Vectors

PERMUTATIONS = 200
_LEAST_BLOCKS = 4


def mmd_p(one: Vectors, other: Vectors, *, block: int, seed: int, permutations: int = PERMUTATIONS) -> float:
    """The p-value of the hypothesis that both samples, shapes (n, d) and (m, d), are of one distribution.

    Rows are in arrival order; `block` rows in a row are kept together, and what is left over is not used. The
    unbiased estimate with a Gaussian kernel, its width by the median heuristic over both samples, against
    `permutations` random relabellings of blocks: never 0, its least value is 1 / (permutations + 1). Equal arguments
    give equal answers. A sample of under four blocks, or rows that are all equal, tell nothing: 1.
    """
    n, m = len(one) // block, len(other) // block
    if min(n, m) < _LEAST_BLOCKS:
        return 1.0
    rows = np.concatenate([one[: n * block], other[: m * block]]).astype(np.float32, copy=False)
    kernel = _between_blocks(rows, block)
    if kernel is None:
        return 1.0
    labels = _labels(n, n + m, permutations, np.random.default_rng(seed))
    sums = labels @ kernel
    within_one = np.einsum("ij,ij->i", sums, labels)
    across = sums.sum(axis=1) - within_one
    within_other = kernel.sum() - within_one - 2 * across
    discrepancy = within_one / (n * (n - 1)) + within_other / (m * (m - 1)) - 2 * across / (n * m)
    # The first labelling is the true one; a hair of tolerance, because equal sums differ in their last bits.
    as_far = int((discrepancy[1:] >= discrepancy[0] - 1e-9 * block**2).sum())
    return (1 + as_far) / (permutations + 1)


def _between_blocks(rows: Vectors, block: int) -> npt.NDArray[np.float64] | None:
    """Sums of the Gaussian kernel between blocks, 0 within one; None where all rows are equal."""
    squares = np.einsum("ij,ij->i", rows, rows)
    distances = np.maximum(squares[:, None] + squares[None, :] - 2 * (rows @ rows.T), 0)
    width = float(np.median(distances[~np.eye(len(rows), dtype=bool)]))
    if width <= 1e-12:
        return None
    kernel = np.exp(distances / np.float32(-width))
    blocks = len(rows) // block
    sums: npt.NDArray[np.float64] = kernel.reshape(blocks, block, blocks, block).sum(axis=(1, 3), dtype=np.float64)
    np.fill_diagonal(sums, 0)
    return sums


def _labels(n: int, total: int, permutations: int, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Which blocks count as the first sample, (permutations + 1, total): first the true labels, then random ones."""
    labels = np.zeros((permutations + 1, total))
    labels[0, :n] = 1
    chosen = np.argpartition(random.random((permutations, total)), n - 1, axis=1)[:, :n]
    np.put_along_axis(labels[1:], chosen, 1, axis=1)
    return labels
