"""The reading side of what was learned and spent: runs, decisions, accounts and the journal, from any thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from ragd.catalog.decisions import DecisionRows
from ragd.catalog.journal import JournalRows
from ragd.catalog.runs import RunRows
from ragd.catalog.spend import SpendRows


@dataclass(frozen=True, slots=True)
class Learning:
    """Readers of the learning tables over one catalog."""

    runs: RunRows
    spend: SpendRows
    decisions: DecisionRows
    journal: JournalRows

    @classmethod
    def of(cls, connect: Callable[[], sqlite3.Connection]) -> Learning:
        """All readers; `connect` gives the calling thread's connection, such as `lambda: reader.connection`."""
        return cls(RunRows(connect), SpendRows(connect), DecisionRows(connect), JournalRows(connect))
