"""FAISS's inverted lists: made, changed row by row, and searched among some ids only."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np

from ragd.domain.index import HalfVectors, Ids, Vectors

_SET_ENTRY_BYTES = 64  # what one id costs in a hash set


def new_lists(dimension: int, lists: int, quantizer: Any) -> Any:
    """An empty inverted file of float16 codes, searched by inner product, around a quantizer that it does not own."""
    return faiss.IndexIVFScalarQuantizer(
        quantizer, dimension, lists, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT, False
    )


def replace_rows(index: Any, ids: Ids, rows: Vectors, lists: Ids) -> None:
    """Puts rows into the lists that they were assigned to, in place of those with their ids."""
    if not ids.size:
        return
    # Removal first: FAISS would keep the old row of a known id, searchable for ever.
    index.remove_ids(ids)
    rows, lists = np.ascontiguousarray(rows), np.ascontiguousarray(lists)
    index.add_core(ids.size, faiss.swig_ptr(rows), faiss.swig_ptr(ids), faiss.swig_ptr(lists), None)


def sampled(vectors: Vectors | HalfVectors, rows: int) -> Vectors:
    """At most `rows` of the vectors, chosen at random but always alike, as float32."""
    if len(vectors) <= rows:
        return np.asarray(vectors, np.float32)
    chosen = np.random.default_rng(len(vectors)).choice(len(vectors), rows, replace=False)
    return np.asarray(vectors[np.sort(chosen)], np.float32)


def selector(allowed: Ids) -> Any:
    """Ids as a bitmap where they lie densely, as a hash set where a bitmap would be larger."""
    highest = int(allowed.max())
    if highest // 8 > allowed.size * _SET_ENTRY_BYTES:
        return faiss.IDSelectorBatch(allowed)
    is_allowed = np.zeros(highest + 1, np.bool_)
    is_allowed[allowed] = True
    return faiss.IDSelectorBitmap(np.packbits(is_allowed, bitorder="little"))
