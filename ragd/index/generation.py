"""One embedding space as the daemon serves it: the current index, changed in place and replaced whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, RLock, Thread

import numpy as np

from ragd.domain.digest import Digest, digest_of
from ragd.domain.errors import BadRequest, Busy, TimedOut
from ragd.domain.index import HalfVectors, Ids, IndexFacts, IndexPolicy, Vectors
from ragd.index.building import ServedIndex, built
from ragd.index.ivf import IvfIndex
from ragd.index.policy import Upkeep, upkeep

_LAST_MILE_ROWS = 256  # changes carried over while the writer waits, before the new index takes its place
_CATCH_UP_ROUNDS = 16

_KIND_AFTER = {Upkeep.TO_EXACT: "exact", Upkeep.TO_IVF: "ivf", Upkeep.REFIT: "ivf"}


class Generation:
    """The rows of one embedding space, searched from any thread beside one writer.

    The index behind it changes its kind or is fitted again in a background thread, while changes go on:
    the ids they touch are noted and carried over before the new index takes the old one's name. `sequence`
    is the change sequence of the catalog that the rows stand for.
    """

    def __init__(self, index: ServedIndex, policy: IndexPolicy, *, sequence: int = 0) -> None:
        self._index = index  # the one name that is replaced; readers take it once and keep what they took
        self._policy = policy
        self._sequence = sequence
        self._writing = RLock()
        self._touched: set[int] | None = None
        self._builder: Thread | None = None
        self._failure: BaseException | None = None
        self._is_closing = Event()
        self._digest = self._recounted()
        self.builds = 0
        """How often an index that was built in the background took the place of the one before."""

    @property
    def dimension(self) -> int:
        """The length of a vector."""
        return self._index.dimension

    @property
    def sequence(self) -> int:
        """The newest change sequence that was applied whole."""
        return self._sequence

    @property
    def is_settling(self) -> bool:
        """True while another index is being built in the background."""
        return self._builder is not None and self._builder.is_alive()

    def __len__(self) -> int:
        return len(self._index)

    @property
    def digest(self) -> Digest:
        """The digest of the rows, kept up to date by every change."""
        return self._digest

    def recount(self) -> Digest:
        """Counts the digest anew from the rows as they lie in memory, keeps it, and returns what was kept before.

        Changes wait meanwhile (a fifth of a second at a million chunks), searches do not.
        """
        with self._writing:
            before, self._digest = self._digest, self._recounted()
            return before

    def _recounted(self) -> Digest:
        counted = Digest()
        for ids, vectors in self._index.rows():
            counted = counted.plus(digest_of(ids, vectors))
        return counted

    def apply(
        self, upsert_ids: Ids, vectors: Vectors | HalfVectors, remove_ids: Ids, *, sequence: int | None = None
    ) -> None:
        """Brings in one commit: rows added or replaced, ids (n,) with vectors (n, dimension), then rows removed.

        New rows land before old ones go, so that an edited document is never absent; an id in both is
        removed in the end. `sequence` is the catalog's change sequence after the commit. Once it returns no
        search that starts later meets a removed row. Raises ValueError for wrong shapes or vectors not finite.
        """
        with self._writing:
            if self._touched is not None:
                self._touched.update(np.asarray(upsert_ids).tolist(), np.asarray(remove_ids).tolist())
            if len(upsert_ids):
                before = self._digest_of(upsert_ids)
                # Rounded by numpy, as the catalog's are: FAISS by itself rounds one value in 20,000 the other way.
                self._index.upsert(upsert_ids, np.asarray(vectors, np.float16))
                self._digest = self._digest.minus(before).plus(self._digest_of(upsert_ids))
            if len(remove_ids):
                before = self._digest_of(remove_ids)
                self._index.remove(remove_ids)
                self._digest = self._digest.minus(before)
            if sequence is not None:
                self.advance(sequence)

    def _digest_of(self, ids: Ids) -> Digest:
        """The digest of those of `ids` that are here, each once."""
        return digest_of(*self._index.stored(np.unique(ids)))

    def advance(self, sequence: int) -> None:
        """Notes that the rows stand for this change sequence of the catalog, or a newer one."""
        with self._writing:
            self._sequence = max(self._sequence, sequence)

    def search(self, queries: Vectors, k: int, *, allowed: Ids | None = None) -> tuple[Vectors, Ids]:
        """The k best rows of each query: scores (q, k) descending and ids (q, k); -inf and -1 fill what is missing.

        With `allowed`, only rows with these ids are considered, inside the search.
        """
        return self._index.search(queries, k, allowed=allowed)

    def ids(self) -> Ids:
        """Every id, sorted, shape (n,)."""
        return self._index.ids()

    def vectors(self, ids: Ids) -> Vectors:
        """The stored vectors of these ids, shape (n, dimension). Raises KeyError for an unknown id."""
        return self._index.vectors(ids)

    def stored(self, ids: Ids) -> tuple[Ids, HalfVectors]:
        """Those of `ids` that are here, in the order given, with their vectors as kept, float16 (n, dimension)."""
        return self._index.stored(ids)

    def facts(self) -> IndexFacts:
        """What the current index says of itself."""
        return self._index.facts()

    def ann_recall(self, *, samples: int = 32, k: int = 10, seed: int = 0) -> float:
        """The share of true neighbours found, 0 to 1, for stored rows as queries; 1 for an exact index.

        Costs `samples` searches of every list; the answer may be given to `maintain`.
        """
        index = self._index
        if not isinstance(index, IvfIndex) or not len(index):
            return 1.0
        ids = index.ids()
        chosen = np.random.default_rng(seed).choice(ids, min(samples, ids.size), replace=False)
        return index.ann_recall(index.stored(chosen)[1].astype(np.float32), k)

    @contextmanager
    def frozen(self) -> Iterator[tuple[ServedIndex, int]]:
        """The current index and its sequence, unchanged for the length of the block; searches go on."""
        with self._writing:
            yield self._index, self._sequence

    def maintain(self, *, ann_recall: float | None = None) -> Upkeep:
        """Decides what the index needs and starts it in the background; returns what was started.

        Call it between changes, often: it is cheap. Raises what an earlier background build failed with;
        the index served before goes on, and the next call tries again.
        """
        self._raise_failure()
        with self._writing:
            if self.is_settling or self._is_closing.is_set():
                return Upkeep.NOTHING
            index = self._index
            fit = index.fit_facts if isinstance(index, IvfIndex) else None
            need = upkeep(index.facts(), fit, self._policy, ann_recall=ann_recall)
            if need is not Upkeep.NOTHING:
                self._start_build(_KIND_AFTER[need], None, str(need))
            return need

    @property
    def fit_digest(self) -> str:
        """The digest of the centroids that the index was given; empty where it found them itself, or has none."""
        index = self._index
        return index.fit_digest if isinstance(index, IvfIndex) else ""

    def centroids(self) -> Vectors | None:
        """The centroids of the lists, shape (lists, dimension); None for an exact index."""
        index = self._index
        return index.centroids() if isinstance(index, IvfIndex) else None

    def adopt_fit(self, centroids: Vectors | None) -> None:
        """Starts to build, in the background, lists around these centroids (lists, dimension); None: around new ones.

        Changes meanwhile are carried over, and the index serves as it was until the new one takes its name. Raises
        BadRequest for an exact index, Busy while another build is under way, or what an earlier one failed with.
        """
        self._raise_failure()
        with self._writing:
            if not isinstance(self._index, IvfIndex):
                raise BadRequest(
                    f"the index is exact: {len(self._index)} chunks need no lists",
                    hint="it becomes an inverted file above index.ivf_above chunks",
                )
            if self.is_settling or self._is_closing.is_set():
                raise Busy("the index is being built anew already", hint="try again when `ragd status` says it settled")
            self._start_build(IvfIndex.kind, centroids, "adopt")

    def _start_build(self, kind: str, centroids: Vectors | None, name: str) -> None:
        self._touched = set()
        self._builder = Thread(target=self._build, args=(kind, centroids), name=f"index-{name}", daemon=True)
        self._builder.start()

    def wait_settled(self, timeout_s: float) -> None:
        """Waits until no build is under way. Raises TimedOut, or what the build failed with."""
        builder = self._builder
        if builder is not None:
            builder.join(timeout_s)
            if builder.is_alive():
                raise TimedOut(f"the index was not rebuilt within {timeout_s:g} s", hint="it goes on; wait longer")
        self._raise_failure()

    def close(self, timeout_s: float = 5.0) -> None:
        """Gives up a build under way; rows stay searchable. Safe to call twice."""
        self._is_closing.set()
        if self._builder is not None:
            self._builder.join(timeout_s)

    def _build(self, kind: str, centroids: Vectors | None) -> None:
        old = self._index
        stop = self._stop_if_closing
        try:
            new = built(kind, old.ids(), old.stored, old.dimension, self._policy, stop, centroids=centroids)
            self._take_over(old, new)
        except _Closing:
            pass
        except BaseException as error:  # noqa: BLE001 - kept for the next maintain(), which raises it
            self._failure = error
        finally:
            with self._writing:
                self._touched = None

    def _stop_if_closing(self, _done: int) -> None:
        if self._is_closing.is_set():
            raise _Closing

    def _take_over(self, old: ServedIndex, new: ServedIndex) -> None:
        for _ in range(_CATCH_UP_ROUNDS):
            with self._writing:
                touched = self._touched or set()
                if len(touched) <= _LAST_MILE_ROWS:
                    break
                self._touched = set()
            _carry_over(touched, old.stored, new)
        with self._writing:
            _carry_over(self._touched or set(), old.stored, new)
            self._index = new
            self.builds += 1

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure


class _Closing(Exception):
    """The generation is closing; the build under way is not wanted any more."""


def _carry_over(touched: set[int], stored: Callable[[Ids], tuple[Ids, HalfVectors]], new: ServedIndex) -> None:
    """Makes the touched rows of the new index equal to those of the old one as it is now."""
    ids = np.array(sorted(touched), np.int64)
    present, vectors = stored(ids)
    new.upsert(present, vectors)
    new.remove(np.setdiff1d(ids, present, assume_unique=True))
