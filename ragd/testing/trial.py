"""Tries a plugin against its contracts in a child process with limits, clause by clause."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ragd.domain.learning import Resources
from ragd.domain.training import PluginSource
from ragd.hooks.line_child import LineChild

_LOOK_S = 0.25


def trial(
    source: PluginSource, options: Mapping[str, Mapping[str, Any]], resources: Resources
) -> Iterator[dict[str, str]]:
    """Each clause as it was tried: `what` it is about, `clause`, `problem` ("" when it holds) and `hint`.

    `options` are those of each trainer by name. What hangs, dies or crosses a limit of `resources` is the last clause.
    """
    work = Path(tempfile.mkdtemp(prefix="ragd-check-"))
    child = LineChild("ragd.testing.check_child", source, work, resources)
    try:
        child.tell({"options": {name: dict(given) for name, given in options.items()}, "resources": asdict(resources)})
        yield from _heard(child, work)
    finally:
        child.end()
        shutil.rmtree(work, ignore_errors=True)


def _heard(child: LineChild, work: Path) -> Iterator[dict[str, str]]:
    limits = "keeps to its limits"
    while True:
        try:
            answer = child.hear(_LOOK_S)
        except TimeoutError:
            broken = child.broken()
            if broken:
                yield {"what": "", "clause": limits, "problem": broken, "hint": "see learn.* in the configuration"}
                return
            continue
        except EOFError:
            how = child.end() or "it closed its pipe"
            words = _printed(work / "output.txt").strip().splitlines()[-1:]
            problem = f"its process died ({how})" + (f": {words[0][:500]}" if words else "")
            yield {"what": "", "clause": limits, "problem": problem, "hint": "run its test to see more"}
            return
        if "end" in answer:
            return
        yield {name: str(answer.get(name, "")) for name in ("what", "clause", "problem", "hint")}


def _printed(file: Path) -> str:
    """What a child printed; "" where it did away with that."""
    try:
        return file.read_text("utf-8", "replace")
    except OSError:
        return ""
