"""Commands that plugins add: found when a name is typed that is not ragd's own, and listed by `ragd --help`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from ragd.hooks.roster import Roster


def names(config: Path | None, state: Path | None) -> list[str]:
    """The commands of plugins that were looked at before; nothing is imported, and nothing raised."""
    from ragd.domain.errors import RagdError

    try:
        with _roster(config, state) as roster:
            roster.step()
            return sorted(name for one in roster.facts if not one.problem for name in one.commands)
    except RagdError:
        return []


def command(name: str, config: Path | None, state: Path | None) -> Any:
    """The command of this name, its plugin loaded into this process; None when no plugin in use offers it.

    Raises PluginRefused when the plugin cannot be loaded after all.
    """
    from ragd.domain.errors import ConfigInvalid
    from ragd.hooks.manager import load_one

    try:
        with _roster(config, state) as roster:
            roster.refresh()
            found = [one.name for one in roster.facts if not one.problem and name in one.commands]
            if not found:
                return None
            source = roster.source(found[0])
    except ConfigInvalid:
        return None
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(name)(load_one(source).commands()[name])
    return typer.main.get_command(app)


@contextmanager
def _roster(config: Path | None, state: Path | None) -> Iterator[Roster]:
    from ragd.config.load import load
    from ragd.hooks.roster import Roster

    given: dict[str, object] = {"state": state} if state is not None else {}
    loaded = load(config, os.environ, given).config
    roster = Roster(loaded.plugins_folder, loaded.state, disabled=loaded.plugins.disabled)
    try:
        yield roster
    finally:
        roster.close()
