"""Loads a plugin file in a test, as ragd loads it."""

from __future__ import annotations

from pathlib import Path

from ragd.domain.training import PluginSource
from ragd.hooks.manager import Plugins, load_one
from ragd.hooks.sources import FILE, digest, read_plugin


def load_plugin(path: Path) -> Plugins:
    """What the plugin in a file offers, checked as when it is loaded. Raises PluginRefused with the reason."""
    return load_one(PluginSource(path.stem, FILE, str(path.absolute()), digest(read_plugin(path))))
