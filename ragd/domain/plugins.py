"""The words of plugins: what one offers, what it is told of, and the ways to launch and track runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ragd.domain.deciding import Cost
from ragd.domain.learning import Needs, Resources, Role


@dataclass(frozen=True, slots=True)
class TrainerFacts:
    """A trainer as the daemon knows it, without its code; `plugin` is the name of the plugin that offers it."""

    name: str
    role: Role
    needs: Needs
    cost_s: float
    plugin: str


@dataclass(frozen=True, slots=True)
class PluginFacts:
    """One plugin as a child process described it; `source` is `bundled`, `installed` or `file`.

    `path` and `sha256` are for files. `problem` says in one line why it is not used, "" when it is; `hint` what to do.
    """

    name: str
    source: str
    path: str = ""
    sha256: str = ""
    hooks: tuple[str, ...] = ()
    trainers: tuple[TrainerFacts, ...] = ()
    readers: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    encoders: tuple[str, ...] = ()
    launchers: tuple[str, ...] = ()
    trackers: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    problem: str = ""
    hint: str = ""


class EventKind(StrEnum):
    """What plugins are told of."""

    INDEXED = "indexed"
    TRIGGERED = "triggered"
    TRAINED = "trained"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, at Unix seconds `at`; `facts` are plain values that depend on the kind."""

    kind: EventKind
    at: float
    facts: Mapping[str, Any] = field(default_factory=dict)


class Launched(Protocol):
    """A run under way, wherever it runs."""

    def poll(self) -> int | None:
        """The exit status (negative: a signal), None while it runs."""
        ...

    def stop(self) -> None:
        """Ends it now, with everything it started; safe to call twice."""
        ...

    def cost(self) -> Cost:
        """What it took so far."""
        ...


@runtime_checkable
class Launcher(Protocol):
    """Starts the process of one run: here (`local`), or through a cluster by plugin."""

    @property
    def name(self) -> str: ...

    def launch(self, command: Sequence[str], folder: Path, resources: Resources) -> Launched:
        """Starts `command` for the run in `folder`. Raises LaunchFailed."""
        ...


@runtime_checkable
class Tracker(Protocol):
    """Is told how runs go, beside ragd's own tables (MLflow, Weights & Biases); called in the train worker."""

    @property
    def name(self) -> str: ...

    def started(self, run_id: str, facts: Mapping[str, Any]) -> None: ...

    def logged(self, run_id: str, step: int, metrics: Mapping[str, float]) -> None: ...

    def ended(self, run_id: str, state: str, facts: Mapping[str, Any]) -> None: ...
