"""The process that tries what a plugin promises, within limits: `python -m ragd.testing.check_child PIPE PARENT WORK`.

The plugin and its trainers' options come in by standard input, as two lines of JSON; each clause goes out through
PIPE as soon as it was tried, as a line, and `{"end": true}` last.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ragd.domain.errors import PluginRefused
from ragd.domain.learning import Resources
from ragd.domain.training import PluginSource
from ragd.hooks.contain import confine
from ragd.hooks.manager import load_one


def main(arguments: Sequence[str]) -> None:
    """Tries the plugin of the first line and ends."""
    pipe, parent, work = arguments
    source = PluginSource(**json.loads(sys.stdin.readline()))
    asked = json.loads(sys.stdin.readline())
    with os.fdopen(int(pipe), "w", encoding="utf-8") as answers:
        confine(Path(work), Resources(**asked["resources"]), parent=int(parent))
        for outcome in outcomes(source, Path(work), asked["options"]):
            answers.write(json.dumps(outcome) + "\n")
            answers.flush()
        answers.write('{"end": true}\n')
    os._exit(0)


def outcomes(source: PluginSource, work: Path, options: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, str]]:
    """The clauses of everything that a plugin offers, with what each is about."""
    from ragd.testing import contracts
    from ragd.testing.clauses import Outcome
    from ragd.testing.trainer_contract import trainer_outcomes

    try:
        plugins = load_one(source)
    except PluginRefused as error:
        yield _row("", Outcome("can be loaded, and its hooks are as they should be", str(error), error.hint))
        return
    yield _row("", Outcome("can be loaded, and its hooks are as they should be"))
    for trainer in plugins.trainers():
        for outcome in trainer_outcomes(trainer, work / trainer.name, settings=options.get(trainer.name)):
            yield _row(f"trainer {trainer.name}", outcome)
    for reader in plugins.readers():
        for outcome in contracts.reader_outcomes(reader, {}):
            yield _row(f"reader {reader.name}", outcome)
    for policy in plugins.policies():
        for outcome in contracts.policy_outcomes(policy):
            yield _row(f"policy {policy.name}", outcome)
    for tracker in plugins.trackers():
        for outcome in contracts.tracker_outcomes(tracker, work / tracker.name):
            yield _row(f"tracker {tracker.name}", outcome)


def _row(what: str, outcome: Any) -> dict[str, str]:
    return {"what": what, **asdict(outcome)}


if __name__ == "__main__":
    main(sys.argv[1:])
