"""Whether the daemon may be asked, decided from facts: ready, degraded with its reasons, or failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """What the daemon is about; searches are to be sent to one that serves."""

    STARTING = "starting"
    SERVING = "serving"
    STOPPING = "stopping"


class State(StrEnum):
    """`degraded`: searches are answered, and something needs a look. `failed`: they cannot be answered truly."""

    READY = "ready"
    DEGRADED = "degraded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Readiness:
    """The answer, with a sentence for each thing that is wrong; the gravest first."""

    state: State
    reasons: tuple[str, ...]

    @property
    def is_serving(self) -> bool:
        """True when searches may be sent here."""
        return self.state is not State.FAILED


def readiness(
    phase: Phase,
    *,
    complaints: Sequence[str],
    is_stuck: bool = False,
    unreadable: str = "",
    is_proven_wrong: bool = False,
) -> Readiness:
    """Decides from what the daemon is about and what its parts complain of.

    It fails where a search would miss what is there, or show what is not: the catalog cannot be read (`unreadable`
    says why), the last proof found index and catalog apart and could not repair it, or nothing is written any more
    since the committing thread is stuck (which is among the complaints), has not begun, or ends.
    """
    grave = [f"the catalog cannot be read: {unreadable}"] if unreadable else []
    if is_proven_wrong:
        grave.append("the index is not what the catalog says (see: ragd verify)")
    if phase is not Phase.SERVING:
        grave.append(f"the daemon is {phase}")
    if grave or is_stuck:
        return Readiness(State.FAILED, (*grave, *complaints))
    return Readiness(State.DEGRADED if complaints else State.READY, tuple(complaints))
