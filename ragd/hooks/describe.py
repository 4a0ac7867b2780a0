"""A process that imports one plugin and tells what it offers: `python -m ragd.hooks.describe PIPE PARENT WORK`.

What a plugin does while it is imported happens here, within limits; the plugin as JSON comes in by standard input,
its facts go out through PIPE, a file descriptor.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ragd.domain.learning import Resources
from ragd.domain.plugins import PluginFacts
from ragd.domain.training import PluginSource
from ragd.hooks import facts
from ragd.hooks.contain import confine
from ragd.hooks.manager import load

LIMITS = Resources(threads=1, memory_mb=2048, disk_mb=64, processes=16, timeout_s=20.0)


def described(source: PluginSource) -> PluginFacts:
    """A plugin's facts, from importing it into this process; what is wrong with it is its problem."""
    plugins = load([source])
    for offers in plugins.offers().values():
        return facts.facts_of(source, offers)
    problem = plugins.problems()[0]
    blank = PluginFacts(source.name, source.source, source.path, source.sha256)
    return replace(blank, problem=problem.reason[:1000], hint=problem.hint[:1000])


def main(arguments: Sequence[str]) -> None:
    """Describes the plugin on standard input and ends."""
    pipe, parent, work = arguments
    source = PluginSource(**json.load(sys.stdin))
    with os.fdopen(int(pipe), "w", encoding="utf-8") as answers:
        confine(Path(work), LIMITS, parent=int(parent))
        answers.write(json.dumps(facts.to_json(described(source))) + "\n")
        answers.flush()
    # Threads that the plugin left behind must not keep this process.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
