"""Wants from its hook what no hook gives."""

from __future__ import annotations

from ragd.hooks.api import Trainer, hookimpl


@hookimpl
def ragd_trainers(daemon: object) -> list[Trainer]:
    """Never called."""
    return []
