"""The process in which a plugin hears of events and decides as a policy: `host_child PIPE PARENT WORK`.

Requests come in by standard input and answers go out through PIPE, a file descriptor, both as lines of JSON. It may
use the network, as telling others is what events are for; it writes in its own folder only.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ragd.domain.deciding import Observed, Reason, Window
from ragd.domain.errors import PluginRefused
from ragd.domain.learning import Resources
from ragd.domain.plugins import Event, EventKind
from ragd.domain.training import PluginSource
from ragd.hooks.contain import confine
from ragd.hooks.manager import Plugins, load_one

LIMITS = Resources(threads=1, memory_mb=1024, disk_mb=64, processes=16, timeout_s=float("inf"))
_NICE = 10
_LONGEST = 500


def main(arguments: Sequence[str]) -> None:
    """Loads the plugin of the first line and answers one request a line until there are no more."""
    pipe, parent, work = arguments
    source = PluginSource(**json.loads(sys.stdin.readline()))
    with os.fdopen(int(pipe), "w", encoding="utf-8") as answers:
        confine(Path(work), LIMITS, network=True, parent=int(parent))
        os.nice(_NICE)
        plugins, greeting = Plugins(), {}
        try:
            plugins = load_one(source)
        except PluginRefused as error:
            greeting = {"error": str(error)}
        _say(answers, greeting)
        for line in sys.stdin:
            _say(answers, answer(plugins, json.loads(line)))
    os._exit(0)


def answer(plugins: Plugins, request: Mapping[str, Any]) -> dict[str, Any]:
    """What the plugin says to an event or to what was observed, or the error that it raised."""
    try:
        if "event" in request:
            plugins.tell(event_of(request["event"]))
            return {}
        observed = observed_of(request["observed"])
        policy = next(policy for policy in plugins.policies() if policy.name == request["policy"])
        reason: Any = policy.decide(observed)
        if not isinstance(reason, Reason) or type(reason.holds) is not bool:
            return {"error": f"decide returned {type(reason).__name__}, not a Reason that holds or does not"}
        return {"reason": [str(reason.condition)[:_LONGEST], reason.holds, str(reason.text)[:_LONGEST]]}
    except Exception as error:  # noqa: BLE001 - a plugin may fail in any way, and the daemon is told how
        return {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"[:_LONGEST]}


def event_of(held: Mapping[str, Any]) -> Event:
    """An event that was JSON."""
    return Event(EventKind(held["kind"]), held["at"], held["facts"])


def observed_of(held: Mapping[str, Any]) -> Observed:
    """What was observed, from JSON."""
    windows = {name: tuple(Window(**one) for one in held[name]) for name in ("document_windows", "query_windows")}
    return Observed(**{**held, **windows})


def _say(answers: Any, message: Mapping[str, Any]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
