"""Asks plugins' trigger policies beside the main thread, which takes the newest answer there is and never waits."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ragd.domain.deciding import Observed, Reason

_MOST_KEPT = 256


class PolicyAnswers:
    """Calls `ask` (which may take a second) in a thread for each question that is not being asked already."""

    def __init__(self, ask: Callable[[str, Observed], Reason]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._asking: set[tuple[str, float | None]] = set()
        self._answers: dict[tuple[str, float | None], Reason] = {}

    def __call__(self, name: str, observed: Observed) -> Reason | None:
        """What the policy said last of these circumstances, None while it has not; asks it anew for the next time.

        An answer is about the time since one run: after the next one it is not given any more.
        """
        key = (name, observed.last_run_at)
        with self._lock:
            if key not in self._asking:
                self._asking.add(key)
                threading.Thread(target=self._run, args=(key, observed), name="policy", daemon=True).start()
            return self._answers.get(key)

    def _run(self, key: tuple[str, float | None], observed: Observed) -> None:
        try:
            reason = self._ask(key[0], observed)
            with self._lock:
                self._answers.pop(key, None)
                self._answers[key] = reason  # last: of those about runs long past the oldest goes first
                if len(self._answers) > _MOST_KEPT:
                    del self._answers[next(iter(self._answers))]
        finally:
            with self._lock:
                self._asking.discard(key)
