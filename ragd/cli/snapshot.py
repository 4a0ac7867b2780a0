"""Answers from the state folder, read only, where no daemon runs: the same methods as the client's."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragd.domain.errors import DaemonUnreachable

if TYPE_CHECKING:
    from ragd.config.schema import Config
    from ragd.flow.offline import Offline

Answer = dict[str, Any]


class Snapshot:
    """The newest snapshot of a state folder, with the answers that a daemon would give."""

    def __init__(self, config: Config) -> None:
        """Opens the state folder. Raises NotFound, StateNewer or StateCorrupt."""
        from ragd.app import open_offline

        self._config = config
        self._offline: Offline = open_offline(config)

    def close(self) -> None:
        """Gives back what was opened."""
        self._offline.close()

    def search(
        self,
        *,
        q: str,
        mode: str,
        limit: int | None,
        collection: Sequence[str],
        folder: Sequence[str],
        glob: Sequence[str],
        type: Sequence[str],
        modified_after: str,
        modified_before: str,
        after: str,
        timeout_s: float | None,
    ) -> Answer:
        """Hits as GET /v1/search gives them. Raises DaemonUnreachable for `after`: nothing will change here."""
        from ragd.domain.search import Mode, Query
        from ragd.search.filters import parse_filters

        if after:
            raise DaemonUnreachable(
                "no daemon is running, so nothing becomes searchable by waiting",
                hint="leave --after out, or `ragd run`",
            )
        filters = parse_filters(
            collections=collection,
            folders=folder,
            globs=glob,
            types=type,
            modified_after=modified_after,
            modified_before=modified_before,
            now=time.time(),
        )
        chosen = self._config.search.limit if limit is None else limit
        return self._offline.search(Query(q, Mode(mode), chosen, filters))

    def status(self) -> Answer:
        """What is known without a daemon, as GET /v1/status."""
        return self._offline.status()

    def documents(
        self,
        *,
        state: str | None = None,
        collection: str | None = None,
        path: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Answer:
        """A page of documents, as GET /v1/documents."""
        return self._offline.documents(state=state, collection=collection, path=path, limit=limit, cursor=cursor)

    def receipts(self, *, path: str | None = None, limit: int = 20, pending: bool | None = None) -> Answer:
        """The newest receipts, as GET /v1/receipts."""
        return self._offline.receipts(path=path, limit=limit, pending=pending)

    def verify(self, *, full: bool = False) -> Answer:
        """Compares index and catalog, as POST /v1/verify without repair."""
        return dict(self._offline.verify(full=full))


def holds_index(state: Path) -> bool:
    """True when there is something to answer from."""
    return (state / "catalog.db").is_file()
