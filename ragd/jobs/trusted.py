"""Finds a plugin that Redis names among those this machine trusts: a path or a hash from there is never believed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ragd.domain.errors import PluginRefused
from ragd.domain.training import PluginSource
from ragd.hooks.sources import FILE
from ragd.hooks.trust import problem_of, read_pins


def trusted_here(source: PluginSource, folder: Path | None, state: Path) -> PluginSource:
    """The same plugin on this machine: a file in its plugin `folder` that was trusted here, with the wanted bytes.

    Bundled and installed plugins are code that is here already. Raises PluginRefused.
    """
    if source.source != FILE:
        return source
    name = Path(source.path).name
    path = (folder or Path()) / name
    if folder is None or not path.is_file():
        raise PluginRefused(
            f"the plugin file {name} is not on this machine",
            hint="copy it into the plugin folder of the worker's user, and `ragd plugins trust` it there",
        )
    why, hint, sha256 = problem_of(path, read_pins(state))
    if why:
        raise PluginRefused(f"the plugin file {path}: {why}", hint=hint)
    if sha256 != source.sha256:
        raise PluginRefused(
            f"the plugin file {path} is not the daemon's: its hash differs",
            hint="copy the daemon's file and trust that",
        )
    return replace(source, path=str(path))
