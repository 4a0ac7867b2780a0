"""What healthy plugins were seen to offer, kept in the state folder, so that none is looked at twice."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ragd import __version__
from ragd.disk.atomic import write_atomic
from ragd.domain.errors import DiskFull
from ragd.domain.plugins import PluginFacts
from ragd.hooks import facts

CACHE_NAME = "plugins-seen.json"
# What another version of ragd or Python saw does not count.
_VERSION = f"{__version__} on Python {sys.version_info.major}.{sys.version_info.minor}"


def remembered(state: Path) -> Mapping[str, PluginFacts]:
    """The facts by the key that stands for a plugin's code; nothing where the file is missing or cannot be read."""
    try:
        held = json.loads((state / CACHE_NAME).read_text("utf-8"))
        return {str(key): facts.from_json(one) for key, one in held[_VERSION].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def remember(state: Path, known: Mapping[str, PluginFacts]) -> None:
    """Keeps these facts and no others; where that is not possible plugins are looked at again next time."""
    kept = {key: facts.to_json(one) for key, one in known.items()}
    with suppress(OSError, DiskFull):
        write_atomic(state / CACHE_NAME, json.dumps({_VERSION: kept}).encode("utf-8"), mode=0o600)
