"""How many examples a run would get now, without encoding anything: what triggers and `Needs` are compared with."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ragd.catalog.corpus import CorpusReader
from ragd.catalog.journal import JournalRows
from ragd.catalog.reader import CatalogReader
from ragd.domain.errors import RagdError
from ragd.domain.learning import Data
from ragd.domain.training import Preparation
from ragd.flow.examples import gather, gather_prompts, read_layout

LEAST_REST_S: Final = 30.0
_REST_TIMES = 100.0  # the length of a count: counting takes at most a hundredth of one core


@dataclass(frozen=True, slots=True)
class Counted:
    """Examples to train on by kind, held-out ones by kind, and what keeps some from being counted, a line each."""

    examples: Mapping[Data, int]
    heldout: Mapping[Data, int] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


class Available:
    """Counts examples of what `preparation` names; one thread. The count is kept until files, journal or corpus change,
    and then for as long as counting must rest."""

    def __init__(
        self, preparation: Preparation, reader: CatalogReader, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._preparation, self._reader, self._clock = preparation, reader, clock
        self._corpus = CorpusReader(reader)
        self._last: Counted | None = None
        self._key: tuple[Any, ...] = ()
        self._next_at = 0.0

    def count(self) -> Counted:
        """What there is now, or was when it was counted last. A broken file counts as empty and is named."""
        now = self._clock()
        if self._last is not None and (now < self._next_at or self._key == self._state()):
            return self._last
        key = self._state()
        self._last, self._key = self._counted(), key
        took_s = self._clock() - now
        self._next_at = now + max(LEAST_REST_S, took_s * _REST_TIMES)
        return self._last

    def _counted(self) -> Counted:
        chunks = self._reader.overview.chunk_counts()
        shown = chunks["with_vectors"]
        examples = {
            Data.VECTORS: shown,
            Data.TEXTS: int(shown * (1 - self._preparation.heldout_share)),
            Data.PAIRS: 0,
            Data.PROMPTS: 0,
        }
        heldout = {Data.PAIRS: 0, Data.PROMPTS: 0}
        problems: list[str] = []
        try:
            if self._preparation.pairs or self._preparation.has_journal:
                layout = read_layout(self._corpus, self._preparation.heldout_share)
                divided = gather(self._preparation, self._reader, self._corpus, layout).divided
                examples[Data.PAIRS], heldout[Data.PAIRS] = len(divided.training), len(divided.heldout)
        except RagdError as error:
            problems.append(str(error))
        try:
            if self._preparation.prompts:
                prompts = gather_prompts(self._preparation)
                examples[Data.PROMPTS], heldout[Data.PROMPTS] = len(prompts.training), len(prompts.heldout)
        except RagdError as error:
            problems.append(str(error))
        return Counted(examples, heldout, tuple(problems))

    def _state(self) -> tuple[Any, ...]:
        journal = JournalRows(lambda: self._reader.connection)
        judged = journal.judgements() if self._preparation.has_journal else ()
        paths = (*self._preparation.pairs, *self._preparation.prompts)
        return self._reader.replay.change_sequence(), judged, tuple(_marks(Path(path).expanduser()) for path in paths)


def _marks(path: Path) -> tuple[tuple[str, int, int], ...]:
    """Size and time of a file, or of the files of a folder and of its `qrels`."""
    try:
        files = [path] if not path.is_dir() else [*path.iterdir(), *path.glob("qrels/*")]
    except OSError:  # reading it names the reason
        return ()
    found: list[tuple[str, int, int]] = []
    for file in sorted(files):
        try:
            stat = file.stat()
        except OSError:
            continue
        found.append((file.name, stat.st_size, stat.st_mtime_ns))
    return tuple(found)
