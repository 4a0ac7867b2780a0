"""Paths as people give them: of a file that is there, or as the catalog names it, below its watched folder."""

from __future__ import annotations

import os
from collections.abc import Iterable


def named_path(path: str | None) -> str | None:
    """The absolute path of something that exists, else what was given, for example a path below a root."""
    if path and (os.path.lexists(os.path.expanduser(path)) or path.startswith(("./", "../", "~"))):
        return os.path.abspath(os.path.expanduser(path))
    return path


def below_root(path: str | None, roots: Iterable[str]) -> str | None:
    """The path below the watched folder that holds it, as documents are listed; None for a whole root.

    What lies in no root is returned as it was given.
    """
    absolute = named_path(path)
    if not absolute or not absolute.startswith("/"):
        return absolute
    for root in roots:
        if absolute == root:
            return None
        if absolute.startswith(root.rstrip("/") + "/"):
            return absolute[len(root.rstrip("/")) + 1 :]
    return path
