"""Commands that plugins add: found when a name is typed that is not ragd's own, and listed by `ragd --help`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ragd.config.folders import default_state

if TYPE_CHECKING:
    from ragd.hooks.roster import Roster


def names(state: Path | None) -> list[str]:
    """The commands of plugins that a daemon or a command saw before; read from where that is kept, without more.

    A state folder that only a configuration file names is not looked into: help must not wait for a configuration.
    """
    import json

    folder = state or Path(os.environ.get("RAGD_STATE") or default_state(os.environ))
    try:
        held = json.loads((folder / "plugins-seen.json").read_text("utf-8"))
        return sorted({str(name) for seen in held.values() for one in seen.values() for name in one["commands"]})
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
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
