"""One fault and what became of it: the form in which every scenario of `bench.faults` is written."""

from __future__ import annotations

import unittest
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a scenario showed.

    `survived`: ragd went on, or stopped safely with one clear line and the exact remedy, and was whole again after
    the remedy. `lost`: documents of the model (path -> text) that the daemon does not serve as they are at the end.
    `to_serve_s`: seconds from the fault (or from the remedy, where a person must act) until searches were answered
    and equal again. `note` says in a few words what ragd did.
    """

    survived: bool
    lost: int
    to_serve_s: float
    note: str


class Skipped(unittest.SkipTest):
    """This machine does not allow the fault; the message says why. A test that meets it is skipped."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A real fault: `run` causes it in an empty scratch folder and looks on. It may raise Skipped.

    `name` is one word with hyphens, `what` the sentence that tables show.
    """

    name: str
    what: str
    run: Callable[[Path], Outcome]
