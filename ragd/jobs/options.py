"""How a worker is to work, and how it ended."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from ragd.domain.errors import RagdError
from ragd.jobs.hold import Task
from ragd.jobs.stride import Stride


class Ending(StrEnum):
    """Why a worker's loop returned."""

    STOPPED = "stopped"
    SETTINGS_CHANGED = "settings_changed"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How to work: `name` is unique among workers (empty: made up).

    With a `revision`, the loop ends as soon as the published settings have another. `failed` is told of
    a task that is given up, before it leaves the worker's hands. An error of a kind in `fatal` goes to `on_fatal`,
    which ends the loop; its job is kept. `burst` ends the loop when the queue is empty.
    `stopping` is set as soon as a signal asks for the end, so that a long job can hand back its rest. `is_disposable`
    says that the process is a worker's own: out of memory it ends at once, and whoever replaces it takes its job back;
    so it does, whatever it is, where `stride` has a limit and a step takes longer.
    """

    name: str = ""
    revision: bytes = b""
    failed: Callable[[Task, Exception], None] | None = None
    burst: bool = False
    stopping: threading.Event = field(default_factory=threading.Event)
    is_disposable: bool = False
    stride: Stride = field(default_factory=Stride)
    fatal: tuple[type[RagdError], ...] = ()
    on_fatal: Callable[[RagdError], None] | None = None
