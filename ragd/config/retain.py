"""The section about what is kept and for how long: a limit for everything that would grow otherwise."""

from __future__ import annotations

from pydantic import Field

from ragd.config.section import Section


class Retain(Section):
    """How long, and how much, of what is no longer needed is kept."""

    days: float = Field(
        default=7.0,
        ge=0,
        le=36500,
        description="Days that vectors of removed chunks rest, so that coming back is free.",
    )
    chunks: int = Field(
        default=1_000_000, ge=0, description="Removed chunks that rest at most, whatever `days` says; the oldest go."
    )
    receipts: int = Field(default=100_000, ge=100, description="Receipts kept; the oldest go first.")
    changes: int = Field(
        default=1_000_000,
        ge=1000,
        description="Changes kept for each generation; a snapshot from before them is not replayed, but built anew.",
    )
    snapshots: int = Field(default=2, ge=2, le=100, description="Snapshots kept of each generation.")
    queries: int = Field(
        default=1_000_000, ge=100, description="Queries in the journal at most, whatever `learn.journal_days` says."
    )
    decisions: int = Field(default=2000, ge=10, description="Decisions kept of each trainer.")
    windows: int = Field(default=2000, ge=10, description="Drift windows kept of documents, and of queries.")
    promotions: int = Field(
        default=1000, ge=10, description="Promotions and rollbacks kept of each role; how far back `rollback` can go."
    )
    models: int = Field(
        default=5,
        ge=1,
        le=1000,
        description="Models kept of each trainer with their files, beside those that serve or can be rolled back to.",
    )
    spend_days: float = Field(
        default=400.0, ge=31, description="Days that each charge is kept; older ones become one sum for each kind."
    )
    run_log_kb: int = Field(
        default=1024, ge=1, description="KiB kept of the end of each log of a run that is not among the newest five."
    )
    free_mb: int = Field(
        default=64, ge=0, description="MiB of free pages the catalog may hold before they are given back to the disk."
    )
    turn_s: float = Field(default=60.0, ge=1, le=86400, description="Seconds between looks at what may go.")
