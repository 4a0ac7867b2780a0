"""Whether the daemon may be asked, decided from facts: ready, degraded with its reasons, or failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from ragd.daemon.heart import Beat


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
    beat: Beat, *, complaints: Sequence[str], unreadable: str = "", is_proven_wrong: bool = False
) -> Readiness:
    """Decides from the main thread's `beat` and what the parts complain of.

    It fails where a search would miss what is there, or show what is not: the catalog cannot be read (`unreadable`
    says why), the last proof found index and catalog apart and could not repair it, or nothing is written any more
    since the main thread is stuck, has not begun, or ends.
    """
    grave = [f"the catalog cannot be read: {unreadable}"] if unreadable else []
    if is_proven_wrong:
        grave.append("the index is not what the catalog says (see: ragd verify)")
    if beat.is_ending:
        grave.append("the daemon is stopping")
    elif beat.since_s is None:
        grave.append("the daemon is starting")
    elif beat.is_stuck:
        work = f"been at `{beat.doing}`" if beat.doing else "not turned"
        grave.append(f"the writing thread has {work} for {beat.since_s:.0f} s (its log tells at what; restart ragd)")
    if grave:
        return Readiness(State.FAILED, (*grave, *complaints))
    return Readiness(State.DEGRADED if complaints else State.READY, tuple(complaints))
