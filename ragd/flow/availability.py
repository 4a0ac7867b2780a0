"""How many examples a run would find now, counted in a thread, so that whoever decides never waits for it."""

from __future__ import annotations

import threading

from ragd.config.events import get_log
from ragd.domain.learning import Needs
from ragd.flow.available import Available, Counted

_LOG = get_log("ragd.learn")
_ROUND_S = 3.0


class Availability:
    """Asks `available` now and then, which counts again only when something changed; the newest count is the answer."""

    def __init__(self, available: Available) -> None:
        self._available = available
        self._counted = Counted({})
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="count-examples", daemon=True)

    def start(self) -> None:
        """Begins to count."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stopping.set()
        self._thread.join(30.0)

    def __call__(self, needs: Needs) -> int:
        """How many examples of this kind there were at the last count; 0 before the first."""
        return self._counted.examples.get(needs.data, 0)

    @property
    def problems(self) -> tuple[str, ...]:
        """Files of examples that cannot be used, with the reason."""
        return self._counted.problems

    def step(self) -> None:
        """One count; the thread's, or a test's."""
        self._counted = self._available.count()

    def _run(self) -> None:
        while not self._stopping.wait(_ROUND_S):
            try:
                self.step()
            except Exception:  # noqa: BLE001 - an edge: counting must never take the daemon along
                _LOG.exception("counting_broke")
