"""How many examples a run would find now: files are counted in threads, and again when they change."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from ragd.catalog.journal import JournalRows
from ragd.domain.errors import PairsInvalid
from ragd.domain.learning import Data, Needs
from ragd.learn.pairs import read_pairs
from ragd.learn.prompts import read_prompts

Mark = tuple[tuple[str, int, int], ...]


class Availability:
    """Counts per kind of data; not held out is the share `1 - heldout_share` of what files and journal hold.

    `live_chunks` counts what texts and vectors there are. Broken files count as empty and are named in `problems`.
    """

    def __init__(
        self,
        pairs: Sequence[Path],
        prompts: Sequence[Path],
        journal: JournalRows | None,
        *,
        heldout_share: float,
        live_chunks: Callable[[], int],
    ) -> None:
        self._readers: dict[Data, tuple[tuple[Path, ...], Callable[[Path], int]]] = {
            Data.PAIRS: (tuple(pairs), lambda path: len(read_pairs(path).asked)),
            Data.PROMPTS: (tuple(prompts), lambda path: len(read_prompts(path))),
        }
        self._journal, self._share, self._live_chunks = journal, 1.0 - heldout_share, live_chunks
        self._lock = threading.Lock()
        self._marks: dict[Path, Mark] = {}
        self._counts: dict[Path, int] = {}
        self._counting: set[Path] = set()
        self._problems: dict[Path, str] = {}

    @property
    def problems(self) -> tuple[str, ...]:
        """Files of examples that cannot be used, with the reason."""
        with self._lock:
            return tuple(self._problems.values())

    def __call__(self, needs: Needs) -> int:
        """How many examples of this kind there are now, as far as they were counted."""
        if needs.data not in self._readers:
            return self._live_chunks()
        paths, reader = self._readers[needs.data]
        for path in paths:
            self._look(path.expanduser(), reader)
        with self._lock:
            count = sum(self._counts.get(path.expanduser(), 0) for path in paths)
        if needs.data is Data.PAIRS and self._journal is not None:
            count += self._journal.count(judged=True)
        return int(count * self._share)

    def wait(self) -> None:
        """Returns when everything that was asked for is counted: for tests and for runs by hand."""
        for thread in [each for each in threading.enumerate() if each.name == "count-examples"]:
            thread.join()

    def _look(self, path: Path, reader: Callable[[Path], int]) -> None:
        mark = _mark(path)
        with self._lock:
            if self._marks.get(path) == mark or path in self._counting:
                return
            self._counting.add(path)
        threading.Thread(target=self._count, args=(path, mark, reader), name="count-examples", daemon=True).start()

    def _count(self, path: Path, mark: Mark, reader: Callable[[Path], int]) -> None:
        count, problem = 0, ""
        try:
            count = reader(path)
        except PairsInvalid as error:
            problem = f"{error} ({error.hint})"
        except Exception as error:  # noqa: BLE001 - an edge: a thread's error would be seen by nobody
            problem = f"{path}: {type(error).__name__}: {error}"
        with self._lock:
            self._marks[path], self._counts[path] = mark, count
            self._counting.discard(path)
            self._problems.pop(path, None)
            if problem:
                self._problems[path] = problem


def _mark(path: Path) -> Mark:
    """Changes when the file, or a file of the folder, does; empty while there is none."""
    try:
        entries = list(os.scandir(path)) if path.is_dir() else []
        found = [(entry.name, entry.stat().st_mtime_ns, entry.stat().st_size) for entry in entries]
        facts = path.stat()
    except OSError:
        return ()
    return tuple(sorted([*found, ("", facts.st_mtime_ns, facts.st_size)]))
