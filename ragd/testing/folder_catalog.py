"""A catalog of one root in a dictionary: what a watcher asks of it, and what it tells, without a database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ragd.domain.changes import Action, Known, Observation
from ragd.plan.reconcile import reconcile


@dataclass
class FolderCatalog:
    """Documents by path; `tell` is an emit that commits as the daemon does, through reconcile.

    It refuses what the watcher must never do: empty or oversized batches, a present file without a stat.
    `told` and `actions` keep every observation and decision in order, `reasons` why documents failed.
    """

    documents: dict[bytes, Known] = field(default_factory=dict)
    reasons: dict[bytes, str] = field(default_factory=dict)
    told: list[Observation] = field(default_factory=list)
    actions: list[tuple[Action, bytes]] = field(default_factory=list)

    def known_marks(self, root_id: int, folder: bytes) -> Iterable[tuple[bytes, int]]:
        """The documents directly in one folder, failed ones without a hash with the mark -1."""
        for path, known in self.documents.items():
            above, _, name = path.rpartition(b"/")
            if above == folder:
                yield name, -1 if known.is_failed and known.content_hash is None else known.stat.mark

    def known_digests(self, root_id: int, below: bytes = b"") -> Mapping[bytes, int]:
        """A digest of each folder that holds documents, at or below one folder."""
        rows: dict[bytes, list[Known]] = {}
        for path, known in self.documents.items():
            folder = path.rpartition(b"/")[0]
            if not below or folder == below or folder.startswith(below + b"/"):
                rows.setdefault(folder, []).append(known)
        return {folder: hash(tuple(known)) for folder, known in rows.items()}

    def known_path(self, root_id: int, path: bytes) -> Known | None:
        """The document at one path."""
        return self.documents.get(path)

    def document_count(self, root_id: int) -> int:
        """How many documents there are."""
        return len(self.documents)

    def tell(self, root_id: int, observations: Sequence[Observation]) -> None:
        """Commits a batch of observations."""
        if not 0 < len(observations) <= 256:
            raise AssertionError(f"a batch of {len(observations)} observations")
        self.told += observations
        for change in reconcile(observations, self.documents):
            self._commit(change.action, change.observation)

    def _commit(self, action: Action, seen: Observation) -> None:
        if action is Action.NOTHING:
            return
        self.actions.append((action, seen.path))
        self.reasons.pop(seen.path, None)
        if action is Action.DELETE:
            del self.documents[seen.path]
            return
        if seen.stat is None:
            raise AssertionError(f"a present file without a stat: {seen!r}")
        if seen.problem:
            self.reasons[seen.path] = seen.problem
        self.documents[seen.path] = Known(1, seen.path, seen.stat, seen.content_hash, bool(seen.problem))

    @property
    def paths(self) -> set[bytes]:
        """Documents that are not failed."""
        return {path for path, known in self.documents.items() if not known.is_failed}
