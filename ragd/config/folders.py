"""Where ragd's folders lie when nobody says where."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def default_state(env: Mapping[str, str]) -> Path:
    """The state folder when none is configured: `$XDG_STATE_HOME/ragd`, else `~/.local/state/ragd`."""
    base = env.get("XDG_STATE_HOME", "")
    if os.path.isabs(base):
        return Path(base, "ragd")
    home = env.get("HOME") or os.path.expanduser("~")
    return Path(home, ".local", "state", "ragd")


def default_plugins_folder(env: Mapping[str, str]) -> Path:
    """The plugin folder when none is configured: `$XDG_CONFIG_HOME/ragd/plugins`, else `~/.config/ragd/plugins`."""
    base = env.get("XDG_CONFIG_HOME", "")
    if os.path.isabs(base):
        return Path(base, "ragd", "plugins")
    home = env.get("HOME") or os.path.expanduser("~")
    return Path(home, ".config", "ragd", "plugins")
