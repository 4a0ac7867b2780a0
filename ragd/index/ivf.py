"""Approximate search: an fp16 inverted file with its own ids, changed in place in constant time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from ragd.domain.errors import GenerationCorrupt
from ragd.domain.index import HalfVectors, Ids, IndexFacts, IndexPolicy, Vectors
from ragd.index.centroids import digest
from ragd.index.container import read_container, write_container
from ragd.index.latch import Latch
from ragd.index.lists import new_lists, replace_rows, sampled, selector
from ragd.index.policy import Fit, lists_for
from ragd.index.rows import checked_ids, checked_queries, checked_rows, nothing_found
from ragd.index.threads import SERVING_THREADS, building_threads, faiss_threads

_SLICE_ROWS = 128  # rows changed under one hold of the latch: well under a millisecond
_ROW_OVERHEAD_BYTES = 8 + 56  # the id in its list, and its node in the direct map


class IvfIndex:
    """A VectorIndex over inverted lists: vectors as float16, inner product of unit vectors, `nprobe` lists a query.

    `fit` comes first. FAISS's hashtable direct map finds a row by its id, so a removal costs no scan.
    One writer at a time, searches beside it.
    """

    kind = "ivf"

    def __init__(self, dimension: int, nprobe: int = IndexPolicy().nprobe) -> None:
        self._dimension = dimension
        self._nprobe = nprobe
        self._latch = Latch()
        self._faiss: Any = None
        self._fit = ""
        self._chunks_at_fit = 0
        self._cosine_at_fit = 0.0
        self._inserted = 0
        self._inserted_cosine_sum = 0.0

    def fit(self, vectors: Vectors | HalfVectors, policy: IndexPolicy, *, chunks: int | None = None) -> None:
        """Finds centroids by k-means over `vectors` (n, dimension), and empties the index.

        `vectors` may be a sample of the `chunks` rows that are to come (n when not given): at most
        `policy.training_rows_per_list` rows a list are used. Two threads. Raises ValueError without a vector.
        """
        if not len(vectors):
            raise ValueError("an inverted file is fitted to at least one vector")
        lists = min(lists_for(len(vectors) if chunks is None else chunks), len(vectors))
        sample = sampled(vectors, lists * policy.training_rows_per_list)
        _, sample = checked_rows(np.arange(len(sample)), sample, self._dimension)
        index = new_lists(self._dimension, lists, faiss.IndexFlatIP(self._dimension))
        index.cp.min_points_per_centroid = 1  # tiny indexes are legal, and FAISS would print about them
        with faiss_threads(building_threads()):
            index.train(sample)
        self._begin(index, policy, "")

    def adopt(self, centroids: Vectors, policy: IndexPolicy) -> None:
        """Takes these centroids, shape (lists, dimension), as they are, and empties the index.

        Raises ValueError for wrong shapes or values that are not finite.
        """
        _, centroids = checked_rows(np.arange(len(centroids)), centroids, self._dimension)
        quantizer = faiss.IndexFlatIP(self._dimension)
        quantizer.add(centroids)
        index = new_lists(self._dimension, len(centroids), quantizer)
        index.train(centroids)  # of the codes only: the quantizer is whole
        self._begin(index, policy, digest(centroids))

    def _begin(self, index: Any, policy: IndexPolicy, fit: str) -> None:
        index.set_direct_map_type(faiss.DirectMap.Hashtable)
        with self._latch.exclusive:
            self._faiss = index
            self._fit = fit
            self._nprobe = policy.nprobe
            self._inserted, self._inserted_cosine_sum = 0, 0.0
        self.mark_fitted()

    @property
    def fit_digest(self) -> str:
        """The digest of the centroids that were adopted; empty where k-means found them here."""
        return self._fit

    def centroids(self) -> Vectors:
        """The lists' centroids, shape (lists, dimension)."""
        quantizer = self._fitted().quantizer
        found: Vectors = quantizer.reconstruct_n(0, int(quantizer.ntotal))
        return found

    def mark_fitted(self) -> None:
        """Takes the rows inserted so far as the state at fit; drift is measured from here on."""
        self._chunks_at_fit = len(self)
        self._cosine_at_fit = self._inserted_cosine_sum / self._inserted if self._inserted else 0.0
        self._inserted, self._inserted_cosine_sum = 0, 0.0

    @classmethod
    def read(cls, path: Path, nprobe: int = IndexPolicy().nprobe) -> IvfIndex:
        """The index that `write` wrote at `path`. Raises GenerationCorrupt for anything else."""
        index, _, facts = read_container(path)
        if facts.get("kind") != cls.kind:
            raise GenerationCorrupt(f"{path}: not an inverted file", hint="remove it; it is rebuilt from the catalog")
        self = cls(index.d, nprobe)
        self._faiss = index
        self._fit = str(facts.get("fit", ""))
        try:
            self._chunks_at_fit = int(facts["chunks_at_fit"])
            self._cosine_at_fit = float(facts["cosine_at_fit"])
            self._inserted = int(facts["inserted"])
            self._inserted_cosine_sum = float(facts["inserted_cosine_sum"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise GenerationCorrupt(f"{path}: says nothing of its fit ({error})", hint="remove it") from error
        return self

    @property
    def dimension(self) -> int:
        """The length of a vector."""
        return self._dimension

    @property
    def fit_facts(self) -> Fit:
        """How the lists stood when they were fitted, and what came in since."""
        mean = self._inserted_cosine_sum / self._inserted if self._inserted else None
        return Fit(self._chunks_at_fit, self._cosine_at_fit, self._inserted, mean)

    def __len__(self) -> int:
        return int(self._faiss.ntotal) if self._faiss is not None else 0

    def upsert(self, ids: Ids, vectors: Vectors | HalfVectors) -> None:
        """Adds rows, replacing those whose id is there: ids (n,), vectors (n, dimension); the last of equal ids stays.

        Raises ValueError for wrong shapes, negative ids or vectors that are not finite, RuntimeError before `fit`.
        """
        ids, rows = checked_rows(ids, vectors, self._dimension)
        lists = self._assigned(rows, SERVING_THREADS)
        with faiss_threads(SERVING_THREADS):
            for start in range(0, ids.size, _SLICE_ROWS):
                part = slice(start, start + _SLICE_ROWS)
                with self._latch.exclusive:
                    replace_rows(self._faiss, ids[part], rows[part], lists[part])

    def fill(self, ids: Ids, vectors: Vectors | HalfVectors) -> None:
        """Does as `upsert`, in one piece and with the threads of a build: for an index that nobody searches yet."""
        ids, rows = checked_rows(ids, vectors, self._dimension)
        lists = self._assigned(rows, building_threads())
        with faiss_threads(building_threads()), self._latch.exclusive:
            replace_rows(self._faiss, ids, rows, lists)

    def _assigned(self, rows: Vectors, threads: int) -> Ids:
        """The list of each row: the costly part, done outside the latch, for centroids stay as they were fitted."""
        if not len(rows):
            return np.empty(0, np.int64)
        with faiss_threads(threads):
            cosines, lists = self._fitted().quantizer.search(rows, 1)
        norms = np.maximum(np.linalg.norm(rows, axis=1), np.finfo(np.float32).tiny)
        self._inserted += len(rows)
        self._inserted_cosine_sum += float((cosines[:, 0] / norms).sum())
        found: Ids = lists[:, 0]
        return found

    def remove(self, ids: Ids) -> int:
        """Removes the rows with these ids, unknown ids ignored; returns how many were there."""
        ids = checked_ids(ids)
        if not len(self):
            return 0
        index = self._fitted()
        removed = 0
        for start in range(0, ids.size, _SLICE_ROWS):
            with self._latch.exclusive:
                removed += int(index.remove_ids(ids[start : start + _SLICE_ROWS]))
        return removed

    def search(self, queries: Vectors, k: int, *, allowed: Ids | None = None) -> tuple[Vectors, Ids]:
        """The k best rows of each query: scores (q, k) descending and ids (q, k); -inf and -1 fill what is missing.

        With `allowed`, only rows with these ids are considered, inside the search, and as many more lists
        are looked at as rows are left out, so that a narrow filter finds what there is.
        """
        queries = checked_queries(queries, self._dimension)
        if k < 1 or not len(queries) or not len(self) or (allowed is not None and not len(allowed)):
            return nothing_found(len(queries), max(k, 0))
        params = self._params(allowed)
        with faiss_threads(SERVING_THREADS), self._latch.shared:
            scores, ids = self._faiss.search(queries, k, params=params)
        scores[ids < 0] = -np.inf
        return scores, ids

    def ann_recall(self, queries: Vectors, k: int = 10) -> float:
        """The share of the k true best rows of these queries that a search at `nprobe` finds, 0 to 1.

        Truth is this index with every list looked at, one query at a time; 1 for an empty index.
        """
        found = expected = 0
        every_list = faiss.SearchParametersIVF(nprobe=self.facts().lists)
        for query in checked_queries(queries, self._dimension):
            with faiss_threads(SERVING_THREADS), self._latch.shared:
                truth = self._faiss.search(query[None], k, params=every_list)[1]
                answer = self._faiss.search(query[None], k, params=self._params(None))[1]
            expected += int((truth >= 0).sum())
            found += int(np.isin(answer, truth[truth >= 0]).sum())
        return found / expected if expected else 1.0

    def _params(self, allowed: Ids | None) -> Any:
        if allowed is None:
            return faiss.SearchParametersIVF(nprobe=self._nprobe)
        share = len(self) / len(allowed)
        nprobe = min(self._faiss.nlist, max(self._nprobe, round(self._nprobe * share)))
        return faiss.SearchParametersIVF(nprobe=nprobe, sel=selector(checked_ids(allowed)))

    def ids(self) -> Ids:
        """Every id, sorted, shape (n,)."""
        lists = range(self._faiss.nlist) if self._faiss is not None else ()
        with self._latch.shared:
            parts = [self._ids_in(number) for number in lists]
        ids = np.concatenate([np.empty(0, np.int64), *parts])
        ids.sort()
        return ids

    def vectors(self, ids: Ids) -> Vectors:
        """The stored vectors of these ids, shape (n, dimension). Raises KeyError for an unknown id."""
        ids = checked_ids(ids)
        present, rows = self.stored(ids)
        if present.size != ids.size:
            raise KeyError(int(np.setdiff1d(ids, present)[0]))
        return rows.astype(np.float32)

    def stored(self, ids: Ids) -> tuple[Ids, HalfVectors]:
        """Those of `ids` that are here, in the order given, with their vectors as kept, float16 (n, dimension)."""
        ids = checked_ids(ids)
        present = [ids[:0]]
        rows = [np.empty((0, self._dimension), np.float16)]
        for start in range(0, ids.size if len(self) else 0, _SLICE_ROWS):
            part = ids[start : start + _SLICE_ROWS]
            with self._latch.shared:
                here = part[[self._holds(key) for key in part.tolist()]]
                if here.size:
                    present.append(here)
                    rows.append(self._faiss.reconstruct_batch(here).astype(np.float16))
        return np.concatenate(present), np.concatenate(rows)

    def rows(self) -> Iterator[tuple[Ids, HalfVectors]]:
        """Every row, list by list, as it lies in memory now; the caller holds off the writer."""
        for number in range(self._faiss.nlist if self._faiss is not None else 0):
            with self._latch.shared:
                yield self._ids_in(number), self._vectors_in(number)

    def _holds(self, key: int) -> bool:
        try:
            self._faiss.direct_map.get(key)
        except RuntimeError:
            return False
        return True

    def facts(self) -> IndexFacts:
        """Kind, chunks, dimension, lists, memory in bytes, and the centroid cosine of inserts against the fit."""
        if self._faiss is None:
            return IndexFacts(self.kind, 0, self._dimension, 0, 0)
        count, lists = len(self), int(self._faiss.nlist)
        size_bytes = count * (self._faiss.code_size + _ROW_OVERHEAD_BYTES) + lists * self._dimension * 4
        return IndexFacts(self.kind, count, self._dimension, lists, int(size_bytes), self.fit_facts.centroid_cosine)

    def write(self, path: Path) -> None:
        """Writes a file that `read` restores. Searches go on meanwhile; the caller holds off the writer."""
        facts: dict[str, float | int | str] = {
            "kind": self.kind,
            "fit": self._fit,
            "chunks_at_fit": self._chunks_at_fit,
            "cosine_at_fit": self._cosine_at_fit,
            "inserted": self._inserted,
            "inserted_cosine_sum": self._inserted_cosine_sum,
        }
        write_container(path, self._fitted(), np.empty(0, np.int64), facts)

    def _fitted(self) -> Any:
        if self._faiss is None:
            raise RuntimeError("an inverted file is fitted before rows go in")
        return self._faiss

    def _ids_in(self, number: int) -> Ids:
        lists = self._faiss.invlists
        size = lists.list_size(number)
        view: Ids = faiss.rev_swig_ptr(lists.get_ids(number), size) if size else np.empty(0, np.int64)
        return view.copy()

    def _vectors_in(self, number: int) -> HalfVectors:
        lists = self._faiss.invlists
        size = lists.list_size(number)
        if not size:
            return np.empty((0, self._dimension), np.float16)
        view = faiss.rev_swig_ptr(lists.get_codes(number), size * self._faiss.code_size)
        vectors: HalfVectors = view.view(np.float16).reshape(size, self._dimension).copy()
        return vectors
