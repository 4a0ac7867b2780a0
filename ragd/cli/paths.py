"""Paths as people give them: what is there is made absolute, anything else is a name that the catalog may know."""

from __future__ import annotations

import os


def named_path(path: str | None) -> str | None:
    """The absolute path of something that exists, else what was given, for example a path below a root."""
    if path and (os.path.lexists(os.path.expanduser(path)) or path.startswith(("./", "../", "~"))):
        return os.path.abspath(os.path.expanduser(path))
    return path
