"""The folders that are configured now: read from any thread, replaced whole when others are."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from pathlib import Path

from ragd.catalog.documents import Documents
from ragd.config.schema import Config


class Roots(Mapping[int, bytes]):
    """Absolute paths by their id in the catalog. Whoever goes through them sees one state of them, old or new."""

    def __init__(self, roots: Mapping[int, bytes]) -> None:
        self._now = dict(roots)

    def replace(self, roots: Mapping[int, bytes]) -> None:
        """Makes others the configured ones."""
        self._now = dict(roots)

    def __getitem__(self, root_id: int) -> bytes:
        return self._now[root_id]

    def __iter__(self) -> Iterator[int]:
        return iter(self._now)

    def __len__(self) -> int:
        return len(self._now)

    def items(self) -> ItemsView[int, bytes]:
        """Ids with paths, of one moment."""
        return self._now.items()

    def values(self) -> ValuesView[bytes]:
        """Paths, of one moment."""
        return self._now.values()


def known(documents: Documents, config: Config) -> dict[int, bytes]:
    """The configured folders by their ids in the catalog, which knows them from now on. Main thread."""
    pairs = [(each.name, bytes(Path(folder).absolute())) for each in config.collections for folder in each.folders]
    return {root.id: root.path for root in documents.set_roots(pairs)}
