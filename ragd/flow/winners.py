"""What passed the gate and is not live yet: opened in a thread of its own, promoted by the main one in its turn."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from ragd.config.events import get_log
from ragd.domain.clock import is_due
from ragd.domain.errors import Busy, ModelUnavailable, RagdError

_LOG = get_log("ragd.learn")
AGAIN_S = 60.0


class Winners:
    """Opening takes seconds, so `prepare` is called in a thread; `promote` is called by `step`, in the main one.

    A model that must wait for another to be whole is tried again after a minute; one that cannot serve is named in the
    log and left a candidate, for a person to promote.
    """

    def __init__(
        self, prepare: Callable[[int], None], promote: Callable[[int], None], clock: Callable[[], float]
    ) -> None:
        self._prepare, self._promote, self._clock = prepare, promote, clock
        self._opened: SimpleQueue[tuple[int, RagdError | None]] = SimpleQueue()
        self._again: dict[int, float] = {}

    def add(self, model_id: int) -> None:
        """Opens a model, which is promoted by the next step after that."""
        threading.Thread(target=self._open, args=(model_id,), name="open-model", daemon=True).start()

    def step(self) -> None:
        """Promotes what was opened meanwhile."""
        for model_id in [model_id for model_id, at in self._again.items() if is_due(self._clock(), at, AGAIN_S)]:
            del self._again[model_id]
            self.add(model_id)
        while True:
            try:
                model_id, problem = self._opened.get_nowait()
            except Empty:
                return
            try:
                if problem is not None:
                    raise problem
                self._promote(model_id)
            except Busy as error:
                self._again[model_id] = self._clock()
                _LOG.info("promotion_waits", model=model_id, reason=error)
            except RagdError as error:
                _LOG.error("not_promoted", model=model_id, reason=error, hint=error.hint)

    def _open(self, model_id: int) -> None:
        problem: RagdError | None = None
        try:
            self._prepare(model_id)
        except RagdError as error:
            problem = error
        except Exception as error:  # noqa: BLE001 - an edge: what a library raises must not end unheard in a thread
            _LOG.exception("model_not_opened", model=model_id)
            problem = ModelUnavailable(f"{type(error).__name__}: {error}")
        self._opened.put((model_id, problem))
